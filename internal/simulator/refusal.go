package simulator

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// refusal is a synchronous answer that is not an acceptance: the Meta code, the
// HTTP status it is usually served with, and the sentence of error_data.details,
// which names the field.
type refusal struct {
	status  int
	code    int
	subcode int
	title   string
	path    string // where in the request, as in template.components[0].type
	reason  string
}

// codeInfo is what an error code is called and the HTTP status it comes with.
type codeInfo struct {
	status int
	title  string
}

// codes holds the codes the simulator can answer or report (whatsapp-facts §4.5).
// It is a table of this package's own: a mistake in the client's catalogue must
// not be mirrored here.
var codes = map[int]codeInfo{
	0:      {401, "AuthException"},
	1:      {400, "API Unknown"},
	2:      {503, "API Service"},
	3:      {500, "API Method"},
	4:      {400, "API Too Many Calls"},
	10:     {403, "Permission Denied"},
	33:     {400, "Parameter value is not valid"},
	100:    {400, "Invalid parameter"},
	190:    {401, "Access token has expired"},
	200:    {403, "API Permission"},
	368:    {403, "Temporarily blocked for policies violations"},
	80007:  {400, "Rate limit issues"},
	130403: {400, "Business blocked by user"},
	130429: {400, "Rate limit hit"},
	130472: {400, "User's number is part of an experiment"},
	130497: {403, "Business account is restricted from messaging users in this country"},
	131000: {500, "Something went wrong"},
	131005: {403, "Access denied"},
	131008: {400, "Required parameter is missing"},
	131009: {400, "Parameter value is not valid"},
	131016: {500, "Service unavailable"},
	131021: {400, "Recipient cannot be sender"},
	131026: {400, "Message undeliverable"},
	131030: {400, "Recipient phone number not in allowed list"},
	131031: {403, "Business Account locked"},
	131036: {400, "Message failed on at least one device"},
	131037: {400, "Phone number needs an approved display name"},
	131042: {400, "Business eligibility payment issue"},
	131045: {500, "Incorrect certificate"},
	131047: {400, "Re-engagement message"},
	131048: {400, "Spam rate limit hit"},
	131049: {400, "This message was not delivered to maintain healthy ecosystem engagement"},
	131050: {400, "User has stopped receiving marketing messages from this business"},
	131051: {400, "Unsupported message type"},
	131052: {400, "Media download error"},
	131053: {400, "Media upload error"},
	131055: {400, "Only marketing templates are supported"},
	131056: {400, "(Business Account, Consumer Account) pair rate limit hit"},
	131057: {500, "Business Account is in maintenance mode"},
	131062: {400, "Business-scoped user id is not supported for this message"},
	131063: {400, "Marketing messages are disabled on Cloud API for this account"},
	131064: {400, "Limit reached because of template misclassification"},
	132000: {400, "Number of parameters does not match the expected number of params"},
	132001: {404, "Template name does not exist in the translation"},
	132005: {400, "Translated text too long"},
	132007: {400, "Template format character policy violated"},
	132008: {400, "Template parameter format mismatch"},
	132012: {400, "Parameter format does not match format in the created template"},
	132015: {400, "Template is paused"},
	132016: {400, "Template is disabled"},
	132018: {400, "There is an issue with the parameters in the template"},
	132068: {400, "Flow is in blocked state"},
	132069: {400, "Flow is in throttled state"},
	133004: {503, "Server temporarily unavailable"},
	133010: {400, "Phone number not registered"},
	134011: {400, "Payments terms of service not accepted"},
	134100: {400, "Only marketing messages are supported"},
	134101: {400, "Template sync is in progress"},
	134102: {500, "Template is unavailable for use"},
	135000: {400, "Generic user error"},
	137000: {400, "Recipient identity key hash mismatch"},
}

// refuse makes a refusal with the title and HTTP status of the code; an unknown
// code is served as HTTP 400.
func refuse(code int, reason string) *refusal {
	info, ok := codes[code]
	if !ok {
		info = codeInfo{http.StatusBadRequest, "Unknown error"}
	}
	r := &refusal{status: info.status, code: code, title: info.title, reason: reason}
	if code == 130429 {
		r.subcode = 2494055
	}
	return r
}

// at puts the name of the enclosing field before the path, so that paths are
// only built for requests that are refused.
func (r *refusal) at(name string) *refusal {
	switch {
	case r == nil:
	case r.path == "":
		r.path = name
	case r.path[0] == '[':
		r.path = name + r.path
	default:
		r.path = name + "." + r.path
	}
	return r
}

func (r *refusal) atIndex(i int) *refusal { return r.at("[" + strconv.Itoa(i) + "]") }

// details is the text of error_data.details.
func (r *refusal) details() string {
	if r.path == "" {
		return r.reason
	}
	return r.path + ": " + r.reason
}

// graphError is the shape Meta's errors have (whatsapp-facts §4.1).
type graphError struct {
	Error graphErrorBody `json:"error"`
}

type graphErrorBody struct {
	Message   string          `json:"message"`
	Type      string          `json:"type"`
	Code      int             `json:"code"`
	Subcode   int             `json:"error_subcode,omitempty"`
	ErrorData *graphErrorData `json:"error_data,omitempty"`
	TraceID   string          `json:"fbtrace_id"`
}

type graphErrorData struct {
	MessagingProduct string `json:"messaging_product,omitempty"`
	Details          string `json:"details"`
}

// body is the refusal as JSON. trace fills fbtrace_id.
func (r *refusal) body(trace string) []byte {
	b, err := json.Marshal(graphError{graphErrorBody{
		Message:   "(#" + strconv.Itoa(r.code) + ") " + r.title,
		Type:      "OAuthException",
		Code:      r.code,
		Subcode:   r.subcode,
		ErrorData: &graphErrorData{MessagingProduct: "whatsapp", Details: r.details()},
		TraceID:   trace,
	}})
	if err != nil {
		panic(err) // a struct of strings and ints always encodes
	}
	return b
}
