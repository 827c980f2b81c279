package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

type wireAccepted struct {
	MessagingProduct string         `json:"messaging_product,omitempty"`
	Contacts         []wireInput    `json:"contacts,omitempty"`
	Messages         []wireID       `json:"messages"`
	Meta             *wireSandboxed `json:"meta,omitempty"`
}

type wireInput struct {
	Input  string `json:"input"`
	WaID   string `json:"wa_id,omitempty"`
	UserID string `json:"user_id,omitempty"`
}

type wireID struct {
	ID            string `json:"id"`
	MessageStatus string `json:"message_status,omitempty"`
}

type wireSandboxed struct {
	APIStatus string `json:"api_status"`
	Version   string `json:"version"`
}

// success is the answer to a send that was taken (whatsapp-facts §3, §1.2).
func (d *delivery) success() (int, []byte) {
	answer := wireAccepted{Messages: []wireID{{ID: d.id}}}
	status := http.StatusOK
	if d.dialect == sandbox {
		status, answer.Meta = http.StatusCreated, &wireSandboxed{"stable", "2.x"}
	} else {
		answer.MessagingProduct = "whatsapp"
		input := wireInput{Input: d.send.to, WaID: d.waID}
		if d.send.to == "" {
			input = wireInput{Input: d.send.bsuid, UserID: d.send.bsuid}
		}
		answer.Contacts = []wireInput{input}
		if d.send.template != nil {
			answer.Messages[0].MessageStatus = d.verdict.word
		}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // a struct of strings
	}
	return status, body
}

// answer writes the ledger, then the answer or what is left of it.
func (s *Simulator) answer(w http.ResponseWriter, r *http.Request, d *delivery) {
	s.ledger.add(Entry{At: d.at, To: d.recipient(), Opaque: d.send.opaque, ID: d.id, Outcome: d.outcome()})
	v := &d.verdict
	switch {
	case v.refused != nil:
		s.stats.refused.Add(1)
		body := v.refused.body(s.trace())
		if d.dialect == marketing {
			body = slices.Concat([]byte(`{"detail":`), body, []byte{'}'})
		}
		writeBytes(w, v.refused.status, body)
	case v.fault != faultNone:
		s.stats.faults.Add(1)
		s.breakAnswer(w, r, d)
	default:
		status, body := d.success()
		writeBytes(w, status, body)
	}
}

func (d *delivery) recipient() string {
	if d.send.to == "" {
		return d.send.bsuid
	}
	return d.send.to
}

// outcome is the ledger's word for what happened.
func (d *delivery) outcome() string {
	switch v := &d.verdict; {
	case v.refused != nil:
		return "refused:" + strconv.Itoa(v.refused.code)
	case v.fault != faultNone:
		return string(v.fault)
	case v.word == wordHeld:
		return "held"
	default:
		return v.word
	}
}

// breakAnswer does what the fault says.
func (s *Simulator) breakAnswer(w http.ResponseWriter, r *http.Request, d *delivery) {
	status, body := http.StatusOK, []byte(nil)
	if d.id != "" {
		status, body = d.success()
	}
	switch d.verdict.fault {
	case faultCutBefore, faultCutAfter:
		cut(w, "")
	case faultHalf:
		cut(w, fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			status, http.StatusText(status), len(body), body[:len(body)/2]))
	case faultSlow:
		select {
		case <-r.Context().Done(): // the client gave up
			return
		case <-s.ctx.Done():
		case <-time.After(s.config.SlowAnswer):
		}
		writeBytes(w, status, body)
	case faultEmpty502:
		w.WriteHeader(http.StatusBadGateway)
	case faultHTML504:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusGatewayTimeout)
		_, _ = io.WriteString(w, "<html><head><title>504 Gateway Time-out</title></head><body><center><h1>504 Gateway Time-out</h1></center></body></html>\r\n")
	case faultGarbage:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "\x00\x1f\x8b{\"messages\":[{\"id\":")
	case faultNoID:
		writeJSON(w, http.StatusOK, map[string]any{"messaging_product": "whatsapp", "contacts": []any{}, "messages": []any{}})
	case faultError200:
		writeBytes(w, http.StatusOK, refuse(131000, "Message failed to send due to an unknown error.").body(s.trace()))
	case faultRedirect:
		w.Header().Set("Location", r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
	case faultGateway:
		writeJSON(w, http.StatusBadRequest, map[string]any{"meta": map[string]any{
			"success": false, "http_code": 400, "developer_message": "You have exceeded the limit of 1 request every 5 seconds",
		}})
	case faultGateway5:
		writeJSON(w, http.StatusInternalServerError, map[string]any{"meta": map[string]any{
			"httpCode": 500, "developerMessage": "Internal server error", "success": false,
		}})
	}
}

// cut ends the connection with a reset, after writing the given bytes and
// nothing else.
func cut(w http.ResponseWriter, first string) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // not HTTP/1: the server ends the stream
	}
	defer connection.Close()
	if first != "" {
		// A reset could overtake the bytes, so this one ends in order.
		_, _ = io.WriteString(connection, first)
		return
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}
