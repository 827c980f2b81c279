package dialog360

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// gatewayRow is an answer of 360dialog's own gateway, which has no code of its
// own: we give it a word (whatsapp-facts §4.4). It is known by its text, matched
// loosely, because the same meaning comes with different statuses: rate limit
// and billing lock with 400, an invalid key with a body that says 404.
type gatewayRow struct {
	code string
	text *regexp.Regexp
	row
}

var gatewayRows = []gatewayRow{
	{"d360_billing", regexp.MustCompile(`lack of payment|overdue|unpaid|outstanding invoice`),
		row{http: 400, title: "locked by 360dialog for unpaid invoices", scope: campaign.ScopeAccount, does: pauseW,
			advice: "360dialog locked the account because invoices are overdue; pay them in the 360dialog hub, then resume the account."}},
	{"d360_blocked", regexp.MustCompile(`(endpoint|url|path)\b.{0,80}\bblocked`),
		row{http: 403, title: "endpoint blocked by 360dialog", scope: campaign.ScopeRequest, does: neverOp,
			advice: "360dialog does not allow this call for the number; check the channel's base URL and ask 360dialog to enable it."}},
	{"d360_disabled", regexp.MustCompile(`\b(api|number|account|waba|channel|client)\b.{0,80}\bdisabled\b`),
		row{http: 400, title: "number disabled at 360dialog", scope: campaign.ScopeChannel, does: pauseN,
			advice: "360dialog disabled the number or its account; ask 360dialog's support, then resume the channel."}},
	{"d360_invalid_key", regexp.MustCompile(`(invalid|expired|wrong|missing|unknown|incorrect)\b.{0,20}\b(d360[-_ ]?)?(api[-_ ]?(key|token)|token|d360-api-key)\b|\b(api[-_ ]?(key|token)|token)\b.{0,30}\b(invalid|expired|missing|not valid)\b`),
		row{http: 401, title: "API key invalid or superseded", scope: campaign.ScopeChannel, does: pauseN,
			advice: "360dialog does not know the channel's API key, because a newer one was made or it is mistyped; store the newest key, then resume the channel."}},
	{"d360_rate_limit", regexp.MustCompile(`rate[- ]?limit|limit of \d+ (request|call|message)|too many requests`),
		row{http: 400, title: "endpoint rate limit of 360dialog", scope: campaign.ScopeChannel, does: slowDown(5 * time.Second),
			advice: "360dialog's gateway asks to slow down; sending slows down and goes on by itself, lower the channel's rate if it happens often."}},
}

// gatewayFailure recognises a gateway's text.
func gatewayFailure(text string) (campaign.Failure, bool) {
	text = strings.ToLower(text)
	for _, g := range gatewayRows {
		if g.text.MatchString(text) {
			f := g.failure(g.code)
			if asked := backoff(delayIn(text), unlimited); f.Class == campaign.SlowDown && asked.First > f.Retry.First {
				f.Retry = asked
			}
			return f, true
		}
	}
	return campaign.Failure{}, false
}

// httpRows say what a status means when the body says nothing: the gateway's
// own of whatsapp-facts §4.4, and those whose meaning HTTP itself fixes. All
// others are in httpFailure.
var httpRows = []row{
	{http: 401, title: "not authorised", scope: campaign.ScopeChannel, does: pauseN,
		advice: "360dialog did not accept the channel's API key; store the newest key of the number, then resume the channel."},
	{http: 402, title: "payment required", scope: campaign.ScopeAccount, does: pauseW,
		advice: "360dialog or Meta wants to be paid; check invoices and payment method, then resume the account."},
	{http: 403, title: "forbidden", scope: campaign.ScopeRequest, does: neverOp,
		advice: "The call is not allowed for this number; check the channel's base URL and ask 360dialog to enable it."},
	{http: 404, title: "wrong path", scope: campaign.ScopeRequest, does: neverOp,
		advice: "There is nothing at this address; check the channel's base URL and dialect."},
	{http: 408, title: "request timed out, outcome unknown", scope: campaign.ScopeRequest, does: neverOp,
		advice: "The answer did not come in time and the message may have been sent; wait for its delivery report before deciding."},
	{http: 429, title: "too many requests", scope: campaign.ScopeChannel, does: slowDown(5 * time.Second),
		advice: "The provider asks to slow down; sending slows down and goes on by itself."},
	{http: 500, title: "internal server error", scope: campaign.ScopePlatform, does: retry(10*time.Second, 5),
		advice: "360dialog has a fault or restarts; nothing needs to be done, it is tried again."},
	{http: 502, title: "bad gateway", scope: campaign.ScopeChannel, does: retry(30*time.Second, 5), advice: adviceGateway},
	{http: 503, title: "API not available", scope: campaign.ScopeChannel, does: retry(30*time.Second, 5), advice: adviceGateway},
	{http: 504, title: "gateway timed out", scope: campaign.ScopeChannel, does: retry(30*time.Second, 5), advice: adviceGateway},
}

const adviceGateway = "The number's stack at 360dialog is down; it is tried again, ask 360dialog if it lasts."

// httpFailure classifies by the status alone: the last resort.
func httpFailure(status int) campaign.Failure {
	for _, r := range httpRows {
		if r.http == status {
			return r.failure(httpCode(status))
		}
	}
	r := row{http: status, title: strings.ToLower(http.StatusText(status)), scope: campaign.ScopeRequest, does: neverOp,
		advice: "The provider refused without a reason that we know; look at the details and ask 360dialog."}
	switch {
	case status == 0:
		return unknownFailure(codeUnknown, 0)
	case status < 300:
		r.title = "answer without message id or error"
		r.advice = "The provider's answer says neither yes nor no and the message may have been sent; wait for its delivery report before deciding."
	case status < 400:
		r.title = "redirected"
		r.scope = campaign.ScopeChannel
		r.does = pauseN
		r.advice = "The provider answered with another address; correct the channel's base URL, then resume the channel."
	case status >= 500:
		r.does = unknownRetry
		r.scope = campaign.ScopePlatform
		r.advice = "The provider has a fault; it is tried again a few times."
	}
	if r.title == "" {
		r.title = "HTTP status " + strconv.Itoa(status)
	}
	return r.failure(httpCode(status))
}

func httpCode(status int) string { return "http_" + strconv.Itoa(status) }

// statusIn finds the status that a text names where none is known, such as the
// title of a proxy's page.
func statusIn(text string) int {
	text = strings.ToLower(text)
	for _, s := range []struct {
		words  string
		status int
	}{
		{"internal server error", 500},
		{"bad gateway", 502},
		{"not available", 503},
		{"unavailable", 503},
		{"gateway time", 504},
		{"too many requests", 429},
		{"unauthorized", 401},
		{"forbidden", 403},
		{"not found", 404},
	} {
		if strings.Contains(text, s.words) {
			return s.status
		}
	}
	return 0
}

// noAnswer is what a gateway says when the server behind it did not answer in
// time or not understandably. Such a body is no answer about the message,
// however well-formed it is: the server may have sent it.
var noAnswer = regexp.MustCompile(`(?i)time[d-]?[ -]?out|bad gateway|upstream`)

var (
	delayEvery = regexp.MustCompile(`(?i)(?:every|per|in|after)\s+(\d{1,6})\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b`)
	maxDelay   = 24 * time.Hour
)

// delayIn finds "limit of 1 request every N seconds", "try again in 2 minutes".
func delayIn(text string) time.Duration {
	m := delayEvery.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	unit := time.Second
	switch word := strings.ToLower(m[2]); {
	case word == "ms" || strings.HasPrefix(word, "milli"):
		unit = time.Millisecond
	case word[0] == 'm':
		unit = time.Minute
	case word[0] == 'h':
		unit = time.Hour
	}
	return min(time.Duration(n)*unit, maxDelay)
}

// RetryAfter is how long the provider asked us to wait, by the Retry-After
// header (seconds or a date, RFC 9110 §10.2.3) or by the text of its error body;
// 0 when it did not. Never more than a day: a mistaken header must not park a
// message for a year.
func RetryAfter(header http.Header, body []byte, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds, maxDelay.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), maxDelay)
	}
	return delayIn(readProblem(body).text)
}
