package dialog360

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// row is one line of the catalogue: what a code, or a range of codes, of the
// Cloud API means and what is done about it (whatsapp-facts §4.5). HTTP is the
// status that Meta lists; the observed ones vary, so nothing is decided on it.
type row struct {
	from, to int // to is 0 for a single code
	http     int
	title    string
	scope    campaign.Scope
	does     action
	advice   string
}

// action is what a row does, apart from its words.
type action struct {
	class    campaign.Class
	operator bool
	retry    campaign.Retry
	hold     time.Duration
	effect   effect
}

// effect names what a few codes do beyond their class.
type effect int

const (
	none       effect = iota
	optOut            // 131050
	restPerson        // 131049
	dropped           // 132015
)

// The actions, in the words of whatsapp-facts §4.5: never, op, pauseT, pauseN,
// pauseW, retry(d).
var (
	never        = action{class: campaign.Final}
	neverOp      = action{class: campaign.Final, operator: true}
	stopped      = action{class: campaign.Final, effect: optOut}
	pauseT       = action{class: campaign.PauseTemplate, operator: true, retry: afterHold}
	pauseTPacing = action{class: campaign.PauseTemplate, retry: afterHold, effect: dropped}
	pauseN       = action{class: campaign.PauseChannel, operator: true, retry: afterHold}
	pauseN24h    = action{class: campaign.PauseChannel, operator: true, retry: afterHold, hold: 24 * time.Hour}
	pauseN60s    = action{class: campaign.PauseChannel, retry: afterHold, hold: time.Minute}
	pauseW       = action{class: campaign.PauseAccount, operator: true, retry: afterHold}

	// The gap for one pair of number and person: 4ⁿ s from n = 0, as Meta asks.
	// The burst that can be borrowed is 45 messages, 270 s of later quota, so a
	// gap beyond 256 s gains nothing.
	retryPair = action{class: campaign.RetryClass, retry: campaign.Retry{
		First: time.Second, Factor: 4, Cap: 256 * time.Second, Attempts: 8}}
	// design §5: three POSTs in all, at least a day apart, and the person rests.
	retryPerson = action{class: campaign.RetryClass, effect: restPerson, retry: campaign.Retry{
		First: 24 * time.Hour, Factor: 2, Attempts: 3, Jitter: 0.1}}

	// afterHold paces what a pause deferred. The hold itself says when the scope
	// sends again; this only keeps a message that finds it lifted and is refused
	// again from going round at once.
	afterHold = campaign.Retry{First: 30 * time.Second, Factor: 2, Cap: 15 * time.Minute, Jitter: 0.1}
)

// unlimited tries until the deadline: what a limit refuses is not the message's
// fault, and failing it would burn the list.
const unlimited = -1

// retry defers by at least least, doubling, for so many repeats.
func retry(least time.Duration, repeats int) action {
	return action{class: campaign.RetryClass, retry: backoff(least, repeats)}
}

// slowDown also cuts the rate.
func slowDown(least time.Duration) action {
	return action{class: campaign.SlowDown, retry: backoff(least, unlimited)}
}

func (a action) needsOperator() action {
	a.operator = true
	return a
}

// backoff doubles from least up to an hour with ±20 % jitter. The provider's
// delays are the least it accepts, so the jitter must not undercut them: the
// first gap lies between least and 1.5 × least.
func backoff(least time.Duration, repeats int) campaign.Retry {
	return campaign.Retry{First: least * 5 / 4, Factor: 2, Cap: time.Hour, Attempts: repeats + 1, Jitter: 0.2}
}

// cloudRows is the Cloud API's table, in numeric order without overlaps (a test
// keeps it so, the lookup needs it). Where a row of the facts names a person
// only for the case that many recipients fail alike, operator is true as well:
// that is what makes twenty in a row hold the pair (design §5).
var cloudRows = []row{
	{0, 0, 401, "authentication failed", campaign.ScopeAccount, pauseN,
		"The provider did not accept the credentials; check the channel's API key and its permissions at 360dialog, then resume the channel."},
	{1, 0, 400, "unknown API error", campaign.ScopeRequest, retry(10*time.Second, 3).needsOperator(),
		"Meta had a fault or did not understand the request; if it stays, compare the request with the template and ask 360dialog."},
	{2, 0, 503, "API temporarily unavailable", campaign.ScopePlatform, retry(10*time.Second, 6),
		"Meta's service is down or overloaded; nothing needs to be done, it is tried again."},
	{3, 0, 500, "API method not permitted", campaign.ScopeAccount, pauseN,
		"The number lacks a capability or permission that this call needs; ask 360dialog to check the integration, then resume the channel."},
	{4, 0, 400, "application call limit reached", campaign.ScopePlatform, slowDown(time.Minute),
		"360dialog's application has used up its calls at Meta; sending slows down and goes on by itself."},
	{10, 0, 403, "permission denied", campaign.ScopeAccount, pauseN,
		"The permission to send for this number was not granted or was withdrawn; check it in the 360dialog hub, then resume the channel."},
	{17, 0, 400, "user call limit reached", campaign.ScopeAccount, slowDown(time.Minute),
		"Too many calls to Meta in a short time; sending slows down and goes on by itself."},
	{33, 0, 400, "phone number deleted or unknown", campaign.ScopeChannel, pauseN,
		"The business phone number no longer exists at Meta or the id is wrong; check the number in the 360dialog hub."},
	{100, 0, 400, "invalid parameter", campaign.ScopeRequest, neverOp,
		"A field of the request is unknown or wrong; compare the campaign's parameters with the template and send a test message."},
	{104, 0, 401, "access token missing", campaign.ScopeChannel, pauseN,
		"The API key is missing or no longer valid; store the newest key of the number, then resume the channel."},
	{190, 0, 401, "access token expired", campaign.ScopeChannel, pauseN,
		"The API key has expired or was replaced by a newer one; store the newest key of the number, then resume the channel."},
	{200, 299, 403, "permission not granted", campaign.ScopeAccount, pauseN,
		"A permission is missing, or the Marketing Messages terms are not accepted; settle it in the WhatsApp Manager, then resume the channel."},
	{368, 0, 403, "temporarily blocked for policy violations", campaign.ScopeAccount, pauseW,
		"Meta blocked the WhatsApp account for breaking its policies; read the notice in the WhatsApp Manager and appeal or wait before resuming."},
	{613, 0, 400, "custom call limit reached", campaign.ScopeChannel, slowDown(time.Minute),
		"Too many calls of one kind in a short time; sending slows down and goes on by itself."},
	{80007, 0, 400, "WhatsApp account rate limit", campaign.ScopeAccount, slowDown(time.Minute),
		"The WhatsApp account has reached its call limit; all its numbers slow down and go on by themselves."},
	{80008, 0, 429, "message call limit reached", campaign.ScopeAccount, slowDown(time.Minute),
		"Too many message calls for this WhatsApp account; sending slows down and goes on by itself."},
	{130403, 0, 0, "blocked by this person", campaign.ScopeRecipient, never,
		"The person blocked your business; do not write to them again."},
	{130429, 0, 400, "throughput limit reached", campaign.ScopeChannel, slowDown(time.Second),
		"The number sends faster than Meta allows; the rate is cut and recovers by itself, lower the channel's rate if it happens often."},
	{130472, 0, 400, "person is in an experiment", campaign.ScopeRecipient, never,
		"Meta shows this person no marketing as part of an experiment; trying again gives the same answer unless the person writes to you first."},
	{130497, 0, 403, "country not allowed", campaign.ScopeAccount, neverOp,
		"Your business may not message people in this country; leave the country out of the audience."},
	{131000, 0, 500, "something went wrong", campaign.ScopeRequest, retry(10*time.Second, 3),
		"Meta had an unknown fault; it is tried again a few times."},
	{131005, 0, 403, "access denied", campaign.ScopeAccount, pauseN,
		"The permission for this number was withdrawn; check it in the 360dialog hub, then resume the channel."},
	{131008, 0, 400, "required parameter missing", campaign.ScopeRequest, neverOp,
		"A parameter is missing or blank; give every placeholder of the template a value, or a default in the campaign file."},
	{131009, 0, 400, "parameter value invalid", campaign.ScopeRequest, never,
		"A value was refused, such as the phone number or a media id; correct the contact or upload the media again."},
	{131016, 0, 500, "service unavailable", campaign.ScopePlatform, retry(30*time.Second, 6),
		"A service at Meta is down; nothing needs to be done, it is tried again."},
	{131020, 0, 0, "group messaging error", campaign.ScopeRequest, neverOp,
		"The answer is about group messages, which campaigns do not use; ask 360dialog if it appears."},
	{131021, 0, 400, "recipient is the sender", campaign.ScopeRecipient, never,
		"The recipient's number is the sending number itself; remove it from the list."},
	{131026, 0, 400, "message undeliverable", campaign.ScopeRecipient, never,
		"The number is not on WhatsApp, uses an old app or has not accepted the terms; remove the contact if it happens in several campaigns."},
	{131030, 0, 400, "recipient not in the allowed list", campaign.ScopeChannel, neverOp,
		"A test number can only write to its five allowed recipients; add the recipient there or send from a real number."},
	{131031, 0, 403, "account locked", campaign.ScopeAccount, pauseW,
		"Meta locked the WhatsApp account for a policy violation or a wrong PIN; settle it in the WhatsApp Manager before resuming."},
	{131035, 0, 0, "webhook not delivered in time", campaign.ScopeAccount, neverOp,
		"Some delivery reports were lost because the webhook was away too long; check messages in doubt by hand and do not send them again blindly."},
	{131036, 0, 0, "failed on one device", campaign.ScopeRecipient, never,
		"At least one of the person's devices did not get the message, others may have; nothing needs to be done."},
	{131037, 0, 400, "display name not approved", campaign.ScopeChannel, pauseN,
		"A 555 number needs an approved display name before it may send; request one in the WhatsApp Manager, then resume the channel."},
	{131041, 0, 0, "group messaging error", campaign.ScopeRequest, neverOp,
		"The answer is about group messages, which campaigns do not use; ask 360dialog if it appears."},
	{131042, 0, 400, "payment problem", campaign.ScopeAccount, pauseW,
		"Meta cannot bill the account; check the payment method and credit line in the WhatsApp Manager, then resume the account."},
	{131044, 0, 0, "payment problem for calls", campaign.ScopeAccount, neverOp,
		"Meta cannot bill calls of this account; check the payment method in the WhatsApp Manager."},
	{131045, 0, 500, "number not registered correctly", campaign.ScopeChannel, pauseN,
		"The number's registration or certificate is broken; register it again through 360dialog, then resume the channel."},
	{131047, 0, 400, "more than 24 hours since the last reply", campaign.ScopeRecipient, neverOp,
		"Only templates may be sent outside the 24 hour window; make sure that the campaign sends a template."},
	{131048, 0, 400, "spam rate limit", campaign.ScopeChannel, pauseN24h,
		"Too many people blocked or reported this number; it rests for at least a day, check its quality rating and the audience before going on."},
	{131049, 0, 400, "not delivered to keep the ecosystem healthy", campaign.ScopeRecipient, retryPerson,
		"The person has received enough marketing for now, or is in the US, where marketing is paused; it is tried again after a day at the earliest."},
	{131050, 0, 400, "person stopped marketing from you", campaign.ScopeRecipient, stopped,
		"The person opted out of your marketing messages; the opt-out is recorded and no more marketing is sent to them."},
	{131051, 0, 400, "unsupported message type", campaign.ScopeRequest, neverOp,
		"WhatsApp does not support this type of message; send a template."},
	{131052, 0, 400, "inbound media could not be downloaded", campaign.ScopeRequest, never,
		"A file that a person sent you could not be fetched; it does not concern the campaign."},
	{131053, 0, 400, "media could not be fetched", campaign.ScopeRequest, retry(time.Minute, 1).needsOperator(),
		"Meta could not fetch the header's media or its type does not match; check the link, or upload the file and use its id."},
	{131055, 0, 400, "only marketing templates on this path", campaign.ScopeTemplate, pauseT,
		"The message went through the Marketing Messages API, which takes marketing templates only; send this template through the Cloud API path."},
	{131056, 0, 400, "too many messages to this person", campaign.ScopeRecipient, retryPair,
		"Too many messages to one person in a short time; this message waits, others are not affected."},
	{131057, 0, 500, "number in maintenance", campaign.ScopeChannel, pauseN60s,
		"The number is being upgraded to a higher throughput; it rests for a minute and goes on by itself."},
	{131059, 0, 0, "group messaging error", campaign.ScopeRequest, neverOp,
		"The answer is about group messages, which campaigns do not use; ask 360dialog if it appears."},
	{131062, 0, 0, "user id not supported for this message", campaign.ScopeRecipient, never,
		"This template cannot be sent to a user id; send it to the person's phone number."},
	{131063, 0, 0, "marketing disabled on the Cloud API", campaign.ScopeAccount, pauseT,
		"Marketing for this account must go through the Marketing Messages API; have 360dialog enable it, then resume the template."},
	{131064, 0, 0, "limited for misclassified templates", campaign.ScopeAccount, pauseW,
		"Meta limits the account because templates were filed under the wrong category; correct them and wait until the limit is lifted."},
	{131200, 131299, 0, "group messaging error", campaign.ScopeRequest, neverOp,
		"The answer is about group messages, which campaigns do not use; ask 360dialog if it appears."},
	{132000, 0, 400, "number of parameters does not match", campaign.ScopeRequest, neverOp,
		"The campaign fills another number of placeholders than the template has; sync the templates and correct the parameters."},
	{132001, 0, 404, "template does not exist", campaign.ScopeTemplate, pauseT,
		"The template is missing in this language or not approved; sync the templates and check name, language and status."},
	{132005, 0, 400, "text too long", campaign.ScopeRequest, never,
		"The text is too long with its parameters filled in; shorten the values."},
	{132007, 0, 400, "template breaks the content policy", campaign.ScopeTemplate, pauseT,
		"The template's content breaks a WhatsApp policy; change it and have it approved again."},
	{132008, 0, 400, "parameter format does not match", campaign.ScopeRequest, neverOp,
		"A parameter has another form than the template expects; sync the templates and correct the parameters."},
	{132012, 0, 400, "parameter format does not match", campaign.ScopeRequest, neverOp,
		"A parameter has another form than the template expects; sync the templates and correct the parameters."},
	{132015, 0, 400, "template paused", campaign.ScopeTemplate, pauseTPacing,
		"Meta paused the template or dropped held messages for low quality; read the feedback, and unpause it in the WhatsApp Manager if it does not end by itself."},
	{132016, 0, 400, "template disabled", campaign.ScopeTemplate, pauseT,
		"Meta disabled the template for good; make a new one with other content."},
	{132018, 0, 400, "parameter content invalid", campaign.ScopeRequest, never,
		"A value holds newlines, tabs or more than four spaces in a row; clean the contact's data."},
	{132068, 0, 400, "flow blocked", campaign.ScopeTemplate, pauseT,
		"The flow behind the template's button is blocked; correct it in the WhatsApp Manager, then resume the template."},
	{132069, 0, 400, "flow throttled", campaign.ScopeTemplate, retry(10*time.Minute, 6),
		"The flow behind the template's button is throttled to ten messages an hour; improve the flow or send without it."},
	{133000, 0, 500, "registration error", campaign.ScopeChannel, neverOp, adviceRegistration},
	{133004, 0, 503, "registration server unavailable", campaign.ScopePlatform, retry(time.Minute, 6),
		"Meta's registration service is away; nothing needs to be done, it is tried again."},
	{133005, 0, 400, "registration PIN error", campaign.ScopeChannel, neverOp, adviceRegistration},
	{133006, 0, 400, "registration error", campaign.ScopeChannel, neverOp, adviceRegistration},
	{133008, 133009, 400, "registration PIN error", campaign.ScopeChannel, neverOp, adviceRegistration},
	{133010, 0, 400, "number not registered", campaign.ScopeChannel, pauseN,
		"The number is not registered on the WhatsApp platform; register it through 360dialog, then resume the channel."},
	{133015, 133016, 400, "registration error", campaign.ScopeChannel, neverOp, adviceRegistration},
	{134011, 0, 400, "payments terms not accepted", campaign.ScopeAccount, neverOp,
		"The terms of WhatsApp payments are not accepted; accept them in the WhatsApp Manager."},
	{134100, 0, 400, "only marketing on the Marketing Messages API", campaign.ScopeTemplate, pauseT,
		"The Marketing Messages API takes marketing templates only; send this template through the Cloud API path."},
	{134101, 0, 400, "template is still being synced", campaign.ScopeTemplate, retry(10*time.Minute, 5),
		"A new template needs up to ten minutes until the Marketing Messages API knows it; it is tried again."},
	{134102, 0, 500, "template not available on the Marketing Messages API", campaign.ScopeTemplate, pauseT,
		"The template or the account is not eligible for the Marketing Messages API; send it through the Cloud API path, or ask 360dialog."},
	{135000, 0, 400, "generic request error", campaign.ScopeRequest, neverOp,
		"Something in the request's parameters is wrong; compare them with the template and send a test message."},
	{137000, 0, 0, "identity of the person has changed", campaign.ScopeRecipient, never,
		"The person's identity changed since it was checked; send again without the identity check once you trust it."},
	{138000, 138999, 0, "calling error", campaign.ScopeRequest, neverOp,
		"The answer is about calls, which campaigns do not use; ask 360dialog if it appears."},
	{139000, 139999, 0, "flow management error", campaign.ScopeRequest, neverOp,
		"The answer is about managing flows, which campaigns do not do; correct the flow in the WhatsApp Manager."},
	{147000, 147999, 0, "username error", campaign.ScopeRequest, neverOp,
		"The answer is about usernames, which campaigns do not manage; ask 360dialog if it appears."},
	{200005, 200007, 0, "template insights error", campaign.ScopeRequest, never,
		"The answer is about template statistics and does not concern sending."},
	{2388000, 2388999, 400, "template management error", campaign.ScopeTemplate, neverOp,
		"Meta refused a change to a template or number; read the details and correct it in the WhatsApp Manager."},
	{2494100, 0, 400, "number in maintenance", campaign.ScopeTemplate, retry(2*time.Minute, 6),
		"Meta maintains the number or account; nothing needs to be done, it is tried again."},
	{2593000, 2593999, 400, "template sync or migration error", campaign.ScopeTemplate, neverOp,
		"Meta could not sync or migrate a template or number; read the details and ask 360dialog."},
}

const adviceRegistration = "The number's registration or PIN is wrong; register it again through 360dialog."

// lookup finds the row of a Cloud API code.
func lookup(code int) (row, bool) {
	i, found := slices.BinarySearchFunc(cloudRows, code, func(r row, code int) int {
		if code >= r.from && code <= r.last() {
			return 0
		}
		return cmp.Compare(r.from, code)
	})
	if !found {
		return row{}, false
	}
	return cloudRows[i], true
}

func (r row) last() int { return max(r.from, r.to) }

// failure is the row as the rest of the program sees it.
func (r row) failure(code string) campaign.Failure {
	return campaign.Failure{
		Code:        code,
		Title:       r.title,
		Class:       r.does.class,
		Scope:       r.scope,
		Operator:    r.does.operator,
		Advice:      r.advice,
		Retry:       r.does.retry,
		Hold:        r.does.hold,
		HTTP:        r.http,
		OptOut:      r.does.effect == optOut,
		RestContact: r.does.effect == restPerson,
		NeverUS:     r.does.effect == restPerson,
		Dropped:     r.does.effect == dropped,
	}
}

// Catalogue lists every row: the codes of the Cloud API and the legacy ones in
// numeric order, then what 360dialog's gateway answers without a code. A range
// of codes is one row, "200-299".
func Catalogue() []campaign.Failure {
	type numbered struct {
		from    int
		failure campaign.Failure
	}
	var all []numbered
	for _, r := range cloudRows {
		code := strconv.Itoa(r.from)
		if r.to != 0 {
			code += "-" + strconv.Itoa(r.to)
		}
		all = append(all, numbered{r.from, r.failure(code)})
	}
	for _, l := range legacyRows {
		all = append(all, numbered{l.code, l.failure()})
	}
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(a.from, b.from) })

	list := make([]campaign.Failure, 0, len(all)+len(gatewayRows)+len(httpRows))
	for _, n := range all {
		list = append(list, n.failure)
	}
	for _, g := range gatewayRows {
		list = append(list, g.failure(g.code))
	}
	for _, h := range httpRows {
		list = append(list, h.failure(httpCode(h.http)))
	}
	return list
}
