package dialog360_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

func TestCheckMedia(t *testing.T) {
	t.Parallel()

	const mb = 1 << 20
	tests := []struct {
		kind campaign.SlotKind
		mime string
		size int64
		want string
	}{
		{campaign.SlotImage, "image/jpeg", 5 * mb, ""},
		{campaign.SlotImage, "image/png; q=1", 1, ""},
		{campaign.SlotImage, "image/jpeg", 5*mb + 1, "5.0 MB large"},
		{campaign.SlotImage, "image/webp", 1, "cannot be a header image"},
		{campaign.SlotImage, "image/png", 0, "is empty"},
		{campaign.SlotImage, "", 1, "cannot be a header image"},
		{campaign.SlotVideo, "video/mp4", 16 * mb, ""},
		{campaign.SlotVideo, "video/3gpp", 17 * mb, "17.0 MB"},
		{campaign.SlotVideo, "video/quicktime", 1, "cannot be a header video"},
		{campaign.SlotGIF, "video/mp4", 3500 * 1024, ""},
		{campaign.SlotGIF, "image/gif", 1, "cannot be a header gif"},
		{campaign.SlotGIF, "video/mp4", 4 * mb, "4.0 MB"},
		{campaign.SlotDocument, "application/pdf", 100 * mb, ""},
		{campaign.SlotDocument, "application/pdf", 101 * mb, "101.0 MB"},
		{campaign.SlotDocument, "application/zip", 1, "cannot be a header document"},
		{campaign.SlotText, "text/plain", 1, "kind text"},
	}
	for _, test := range tests {
		err := dialog360.CheckMedia(test.kind, test.mime, test.size)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s %s %d: %v", test.kind, test.mime, test.size, err)
		case test.want != "" && (!errors.Is(err, campaign.ErrInvalid) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s %s %d: %v, want %q", test.kind, test.mime, test.size, err, test.want)
		}
	}
}

func TestUploadFile(t *testing.T) {
	t.Parallel()

	content := "%PDF-1.7\n" + strings.Repeat("x", 100_000)
	client, _ := settings(t, map[string]http.HandlerFunc{"POST /media": func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < int64(len(content)) {
			t.Errorf("length %d is not announced", r.ContentLength)
		}
		if r.FormValue("messaging_product") != "whatsapp" || r.FormValue("type") != "application/pdf" {
			t.Errorf("form %v", r.Form)
		}
		file, header, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		body, _ := io.ReadAll(file)
		if header.Filename != `pr"ice.pdf` || header.Header.Get("Content-Type") != "application/pdf" || string(body) != content {
			t.Errorf("file %q %v, %d bytes", header.Filename, header.Header, len(body))
		}
		io.WriteString(w, `{"id":"4490709327384033"}`)
	}})
	path := filepath.Join(t.TempDir(), `pr"ice.pdf`)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := client.UploadFile(t.Context(), campaign.SlotDocument, path)
	if err != nil || id != "4490709327384033" {
		t.Errorf("id %q, error %v", id, err)
	}
}

func TestUploadFileErrors(t *testing.T) {
	t.Parallel()

	client, _ := settings(t, map[string]http.HandlerFunc{"POST /media": func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"success":true}`)
	}})
	folder := t.TempDir()
	png := filepath.Join(folder, "picture")
	if err := os.WriteFile(png, []byte("\x89PNG\r\n\x1a\n0000"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UploadFile(t.Context(), campaign.SlotImage, filepath.Join(folder, "none.png")); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
	if _, err := client.UploadFile(t.Context(), campaign.SlotImage, folder); !errors.Is(err, campaign.ErrInvalid) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := client.UploadFile(t.Context(), campaign.SlotVideo, png); !errors.Is(err, campaign.ErrInvalid) {
		t.Errorf("an image as a video: %v", err)
	}
	_, err := client.UploadFile(t.Context(), campaign.SlotImage, png)
	providerError(t, err, "no media id")
}

func TestMediaType(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]string{
		"a.JPG": "image/jpeg", "a.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "a": "text/plain", "a.bin": "text/plain",
	} {
		if got := dialog360.MediaType(name, []byte("hello")); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
