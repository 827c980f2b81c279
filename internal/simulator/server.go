package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	maxRequest = 1 << 20
	keyHeader  = "D360-API-KEY"
)

// ServeHTTP answers a request as the provider does. It needs Run for the
// webhooks; without it requests are answered and nothing is reported.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if strings.HasPrefix(path, "/simulator/") {
		s.serveControl(w, r)
		return
	}
	methods := s.route(path)
	if methods == nil {
		writeError(w, http.StatusNotFound, "Not found")
		return
	}
	handle := methods[r.Method]
	if handle == nil {
		allowed := make([]string, 0, len(methods))
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if methods[method] != nil {
				allowed = append(allowed, method)
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeError(w, http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	n := s.authenticate(w, r)
	if n == nil {
		return
	}
	handle(w, r, n)
}

type handler = func(http.ResponseWriter, *http.Request, *number)

// route lists the methods of a path (whatsapp-facts §1, §1.1); nil for a path
// there is none of.
func (s *Simulator) route(path string) map[string]handler {
	switch path {
	case "/messages":
		return map[string]handler{"POST": s.postMessage}
	case "/marketing_messages":
		return map[string]handler{"POST": s.postMarketingMessage}
	case "/v1/messages":
		return map[string]handler{"POST": s.postSandboxMessage}
	case "/message_templates":
		return map[string]handler{"GET": s.listTemplates, "POST": s.createTemplate, "DELETE": s.deleteTemplate}
	case "/v1/configs/templates":
		return map[string]handler{"GET": s.listConfigTemplates, "POST": s.createTemplate}
	case "/v1/configs/webhook":
		return map[string]handler{"GET": s.getWebhook, "POST": s.setWebhook}
	case "/media":
		return map[string]handler{"POST": s.uploadMedia}
	case "/health_status":
		return map[string]handler{"GET": s.health}
	}
	if rest, ok := strings.CutPrefix(path, "/v1/configs/templates/"); ok && rest != "" && !strings.Contains(rest, "/") {
		return map[string]handler{"DELETE": s.deleteTemplate}
	}
	if id := path[1:]; id != "" && only(id, func(b byte) bool { return b >= '0' && b <= '9' }) {
		return map[string]handler{"GET": s.getMedia, "DELETE": s.deleteMedia}
	}
	return nil
}

// authenticate finds the number of a key, or answers 401: a missing key with a
// plain error, a wrong one with the body that says 404 (whatsapp-facts §4.3).
func (s *Simulator) authenticate(w http.ResponseWriter, r *http.Request) *number {
	key := r.Header.Get(keyHeader)
	if n := s.byKey[key]; n != nil {
		return n
	}
	if n := s.byKey[""]; n != nil {
		return n
	}
	s.stats.unauthorized.Add(1)
	if strings.HasSuffix(r.URL.Path, "messages") && r.Method == http.MethodPost {
		s.recordUnauthorized(w, r)
	}
	if key == "" {
		writeError(w, http.StatusUnauthorized, "Invalid api token.")
		return nil
	}
	writeJSON(w, http.StatusUnauthorized, map[string]any{"meta": map[string]any{
		"httpCode": 404, "developerMessage": "Invalid api_key or token expired", "success": false,
	}})
	return nil
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody returns the body in a buffer that goes back to the pool when done.
func readBody(w http.ResponseWriter, r *http.Request) (*bytes.Buffer, *refusal) {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, maxRequest)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return b, refuse(100, "the request body is larger than "+strconv.Itoa(maxRequest)+" bytes")
		}
		return b, refuse(100, "the request body could not be read")
	}
	return b, nil
}

// readJSON reads a small JSON body into v.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func writeBytes(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // everything written here was made here or decoded from JSON
	}
	writeBytes(w, status, body)
}

// writeError writes the gateway's plain shape (whatsapp-facts §4.3, shape 3).
func writeError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]string{"error": text})
}

// writeConfigError writes the shape of the configuration endpoints (shape 4).
func writeConfigError(w http.ResponseWriter, status int, message string, details ...string) {
	meta := map[string]any{"success": false, "http_code": status, "developer_message": message}
	if details != nil {
		meta["details"] = details
	}
	writeJSON(w, status, map[string]any{"meta": meta})
}

func (s *Simulator) writeRefusal(w http.ResponseWriter, r *refusal) {
	writeBytes(w, r.status, r.body(s.trace()))
}

// trace makes an fbtrace_id.
func (s *Simulator) trace() string {
	return "A" + strconv.FormatUint(mix(s.salt+s.serial.Add(1)), 36)
}
