package dialog360

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// legacyRow is a code of the On-Premise API, which is only read, never sent to
// (whatsapp-facts §4.6). It takes everything but its title from the Cloud code
// that it maps to; the few without one carry their own row.
type legacyRow struct {
	code   int
	mapsTo int
	title  string
	own    *row
}

// legacyRows is in numeric order and shares no code with cloudRows; a test keeps
// it so.
var legacyRows = []legacyRow{
	{400, 131052, "inbound media could not be downloaded", nil},
	{402, 131042, "payment problem", nil},
	{403, 131005, "forbidden", nil},
	{404, 132001, "not found", nil},
	{408, 0, "message pending for more than a day", &legacyPending},
	{410, 0, "message expired", &legacyExpired},
	{429, 130429, "rate limit", nil},
	{430, 131045, "certificate problem", nil},
	{432, 131045, "certificate problem", nil},
	{433, 131045, "certificate problem", nil},
	{470, 131047, "more than 24 hours since the last reply", nil},
	{471, 131048, "spam rate limit", nil},
	{472, 130472, "person is in an experiment", nil},
	{480, 137000, "identity of the person has changed", nil},
	{500, 131000, "generic error", nil},
	{501, 131051, "unsupported message type", nil},
	{1000, 131053, "generic media error", nil},
	{1001, 131009, "message too long", nil},
	{1002, 131009, "invalid recipient type", nil},
	{1003, 131009, "message too long", nil},
	{1004, 131009, "resource exists already", nil},
	{1005, 131005, "access denied", nil},
	{1006, 131009, "resource not found", nil},
	{1007, 130403, "recipient blocked", nil},
	{1008, 131008, "required parameter missing", nil},
	{1009, 131009, "parameter value invalid", nil},
	{1010, 131009, "parameter not needed", nil},
	{1011, 131016, "service not ready", nil},
	{1012, 190, "invalid authentication", nil},
	{1013, 131026, "recipient is not a valid WhatsApp user", nil},
	{1014, 131053, "internal error or media could not be fetched", nil},
	{1015, 130429, "too many requests", nil},
	{1016, 0, "system overloaded", &legacyOverload},
	{1017, 0, "not the primary node", &legacyOperator},
	{1018, 0, "not the leading node", &legacyOperator},
	{1021, 0, "bad user", &legacyOperator},
	{1022, 0, "webhook URL not configured", &legacyOperator},
	{1023, 0, "database error", &legacyOperator},
	{1024, 0, "password change required", &legacyOperator},
	{1025, 0, "invalid request", &legacyOperator},
	{1026, 131026, "receiver incapable", nil},
	{1031, 131031, "account locked", nil},
	{2000, 132000, "number of parameters does not match", nil},
	{2001, 132001, "template missing in this language", nil},
	{2002, 0, "receiver failed to download the template", &legacyDownload},
	{2003, 0, "template pack missing at the receiver", &legacyDownload},
	{2004, 132000, "parameter count or format does not match", nil},
	{2005, 132005, "text too long", nil},
	{2006, 132018, "white space not allowed", nil},
	{2007, 132007, "template breaks the character policy", nil},
	{2008, 132012, "media format does not match", nil},
	{2009, 132012, "media missing", nil},
	{2012, 132012, "parameter format does not match", nil},
	{2040, 132012, "template parameter invalid", nil},
	{2060, 132015, "template paused", nil},
	{2061, 132015, "template dropped by pacing", nil},
	{2062, 132016, "template disabled", nil},
	{2064, 132016, "template disabled", nil},
}

var (
	legacyPending = row{scope: campaign.ScopeRecipient, does: retry(time.Minute, 1),
		advice: "The message waited for more than a day without reaching the person; it is tried once more."}
	legacyExpired = row{scope: campaign.ScopeRecipient, does: never,
		advice: "The message expired before it reached the person; nothing was delivered."}
	legacyOverload = row{scope: campaign.ScopePlatform, does: retry(30*time.Second, 6),
		advice: "The old WhatsApp client is overloaded; nothing needs to be done, it is tried again."}
	legacyDownload = row{scope: campaign.ScopeRecipient, does: retry(30*time.Second, 3),
		advice: "The person's phone could not load the template; it is tried again a few times."}
	legacyOperator = row{scope: campaign.ScopeRequest, does: neverOp,
		advice: "The old WhatsApp client is not set up correctly; move the number to the Cloud API or ask 360dialog."}
)

func lookupLegacy(code int) (legacyRow, bool) {
	i, found := slices.BinarySearchFunc(legacyRows, code, func(l legacyRow, code int) int {
		return cmp.Compare(l.code, code)
	})
	if !found {
		return legacyRow{}, false
	}
	return legacyRows[i], true
}

func (l legacyRow) failure() campaign.Failure {
	code := strconv.Itoa(l.code)
	if l.own != nil {
		f := l.own.failure(code)
		f.Title = l.title
		return f
	}
	r, _ := lookup(l.mapsTo) // a test looks up every row's
	f := r.failure(code)
	f.MapsTo = strconv.Itoa(l.mapsTo)
	f.Title = l.title
	return f
}
