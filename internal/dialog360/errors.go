package dialog360

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/campaignd/campaignd/internal/campaign"
)

// codeUnknown stands for an error that has no code at all. It is a word, because
// 0 is a code of Meta's: authentication failed.
const codeUnknown = "unknown"

// unknownRetry is for unknown codes with a 5xx (whatsapp-facts §4.5, last row).
var unknownRetry = retry(30*time.Second, 5)

// Explain gives the catalogue's row for a code of the Cloud API or of the
// On-Premise API. It never fails: a code that we do not know is final and needs
// a person. HTTP is the status that Meta lists for the code, 0 where it lists
// none.
func Explain(code int) campaign.Failure {
	return explain(strconv.Itoa(code), code, 0)
}

func explain(code string, number, status int) campaign.Failure {
	if r, known := lookup(number); known {
		return r.failure(code)
	}
	if l, known := lookupLegacy(number); known {
		f := l.failure()
		f.Code = code
		return f
	}
	return unknownFailure(code, status)
}

// unknownFailure: 4xx and no status are final and counted, 5xx is tried again.
func unknownFailure(code string, status int) campaign.Failure {
	r := row{title: "unknown error", scope: campaign.ScopeRequest, does: neverOp,
		advice: "This error is not in the catalogue; look at the details and ask 360dialog what it means."}
	if status >= 500 {
		r.scope = campaign.ScopePlatform
		r.does = unknownRetry
		r.advice = "This fault of the provider is not in the catalogue; it is tried again a few times."
	}
	return r.failure(code)
}

// ExplainHTTP reads an answer that is not a success: its HTTP status (0 when it
// is not known) and its body, in any of the shapes of whatsapp-facts §4.3. It
// never fails. A numeric code decides, whatever the status; then the texts of
// 360dialog's gateway; then the status.
//
// recognised says that the body is an error body of the provider: an answer
// about the message, also under a 5xx. Whether anything is known about the
// message is for InDoubt to say. A success (2xx and a message id) gives a
// Failure without code and class, and false.
func ExplainHTTP(status int, body []byte) (failure campaign.Failure, recognised bool) {
	p := readProblem(body)
	if p.accepted && (status == 0 && !p.recognised || status >= 200 && status < 300) {
		return campaign.Failure{Title: "no error", Advice: "The provider accepted the message.", HTTP: status}, false
	}
	if !p.numeric && noAnswer.MatchString(p.text) {
		p.recognised = false
	}
	f := p.failure(status)
	f.Details = bounded(p.details, detailsLimit)
	switch {
	case status != 0:
		f.HTTP = status
	case p.http != 0:
		f.HTTP = p.http
	}
	return f, p.recognised
}

// InDoubt reports whether an answer that carried no message id leaves open if
// the message was sent: 2xx without an error, and 408 and every 5xx but 503
// without a recognised error body (design §4.6). recognised is ExplainHTTP's.
func InDoubt(status int, recognised bool) bool {
	if recognised {
		return false
	}
	return status < 300 || status == 408 || status >= 500 && status != 503
}

// failure finds the row for what a body says.
func (p problem) failure(status int) campaign.Failure {
	if status < 300 && p.http >= 300 {
		status = p.http
	}
	switch {
	case p.numeric && p.readsAsStatus():
		f, known := gatewayFailure(p.text)
		if !known {
			f = httpFailure(p.number)
		}
		f.Code = p.code
		return f
	case p.numeric:
		f := explain(p.code, p.number, status)
		if p.subcode == maintenanceSubcode {
			f = explain(p.code, p.subcode, status)
		}
		return p.refine(f)
	}
	if code, known := codeOfSubcode[p.subcode]; known {
		return Explain(code)
	}
	if f, known := gatewayFailure(p.text); known {
		return f
	}
	if status < 300 {
		if named := statusIn(p.text); named != 0 {
			status = named
		}
	}
	f := httpFailure(status)
	if p.code != "" {
		f.Code = p.code
	}
	return f
}

// Meta's codes often stand in error_subcode under a general code; these say
// more than the code, or all there is.
const maintenanceSubcode = 2494100

var codeOfSubcode = map[int]int{
	33:                 33,
	2494055:            130429,
	2655007:            131030,
	maintenanceSubcode: maintenanceSubcode,
}

// readsAsStatus: outside the On-Premise shape a code such as 400 or 404 is the
// HTTP status again, not the legacy code that stands for a failed media
// download or a missing template. 402, 429, 470 and their like mean the same in
// both readings and stay legacy codes.
func (p problem) readsAsStatus() bool {
	if p.onPremise || p.number < 400 || p.number > 599 {
		return false
	}
	switch p.number {
	case 400, 403, 404, 408, 410, 501:
		return true
	}
	_, legacy := lookupLegacy(p.number)
	return !legacy
}

// refine gives better advice where a code has several causes and the body says
// which.
func (p problem) refine(f campaign.Failure) campaign.Failure {
	text := strings.ToLower(p.text)
	switch {
	case strings.Contains(text, "marketing messages") && strings.Contains(text, "terms"):
		f.Advice = "The terms of the Marketing Messages API are not accepted; accept them in the WhatsApp Manager, then resume."
	case p.number == 100 && p.subcode == 33:
		f.Advice = "An id in the request does not exist or is not visible to this API key; check the channel's key and any media id."
	}
	return f
}

// detailsLimit bounds what is stored of the provider's words with each message.
const detailsLimit = 500

func bounded(s string, runes int) string {
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	return string([]rune(s)[:runes]) + "…"
}

// Explanation is a Failure as "error explain --json" prints it (design §11).
type Explanation campaign.Failure

// MarshalJSON writes code and maps_to as numbers where they are numeric and
// otherwise as words or null; class and http are null where there is none.
func (e Explanation) MarshalJSON() ([]byte, error) {
	v := struct {
		Code     any     `json:"code"`
		MapsTo   any     `json:"maps_to"`
		Title    string  `json:"title"`
		Class    *string `json:"class"`
		Scope    *string `json:"scope"`
		Operator bool    `json:"operator"`
		Advice   string  `json:"advice"`
		HTTP     *int    `json:"http"`
	}{
		Code:     numberOrWord(e.Code),
		MapsTo:   numberOrWord(e.MapsTo),
		Title:    e.Title,
		Class:    present(string(e.Class)),
		Scope:    present(string(e.Scope)),
		Operator: e.Operator,
		Advice:   e.Advice,
		HTTP:     present(e.HTTP),
	}
	return json.Marshal(v)
}

func numberOrWord(code string) any {
	if n, err := strconv.ParseInt(code, 10, 64); err == nil {
		return n
	}
	if code == "" {
		return nil
	}
	return code
}

func present[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
