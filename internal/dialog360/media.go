package dialog360

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// mediaRule is a row of whatsapp-facts §2.4: what may be uploaded for a header.
type mediaRule struct {
	kind  campaign.SlotKind
	limit int64 // bytes
	types []string
	names string // as a person calls the types
}

// The documents say MB and not which; the larger reading is checked here, and
// the provider answers an upload before anybody is messaged.
const megabyte = 1 << 20

var mediaRules = []mediaRule{
	{campaign.SlotImage, 5 * megabyte, []string{"image/jpeg", "image/png"}, "JPEG or PNG"},
	{campaign.SlotVideo, 16 * megabyte, []string{"video/mp4", "video/3gpp"}, "MP4 or 3GP"},
	{campaign.SlotGIF, 7 * megabyte / 2, []string{"video/mp4"}, "MP4"},
	{campaign.SlotDocument, 100 * megabyte, []string{
		"application/pdf", "text/plain", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation",
	}, "PDF, Word, Excel, PowerPoint or plain text"},
}

// CheckMedia applies the provider's limits on type and size before an upload.
// The error is campaign.ErrInvalid.
func CheckMedia(kind campaign.SlotKind, contentType string, size int64) error {
	i := slices.IndexFunc(mediaRules, func(r mediaRule) bool { return r.kind == kind })
	if i < 0 {
		return campaign.ErrInvalid.With(fmt.Sprintf("nothing can be uploaded for a slot of kind %s", kind), "")
	}
	rule := mediaRules[i]
	base, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil || !slices.Contains(rule.types, base):
		return campaign.ErrInvalid.With(fmt.Sprintf("a file of type %q cannot be a header %s", contentType, kind), rule.names+" can")
	case size <= 0:
		return campaign.ErrInvalid.With(fmt.Sprintf("the %s is empty", kind), "")
	case size > rule.limit:
		return campaign.ErrInvalid.With(fmt.Sprintf("the %s is %.1f MB large", kind, float64(size)/megabyte),
			fmt.Sprintf("%.3g MB at most", float64(rule.limit)/megabyte))
	}
	return nil
}

// mediaTypes are the types of file names; the system's own table differs from
// machine to machine.
var mediaTypes = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png",
	".mp4": "video/mp4", ".3gp": "video/3gpp", ".3gpp": "video/3gpp",
	".pdf": "application/pdf", ".txt": "text/plain",
	".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

// MediaType tells the type of a file by its name, else by its first bytes.
func MediaType(name string, head []byte) string {
	if known := mediaTypes[strings.ToLower(filepath.Ext(name))]; known != "" {
		return known
	}
	base, _, err := mime.ParseMediaType(http.DetectContentType(head))
	if err != nil {
		return "application/octet-stream"
	}
	return base
}

// Upload is a file for a header slot.
type Upload struct {
	Kind campaign.SlotKind
	Name string // a file name; recipients of a document see it
	Type string // MIME
	Size int64  // bytes
	Body io.Reader
}

// UploadMedia stores a file with the provider and gives its media id, which is
// good for 30 days and for this channel only (whatsapp-facts §2.4). Errors:
// campaign.ErrInvalid, campaign.ErrProvider.
func (c *Client) UploadMedia(ctx context.Context, u Upload) (string, error) {
	if err := c.notInSandbox("upload a file", "media by id"); err != nil {
		return "", err
	}
	if err := CheckMedia(u.Kind, u.Type, u.Size); err != nil {
		return "", err
	}
	head, tail, contentType, err := uploadForm(u)
	if err != nil {
		return "", fmt.Errorf("upload a file: %w", err)
	}
	request := call{what: "upload a file", method: http.MethodPost, path: "/media", timeout: c.config.MediaTimeout,
		body:   io.MultiReader(bytes.NewReader(head), io.LimitReader(u.Body, u.Size), bytes.NewReader(tail)),
		length: int64(len(head)) + u.Size + int64(len(tail)), contentType: contentType}
	doc, err := c.do(ctx, request)
	if err != nil {
		return "", err
	}
	id := doc.get("id").text()
	for m := range doc.get("media").elements() { // the older answer
		id = firstText(id, m.get("id").text())
	}
	if id == "" {
		return "", c.failed(request, "it has no media id")
	}
	return id, nil
}

// UploadFile uploads a file of this machine; its type is told by its name and
// content. Errors: campaign.ErrNotFound when there is none, and those of
// UploadMedia.
func (c *Client) UploadFile(ctx context.Context, kind campaign.SlotKind, path string) (string, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", campaign.ErrNotFound.With(fmt.Sprintf("the file %s does not exist", path), "")
	}
	if err != nil {
		return "", fmt.Errorf("upload a file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("upload a file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", campaign.ErrInvalid.With(fmt.Sprintf("%s is not a file", path), "")
	}
	head := make([]byte, 512) // what DetectContentType looks at
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("upload a file: %w", err)
	}
	head = head[:n]
	return c.UploadMedia(ctx, Upload{
		Kind: kind, Name: filepath.Base(path), Type: MediaType(path, head), Size: info.Size(),
		Body: io.MultiReader(bytes.NewReader(head), file),
	})
}

// uploadForm writes what stands before and after the file, so that the file is
// streamed and the length is known.
func uploadForm(u Upload) (head, tail []byte, contentType string, err error) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	header := textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", u.Name)},
		"Content-Type":        {u.Type},
	}
	err = errors.Join(form.WriteField("messaging_product", "whatsapp"), form.WriteField("type", u.Type))
	if err != nil {
		return nil, nil, "", err
	}
	if _, err := form.CreatePart(header); err != nil {
		return nil, nil, "", err
	}
	length := b.Len()
	if err := form.Close(); err != nil {
		return nil, nil, "", err
	}
	return b.Bytes()[:length], b.Bytes()[length:], form.FormDataContentType(), nil
}
