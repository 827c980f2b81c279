package postgres

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/message_lock.sql
	messageLockSQL string
	//go:embed sql/message_write.sql
	messageWriteSQL string
	//go:embed sql/message_campaigns.sql
	messageCampaignsSQL string
	//go:embed sql/message_provider_ids.sql
	messageProviderIDsSQL string
	//go:embed sql/message_attempts.sql
	messageAttemptsSQL string
	//go:embed sql/count_add.sql
	countAddSQL string
	//go:embed sql/hold_put.sql
	holdPutSQL string
)

// lockedMessage is a message whose row is locked, and what came of it.
type lockedMessage struct {
	campaign.Message
	Phone      string
	Parameters []byte
	Marketing  bool

	before    campaign.Message
	updatedAt time.Time
	change    campaign.Change
	claimed   bool
	skipped   bool // left alone in this batch: another message to the same contact is in it
}

// transition is one batched step of the status machine: lock the campaigns and
// channels (shared), lock the rows in id order, read the circumstances in
// statements of their own, decide in memory, write back, commit. Three round
// trips whatever the size.
type transition struct {
	ids       []campaign.MessageID
	campaigns []campaign.ID
	channels  []campaign.ChannelID
	people    bool // opt-outs are checked: take the people lock and read contacts
	contacts  bool // read contacts
	decide    func(*lockedMessage, campaign.Circumstances)
	// after is run in the same transaction, before the commit.
	after func(*pgx.Batch)
}

// run carries the transition out. It repeats the whole of it on a deadlock, a
// serialisation failure or a lost connection until ctx ends, and on a data error
// halves it until the bad element is alone: that element's error is returned
// beside the rows of all others.
func (s *Store) run(ctx context.Context, t transition) ([]*lockedMessage, error) {
	if len(t.ids) == 0 {
		return nil, nil
	}
	slices.Sort(t.ids)
	t.ids = slices.Compact(t.ids)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		rows, err := s.runOnce(ctx, t)
		// A try that took too long ended by its own time limit, not by the caller's.
		stuck := ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
		switch {
		case err == nil:
			return rows, nil
		case badData(err) && len(t.ids) > 1:
			half := len(t.ids) / 2
			first, second := t, t
			first.ids, second.ids = slices.Clone(t.ids[:half]), slices.Clone(t.ids[half:])
			second.after = nil
			left, errLeft := s.run(ctx, first)
			right, errRight := s.run(ctx, second)
			return append(left, right...), errors.Join(errLeft, errRight)
		case !again(err) && !stuck:
			return nil, translate(err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// tryFor bounds one try. Its milliseconds are waits for locks, or a server that
// went away without a word: then the whole is repeated on another connection.
// stallFor is how long the server waits for us: a node that is stopped in the
// middle must not keep its locks, or a pause would wait for it, and everybody
// else behind that pause.
const (
	tryFor   = 30 * time.Second
	stallFor = `SET LOCAL idle_in_transaction_session_timeout = '10s'`
)

func (s *Store) runOnce(ctx context.Context, t transition) ([]*lockedMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	// A connection that is released in a transaction is closed by the pool, which
	// rolls back: no path below needs to.
	defer conn.Release()

	rows, err := s.lock(ctx, conn, t)
	if err != nil {
		return nil, err
	}
	facts, err := s.facts(ctx, conn, rows, t)
	if err != nil {
		return nil, err
	}
	for _, m := range rows {
		m.before = m.Message
		m.Marketing = facts.templates[m.TemplateID].marketing
		t.decide(m, facts.of(m))
	}
	return rows, s.write(ctx, conn, rows, facts, t)
}

// lock begins the transaction, takes the shared locks and locks the rows.
func (s *Store) lock(ctx context.Context, conn *pgxpool.Conn, t transition) ([]*lockedMessage, error) {
	b := &pgx.Batch{}
	// The isolation is named because a database may have another default: the facts
	// must see what was committed before the locks were granted.
	b.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	b.Queue(stallFor)
	var keys []lockKey
	if t.people {
		keys = append(keys, peopleKey())
	}
	for _, id := range t.channels {
		keys = append(keys, channelKey(id))
	}
	for _, id := range t.campaigns {
		if id != 0 {
			keys = append(keys, campaignKey(id))
		}
	}
	queueShared(b, keys)
	locks := b.Len()
	b.Queue(messageLockSQL, pgx.StrictNamedArgs{"ids": t.ids, "least": t.ids[0], "greatest": t.ids[len(t.ids)-1]})

	results := conn.SendBatch(ctx, b)
	defer results.Close()
	for range locks {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	locked := make([]*lockedMessage, 0, len(t.ids))
	for rows.Next() {
		m := &lockedMessage{}
		var claim *[16]byte
		err := rows.Scan(&m.ID, &m.CampaignID, &m.ChannelID, &m.TemplateID, &m.ContactID, &m.State, &m.Reason, &m.ErrorCode, &m.RawStatus,
			&m.Attempt, &m.Posted, &m.Posts, &m.Proof, &m.Resend, &m.Resends, &claim, &m.ClaimedAt, &m.DueAt, &m.ProviderID,
			&m.ExpiresAt, &m.SentAt, &m.DeliveredAt, &m.ReadAt, &m.FailedAt, &m.updatedAt, &m.Phone, &m.Parameters)
		if err != nil {
			rows.Close()
			return nil, err
		}
		if claim != nil {
			m.ClaimID = *claim
		}
		locked = append(locked, m)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return locked, results.Close()
}

// facts are the circumstances of a batch.
type facts struct {
	now       time.Time
	campaigns map[campaign.ID]campaignFacts
	accounts  map[campaign.ChannelID]int64
	templates map[campaign.TemplateID]templateFacts
	contacts  map[campaign.ContactID]contactFacts
	holds     []campaign.Hold
}

type campaignFacts struct {
	state       campaign.State
	notAfter    *time.Time
	retry       map[string]campaign.Retry
	pacedAt     *time.Time // the first message was held for quality, none released yet
	attemptUS   bool
	territories bool
}

type templateFacts struct{ marketing bool }

type contactFacts struct {
	optedOut bool
	rest     *time.Time
	nanp     string
}

func (s *Store) facts(ctx context.Context, conn *pgxpool.Conn, rows []*lockedMessage, t transition) (*facts, error) {
	f := &facts{
		campaigns: map[campaign.ID]campaignFacts{}, accounts: map[campaign.ChannelID]int64{},
		templates: map[campaign.TemplateID]templateFacts{}, contacts: map[campaign.ContactID]contactFacts{},
	}
	var campaigns, templates, contacts []int64
	seenC, seenT := map[campaign.ID]bool{}, map[campaign.TemplateID]bool{}
	for _, m := range rows {
		if !seenC[m.CampaignID] {
			seenC[m.CampaignID] = true
			campaigns = append(campaigns, int64(m.CampaignID))
		}
		if !seenT[m.TemplateID] {
			seenT[m.TemplateID] = true
			templates = append(templates, int64(m.TemplateID))
		}
		if m.ContactID != 0 {
			contacts = append(contacts, int64(m.ContactID))
		}
	}
	b := &pgx.Batch{}
	b.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&f.now) })
	b.Queue(messageCampaignsSQL, pgx.StrictNamedArgs{"campaigns": campaigns}).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id campaign.ID
			var c campaignFacts
			var retry []byte
			var us, territories string
			if err := rows.Scan(&id, &c.state, &c.notAfter, &retry, &us, &territories, &c.pacedAt); err != nil {
				return err
			}
			if err := json.Unmarshal(retry, &c.retry); err != nil {
				return fmt.Errorf("read the retry rules of campaign %d: %w", id, err)
			}
			c.attemptUS, c.territories = us == "attempt", territories == "skip"
			f.campaigns[id] = c
		}
		return rows.Err()
	})
	b.Queue(`SELECT id, account_id FROM campaign.channels`).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id campaign.ChannelID
			var account int64
			if err := rows.Scan(&id, &account); err != nil {
				return err
			}
			f.accounts[id] = account
		}
		return rows.Err()
	})
	b.Queue(`SELECT id, category = 'MARKETING' FROM campaign.templates WHERE id = ANY($1::bigint[])`, templates).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id campaign.TemplateID
			var t templateFacts
			if err := rows.Scan(&id, &t.marketing); err != nil {
				return err
			}
			f.templates[id] = t
		}
		return rows.Err()
	})
	b.Queue(`SELECT scope, scope_id, source, reason, until FROM campaign.holds WHERE until IS NULL OR until > clock_timestamp()`).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var h campaign.Hold
			if err := rows.Scan(&h.Scope, &h.ScopeID, &h.Source, &h.Reason, &h.Until); err != nil {
				return err
			}
			f.holds = append(f.holds, h)
		}
		return rows.Err()
	})
	if t.people || t.contacts {
		b.Queue(`SELECT id, opted_out_at IS NOT NULL, rest_until, nanp FROM campaign.contacts WHERE id = ANY($1::bigint[])`, contacts).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var id campaign.ContactID
				var c contactFacts
				if err := rows.Scan(&id, &c.optedOut, &c.rest, &c.nanp); err != nil {
					return err
				}
				f.contacts[id] = c
			}
			return rows.Err()
		})
	}
	return f, conn.SendBatch(ctx, b).Close()
}

// held reports whether a hold stops a message.
func (f *facts) held(m *lockedMessage) bool {
	for _, h := range f.holds {
		switch h.Scope {
		case campaign.HoldCampaign:
			if m.CampaignID != 0 && h.ScopeID == int64(m.CampaignID) {
				return true
			}
		case campaign.HoldTemplate:
			if h.ScopeID == int64(m.TemplateID) {
				return true
			}
		case campaign.HoldChannel:
			if h.ScopeID == int64(m.ChannelID) {
				return true
			}
		case campaign.HoldAccount:
			if h.ScopeID == f.accounts[m.ChannelID] {
				return true
			}
		}
	}
	return false
}

// of gives the circumstances of one message.
func (f *facts) of(m *lockedMessage) campaign.Circumstances {
	c := campaign.Circumstances{
		Now: f.now, Deadline: m.ExpiresAt, Blocked: f.held(m),
		Marketing: f.templates[m.TemplateID].marketing, Random: rand.Float64(),
	}
	person := f.contacts[m.ContactID]
	skipTerritories, attemptUS := false, false
	if m.CampaignID != 0 {
		k := f.campaigns[m.CampaignID]
		c.Campaign, c.Retry = k.state, k.retry
		c.Blocked = c.Blocked || k.state != campaign.Running
		// What was queued at full speed before the first message was held goes back
		// and comes again at fan-out's pace.
		if k.pacedAt != nil && m.State == campaign.Queued && m.updatedAt.Before(*k.pacedAt) {
			c.Blocked = true
		}
		if k.notAfter != nil && (c.Deadline == nil || k.notAfter.Before(*c.Deadline)) {
			c.Deadline = k.notAfter
		}
		skipTerritories, attemptUS = k.territories, k.attemptUS
	}
	c.US = campaign.USMarketing(person.nanp, skipTerritories)
	if c.Marketing {
		c.Rest = person.rest
		switch {
		case person.optedOut:
			c.Skip = campaign.ReasonOptedOut
		case c.US && !attemptUS:
			c.Skip = campaign.ReasonUSMarketing
		}
	}
	return c
}

// counterKey is one counter.
type counterKey struct {
	campaign campaign.ID
	channel  campaign.ChannelID
	state    campaign.MessageState
	detail   string
}

// write writes back what changed, with everything that follows, and commits.
func (s *Store) write(ctx context.Context, conn *pgxpool.Conn, rows []*lockedMessage, f *facts, t transition) error {
	b := &pgx.Batch{}
	counts := map[counterKey]int64{}
	reopen, held, released := map[campaign.ID]bool{}, map[campaign.ID]bool{}, map[campaign.ID]bool{}
	var w messageColumns
	var former []*lockedMessage
	var newIDs []*lockedMessage
	more := consequences{holds: map[holdKey]campaign.HoldRequest{}, optOuts: map[campaign.ContactID]bool{}, rests: map[campaign.ContactID]time.Time{}}
	for _, m := range rows {
		m.ErrorCode, m.RawStatus, m.ProviderID = plainText(m.ErrorCode), plainText(m.RawStatus), plainText(m.ProviderID)
		if m.change.Former != nil {
			former = append(former, m)
		}
		more.add(m, f)
		if m.Message == m.before {
			continue
		}
		w.add(&m.Message)
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
	if len(w.ids) > 0 {
		b.Queue(messageWriteSQL, w.args())
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
	if t.after != nil {
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
	optOuts map[campaign.ContactID]bool
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
		c.optOuts[m.ContactID] = true
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
		b.Queue(`UPDATE campaign.contacts SET opted_out_at = clock_timestamp(), opted_out_by = 'provider', updated_at = now()
		          WHERE match_key = (SELECT match_key FROM campaign.contacts WHERE id = $1) AND opted_out_at IS NULL`, id)
	}
	for _, id := range slices.Sorted(maps.Keys(c.rests)) {
		b.Queue(`UPDATE campaign.contacts SET rest_until = greatest(rest_until, $2), updated_at = now() WHERE id = $1`, id, c.rests[id])
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

// messageColumns collects changed rows by column, as unnest wants them.
type messageColumns struct {
	ids                                         []int64
	states, reasons, codes, raws, providers     []string
	attempts, posteds, posts                    []int32
	proofs, resends                             []int16
	resend                                      []bool
	claims                                      []*[16]byte
	claimed, due, sent, delivered, read, failed []*time.Time
}

func (w *messageColumns) add(m *campaign.Message) {
	w.ids = append(w.ids, int64(m.ID))
	w.states, w.reasons, w.codes = append(w.states, string(m.State)), append(w.reasons, m.Reason), append(w.codes, m.ErrorCode)
	w.raws, w.providers = append(w.raws, m.RawStatus), append(w.providers, m.ProviderID)
	w.attempts, w.posteds, w.posts = append(w.attempts, int32(m.Attempt)), append(w.posteds, int32(m.Posted)), append(w.posts, int32(m.Posts))
	w.proofs, w.resends, w.resend = append(w.proofs, int16(m.Proof)), append(w.resends, int16(m.Resends)), append(w.resend, m.Resend)
	w.claims = append(w.claims, uuidOf(m.ClaimID))
	w.claimed, w.due = append(w.claimed, m.ClaimedAt), append(w.due, m.DueAt)
	w.sent, w.delivered, w.read, w.failed = append(w.sent, m.SentAt), append(w.delivered, m.DeliveredAt), append(w.read, m.ReadAt), append(w.failed, m.FailedAt)
}

func (w *messageColumns) args() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"ids": w.ids, "states": w.states, "reasons": w.reasons, "codes": w.codes, "raws": w.raws,
		"attempts": w.attempts, "posteds": w.posteds, "posts": w.posts, "proofs": w.proofs, "resend": w.resend, "resends": w.resends,
		"claims": w.claims, "claimed": w.claimed, "due": w.due, "providers": w.providers,
		"sent": w.sent, "delivered": w.delivered, "read": w.read, "failed": w.failed,
		"least": slices.Min(w.ids), "greatest": slices.Max(w.ids),
	}
}
