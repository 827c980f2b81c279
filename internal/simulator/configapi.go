package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// checkTarget applies the rules for webhook URLs (whatsapp-facts §1): https, no
// underscore in the host name, no port. Loopback is free of them.
func checkTarget(target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return errors.New("must be an https URL")
	}
	host := u.Hostname()
	if isLoopback(host) {
		return nil
	}
	switch {
	case u.Scheme != "https":
		return errors.New("must be an https URL (plain http is for loopback hosts only)")
	case strings.Contains(host, "_"):
		return errors.New("the host name must not contain an underscore")
	case u.Port() != "":
		return errors.New("the host must not have a port")
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (s *Simulator) getWebhook(w http.ResponseWriter, _ *http.Request, n *number) {
	target := n.webhooks.target.Load()
	if target == nil {
		writeConfigError(w, http.StatusNotFound, "Not found", "no webhook is set")
		return
	}
	writeJSON(w, http.StatusOK, target)
}

func (s *Simulator) setWebhook(w http.ResponseWriter, r *http.Request, n *number) {
	var target destination
	if err := readJSON(w, r, &target); err != nil {
		writeConfigError(w, http.StatusBadRequest, "Bad request", "the body must be {\"url\":\"…\",\"headers\":{…}}")
		return
	}
	if err := checkTarget(target.URL); err != nil {
		writeConfigError(w, http.StatusBadRequest, "Bad request", "url: "+err.Error())
		return
	}
	n.webhooks.target.Store(&target)
	writeJSON(w, http.StatusOK, target)
}

// health is GET /health_status.
func (s *Simulator) health(w http.ResponseWriter, _ *http.Request, n *number) {
	entity := func(kind, id string) map[string]any {
		return map[string]any{"entity_type": kind, "id": id, "can_send_message": "AVAILABLE"}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"id":                   n.phoneID,
		"display_phone_number": n.metadata.DisplayPhoneNumber,
		"verified_name":        "Simulated sender",
		"quality_rating":       "GREEN",
		"health_status": map[string]any{
			"can_send_message": "AVAILABLE",
			"entities": []any{
				entity("PHONE_NUMBER", n.phoneID), entity("WABA", n.catalog.account),
				entity("BUSINESS", "506847293015824"), entity("APP", "670843887433847"),
			},
		},
	})
}

// mediaStore remembers what was uploaded, not the content.
type mediaStore struct {
	mu   sync.Mutex
	next uint64
	held map[string]mediaObject
}

type mediaObject struct {
	MessagingProduct string `json:"messaging_product"`
	URL              string `json:"url"`
	MIMEType         string `json:"mime_type"`
	SHA256           string `json:"sha256"`
	FileSize         int64  `json:"file_size"`
	ID               string `json:"id"`
}

const maxMedia = 100 << 20

// mediaLimits are the kinds of media and their greatest sizes (whatsapp-facts §2.4).
var mediaLimits = map[string]int64{
	"image/jpeg": 5 << 20, "image/png": 5 << 20,
	"video/mp4": 16 << 20, "video/3gpp": 16 << 20,
	"audio/aac": 16 << 20, "audio/amr": 16 << 20, "audio/mpeg": 16 << 20, "audio/mp4": 16 << 20, "audio/ogg": 16 << 20,
	"image/webp":      500 << 10,
	"application/pdf": maxMedia, "text/plain": maxMedia, "application/msword": maxMedia, "application/vnd.ms-excel": maxMedia,
	"application/vnd.ms-powerpoint":                                             maxMedia,
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   maxMedia,
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         maxMedia,
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": maxMedia,
}

// uploadMedia is POST /media: multipart with messaging_product and file.
func (s *Simulator) uploadMedia(w http.ResponseWriter, r *http.Request, _ *number) {
	object, refused := readMedia(http.MaxBytesReader(w, r.Body, maxMedia+maxRequest), r.Header.Get("Content-Type"))
	if refused != nil {
		s.writeRefusal(w, refused)
		return
	}
	s.media.mu.Lock()
	if s.media.held == nil {
		s.media.held = map[string]mediaObject{}
	}
	s.media.next++
	object.ID = strconv.FormatUint(1_000_000_000_000_000+mix(s.salt+s.media.next)%9_000_000_000_000_000, 10)
	object.URL = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=" + object.ID
	s.media.held[object.ID] = object
	s.media.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]string{"id": object.ID})
}

func readMedia(body io.Reader, contentType string) (mediaObject, *refusal) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return mediaObject{}, refuse(100, "the body must be multipart/form-data")
	}
	object := mediaObject{MessagingProduct: "whatsapp"}
	product, found := "", false
	for parts := multipart.NewReader(body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return object, refuse(100, "the multipart body could not be read")
		}
		switch part.FormName() {
		case "messaging_product":
			text, _ := io.ReadAll(io.LimitReader(part, 64))
			product = string(text)
		case "file":
			sum := sha256.New()
			if object.FileSize, err = io.Copy(sum, part); err != nil {
				return object, refuse(100, "the file could not be read")
			}
			object.SHA256 = hex.EncodeToString(sum.Sum(nil))
			object.MIMEType, _, _ = mime.ParseMediaType(part.Header.Get("Content-Type"))
			found = true
		}
	}
	limit, known := mediaLimits[object.MIMEType]
	switch {
	case product != "whatsapp":
		return object, refuse(100, "must be whatsapp").at("messaging_product")
	case !found:
		return object, refuse(100, "is required").at("file")
	case !known:
		return object, refuse(100, fmt.Sprintf("must be of a supported type, got %q", object.MIMEType)).at("file")
	case object.FileSize == 0:
		return object, refuse(131053, "must not be empty").at("file")
	case object.FileSize > limit:
		return object, refuse(131053, fmt.Sprintf("must be at most %d bytes", limit)).at("file")
	}
	return object, nil
}

func (s *Simulator) getMedia(w http.ResponseWriter, r *http.Request, _ *number) {
	s.media.mu.Lock()
	object, ok := s.media.held[r.URL.Path[1:]]
	s.media.mu.Unlock()
	if !ok {
		s.writeRefusal(w, noMedia())
		return
	}
	writeJSON(w, http.StatusOK, object)
}

func (s *Simulator) deleteMedia(w http.ResponseWriter, r *http.Request, _ *number) {
	id := r.URL.Path[1:]
	s.media.mu.Lock()
	_, ok := s.media.held[id]
	delete(s.media.held, id)
	s.media.mu.Unlock()
	if !ok {
		s.writeRefusal(w, noMedia())
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"success": true})
}

func noMedia() *refusal {
	r := refuse(100, "Object with this ID does not exist, cannot be loaded due to missing permissions, or does not support this operation")
	r.subcode = 33
	return r
}
