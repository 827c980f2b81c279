package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

// counterKey is one counter.
type counterKey struct {
	campaign campaign.ID
	channel  campaign.ChannelID
	state    campaign.MessageState
	detail   string
}

// write writes back what changed, with everything that follows, and commits.
func (s *Store) write(ctx context.Context, conn *pgxpool.Conn, rows []*lockedMessage, f *facts, t *transition) error {
	b := &pgx.Batch{}
	counts := map[counterKey]int64{}
	reopen, held, released := map[campaign.ID]bool{}, map[campaign.ID]bool{}, map[campaign.ID]bool{}
	var changed []*lockedMessage
	var former []*lockedMessage
	var newIDs []*lockedMessage
	var claims, orphans []int64
	more := consequences{holds: map[holdKey]campaign.HoldRequest{}, optOuts: map[campaign.ContactID]campaign.ChannelID{}, rests: map[campaign.ContactID]time.Time{}}
	for _, m := range rows {
		m.ErrorCode, m.RawStatus, m.ProviderID = plainText(m.ErrorCode), plainText(m.RawStatus), plainText(m.ProviderID)
		if m.forgotten {
			m.ProviderID = "" // the person was forgotten, and the id holds the number
		}
		if m.change.Former != nil {
			former = append(former, m)
		}
		if m.orphan {
			orphans = append(orphans, int64(m.ID))
		}
		more.add(m, f)
		if m.Message == m.before {
			continue
		}
		changed = append(changed, m)
		if m.State == campaign.Sending {
			claims = append(claims, int64(m.ID))
		}
		if m.ProviderID != "" && m.ProviderID != m.before.ProviderID {
			newIDs = append(newIDs, m)
		}
		was := counterKey{m.CampaignID, m.ChannelID, m.before.State, m.before.Detail()}
		is := counterKey{m.CampaignID, m.ChannelID, m.State, m.Detail()}
		if was != is {
			counts[was]--
			counts[is]++
		}
		switch {
		case m.State == campaign.Held && was.state != campaign.Held:
			held[m.CampaignID] = true
		case was.state == campaign.Held && m.Proof >= campaign.ProofSent && m.Proof != campaign.ProofFailed:
			released[m.CampaignID] = true
		}
		if m.State.Open() && f.campaigns[m.CampaignID].state == campaign.Completed {
			reopen[m.CampaignID] = true
		}
	}
	queueCounts(b, counts)
	if len(newIDs) > 0 {
		queueProviderIDs(b, newIDs)
	}
	if len(former) > 0 {
		queueAttempts(b, former)
	}
	more.queue(b, f)
	for _, id := range slices.Sorted(maps.Keys(reopen)) {
		b.Queue(`UPDATE campaign.campaigns SET state = 'running', finished_at = NULL WHERE id = $1 AND state = 'completed'`, id)
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		b.Queue(`UPDATE campaign.campaigns SET held_at = clock_timestamp() WHERE id = $1 AND held_at IS NULL`, id)
	}
	for _, id := range slices.Sorted(maps.Keys(released)) {
		b.Queue(`UPDATE campaign.campaigns SET released_at = clock_timestamp() WHERE id = $1 AND released_at IS NULL`, id)
	}
	queueEvents(b, rows)
	if len(claims) > 0 {
		b.Queue(claimAddSQL, claims)
	}
	if t.taking != nil {
		t.taking.consume(b, rows, t.ids, t.busy)
	}
	if len(changed) > 0 {
		b.Queue(byPlaceSQL)
		s.queueMessages(b, changed)
	}
	if len(orphans) > 0 {
		b.Queue(ownPlansSQL)
		b.Queue(`UPDATE campaign.messages SET phone = '', parameters = '{}', contact_id = 0, row_number = 0
		          WHERE id = ANY($1::bigint[]) AND id BETWEEN $2 AND $3`, orphans, orphans[0], orphans[len(orphans)-1])
	}
	if t.after != nil {
		b.Queue(ownPlansSQL)
		t.after(b)
	}
	b.Queue(`COMMIT`)
	return conn.SendBatch(ctx, b).Close()
}

// consequences are what a batch changes beside its messages. Hundreds of
// messages may ask for the same hold: it is put once; and everything is locked
// in one order, or batches would deadlock.
type consequences struct {
	holds   map[holdKey]campaign.HoldRequest
	optOuts map[campaign.ContactID]campaign.ChannelID // on which WhatsApp told of it
	rests   map[campaign.ContactID]time.Time
}

type holdKey struct {
	scope   campaign.HoldScope
	scopeID int64
	source  string
}

func (c *consequences) add(m *lockedMessage, f *facts) {
	if m.change.Hold != nil {
		c.hold(m, f, *m.change.Hold)
	}
	if m.change.LostCommits {
		c.hold(m, f, campaign.HoldRequest{Scope: campaign.HoldChannel, Source: campaign.SourceDatabase,
			Reason: "the provider reports attempts that this database does not know: it lost what it had committed"})
	}
	if m.ContactID == 0 {
		return
	}
	if m.change.OptOut {
		c.optOuts[m.ContactID] = m.ChannelID
	}
	if rest := m.change.Rest; rest != nil && rest.After(c.rests[m.ContactID]) {
		c.rests[m.ContactID] = *rest
	}
}

func (c *consequences) hold(m *lockedMessage, f *facts, h campaign.HoldRequest) {
	scopeID := int64(0)
	switch h.Scope {
	case campaign.HoldCampaign:
		scopeID = int64(m.CampaignID)
	case campaign.HoldTemplate:
		scopeID = int64(m.TemplateID)
	case campaign.HoldChannel:
		scopeID = int64(m.ChannelID)
	case campaign.HoldAccount:
		scopeID = f.accounts[m.ChannelID]
	}
	key := holdKey{h.Scope, scopeID, h.Source}
	if known, ok := c.holds[key]; ok && (known.For == 0 || h.For > 0 && h.For <= known.For) {
		return
	}
	c.holds[key] = h
}

func (c *consequences) queue(b *pgx.Batch, f *facts) {
	for _, k := range slices.SortedFunc(maps.Keys(c.holds), func(a, b holdKey) int {
		return cmp.Or(cmp.Compare(a.scope, b.scope), cmp.Compare(a.scopeID, b.scopeID), cmp.Compare(a.source, b.source))
	}) {
		h := c.holds[k]
		var until *time.Time
		if h.For > 0 {
			at := f.now.Add(h.For)
			until = &at
		}
		b.Queue(holdPutSQL, pgx.StrictNamedArgs{"scope": k.scope, "scope_id": k.scopeID, "source": k.source, "reason": plainText(h.Reason), "until": until})
	}
	for _, id := range slices.Sorted(maps.Keys(c.optOuts)) {
		b.Queue(`INSERT INTO campaign.marketing_preferences AS p (match_key, channel_id, stopped, at)
		         SELECT match_key, $2, true, clock_timestamp() FROM campaign.contacts WHERE id = $1
		             ON CONFLICT (match_key, channel_id) DO UPDATE SET stopped = true, at = excluded.at`, id, c.optOuts[id])
		// The choice above binds by itself: nobody's outcome waits for a contact that a
		// service keeps.
		b.Queue(`UPDATE campaign.contacts SET opted_out_at = clock_timestamp(), opted_out_by = 'provider', updated_at = now()
		          WHERE id IN (SELECT a.id FROM campaign.contacts AS a WHERE a.match_key = (SELECT match_key FROM campaign.contacts WHERE id = $1)
		                          AND a.opted_out_at IS NULL ORDER BY a.phone COLLATE "C" FOR NO KEY UPDATE SKIP LOCKED)`, id)
	}
	for _, id := range slices.Sorted(maps.Keys(c.rests)) {
		// Whose row a service keeps rests after the next refusal: nobody's outcome
		// waits for that transaction.
		b.Queue(`UPDATE campaign.contacts SET rest_until = greatest(rest_until, $2), updated_at = now()
		          WHERE id = (SELECT id FROM campaign.contacts WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)`, id, c.rests[id])
	}
}

func queueCounts(b *pgx.Batch, counts map[counterKey]int64) {
	var campaigns, channels, ns []int64
	var states, details []string
	for k, n := range counts {
		if n == 0 {
			continue
		}
		campaigns, channels = append(campaigns, int64(k.campaign)), append(channels, int64(k.channel))
		states, details, ns = append(states, string(k.state)), append(details, k.detail), append(ns, n)
	}
	if len(ns) > 0 {
		b.Queue(countAddSQL, pgx.StrictNamedArgs{"campaigns": campaigns, "channels": channels, "states": states, "details": details, "ns": ns})
	}
}

func queueProviderIDs(b *pgx.Batch, rows []*lockedMessage) {
	var providers []string
	var ids []int64
	var attempts []int32
	for _, m := range rows {
		providers, ids, attempts = append(providers, m.ProviderID), append(ids, int64(m.ID)), append(attempts, int32(m.Posted))
	}
	b.Queue(messageProviderIDsSQL, pgx.StrictNamedArgs{"providers": providers, "ids": ids, "attempts": attempts})
}

func queueAttempts(b *pgx.Batch, rows []*lockedMessage) {
	var ids []int64
	var attempts []int32
	var claims []*[16]byte
	var providers, states, codes []string
	var claimed []*time.Time
	for _, m := range rows {
		a := m.change.Former
		ids, attempts, claims = append(ids, int64(m.ID)), append(attempts, int32(a.Attempt)), append(claims, uuidOf(a.ClaimID))
		providers, states, codes = append(providers, a.ProviderID), append(states, string(a.State)), append(codes, a.ErrorCode)
		claimed = append(claimed, a.ClaimedAt)
	}
	b.Queue(messageAttemptsSQL, pgx.StrictNamedArgs{"ids": ids, "attempts": attempts, "claims": claims, "providers": providers,
		"states": states, "codes": codes, "claimed": claimed})
}

func uuidOf(c campaign.ClaimID) *[16]byte {
	if c.IsZero() {
		return nil
	}
	b := [16]byte(c)
	return &b
}
