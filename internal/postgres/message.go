package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Claim turns queued messages into sending, all in one transaction, and says for
// each turn what came of it, in the order of turns. At most one message per
// contact is claimed in a batch. A claim whose reply was lost is repeated with
// the same id and returns the same. Where the database refuses some of the
// messages the others are claimed all the same, and Err says which were refused.
// A message that somebody else keeps locked is not waited for: Again.
func (s *Store) Claim(ctx context.Context, turns []campaign.Turn) ([]campaign.Claimed, error) {
	byID := make(map[campaign.MessageID]campaign.Turn, len(turns))
	t := transition{people: true, busy: map[campaign.MessageID]bool{}}
	for _, turn := range turns {
		if _, twice := byID[turn.Message]; twice {
			continue // answered with Again below
		}
		byID[turn.Message] = turn
		t.ids = append(t.ids, turn.Message)
		t.campaigns, t.channels = appendNew(t.campaigns, turn.Campaign), appendNew(t.channels, turn.Channel)
	}
	t.decide = claiming(func(id campaign.MessageID) campaign.Turn { return byID[id] })
	rows, err := s.run(ctx, t)
	if err != nil {
		err = fmt.Errorf("claim %d messages: %w", len(turns), err)
		if len(rows) == 0 {
			return nil, err
		}
	}
	found := make(map[campaign.MessageID]*lockedMessage, len(rows))
	for _, m := range rows {
		found[m.ID] = m
	}
	claimed := make([]campaign.Claimed, len(turns))
	for i, turn := range turns {
		m := found[turn.Message]
		switch {
		case byID[turn.Message] != turn:
			claimed[i].Again = true
		case m != nil:
			claimed[i] = m.answer()
		case t.busy[turn.Message]:
			claimed[i].Again = true
		default:
			claimed[i].Err = err // nil when there is no such message
		}
	}
	return claimed, nil
}

// claiming gives the decision of a claim: at most one message per contact in a
// batch.
func claiming(turn func(campaign.MessageID) campaign.Turn) func(*lockedMessage, campaign.Circumstances) {
	var people map[campaign.ContactID]bool
	var last campaign.MessageID
	return func(m *lockedMessage, c campaign.Circumstances) {
		if people == nil || m.ID <= last {
			people = map[campaign.ContactID]bool{} // the batch is run anew
		}
		last = m.ID
		turn := turn(m.ID)
		if m.ContactID != 0 && m.State == campaign.Queued && m.Attempt == turn.Attempt {
			if people[m.ContactID] {
				m.skipped = true
				return
			}
			people[m.ContactID] = true
		}
		m.claimed, m.change = m.Message.Claim(turn.Attempt, turn.Claim, c)
	}
}

// answer is what came of a claim.
func (m *lockedMessage) answer() campaign.Claimed {
	return campaign.Claimed{OK: m.claimed, Again: m.skipped, Template: m.TemplateID, Phone: m.Phone, Parameters: m.Parameters}
}

// Record writes the outcomes of claims, found by their claim id. It never lowers
// proof that a webhook brought first. Repeating it changes nothing.
func (s *Store) Record(ctx context.Context, outcomes []campaign.Outcome) error {
	byID := make(map[campaign.MessageID][]campaign.Outcome, len(outcomes))
	failed := map[campaign.MessageID]bool{}
	t := transition{asks: func(id campaign.MessageID) bool { return failed[id] }}
	for _, o := range outcomes {
		byID[o.Message] = append(byID[o.Message], o)
		t.ids = append(t.ids, o.Message)
		t.campaigns, t.channels = appendNew(t.campaigns, o.Campaign), appendNew(t.channels, o.Channel)
		if o.Answer.Kind == campaign.AnswerFailed {
			failed[o.Message] = true
		}
	}
	t.decide = func(m *lockedMessage, c campaign.Circumstances) {
		for _, o := range byID[m.ID] {
			if change := m.Message.Outcome(o.Claim, o.Answer, c); change != (campaign.Change{}) {
				m.change = change
			}
		}
	}
	if _, err := s.run(ctx, t); err != nil {
		return fmt.Errorf("record %d outcomes: %w", len(outcomes), err)
	}
	return nil
}

// Status is a webhook's status for a message.
type Status struct {
	Message campaign.MessageID
	Report  campaign.Report
}

// applyStatuses applies a batch of provider reports to the messages of a channel.
func (s *Store) applyStatuses(ctx context.Context, channel campaign.ChannelID, statuses []Status, after func(*pgx.Batch)) ([]campaign.Dropped, int, error) {
	byID := make(map[campaign.MessageID][]campaign.Report, len(statuses))
	t := transition{after: after, asks: func(id campaign.MessageID) bool {
		return slices.ContainsFunc(byID[id], campaign.Report.Failed)
	}}
	for _, st := range statuses {
		byID[st.Message] = append(byID[st.Message], st.Report)
		t.ids = append(t.ids, st.Message)
	}
	var err error
	t.channels = []campaign.ChannelID{channel}
	if t.campaigns, err = s.campaignsOf(ctx, t.ids); err != nil {
		return nil, 0, err
	}
	t.decide = func(m *lockedMessage, c campaign.Circumstances) {
		m.change = campaign.Change{}
		if m.ChannelID != channel {
			return // somebody else's number: an id from another channel's webhook proves nothing
		}
		for _, r := range byID[m.ID] {
			m.change = merge(m.change, m.Message.Report(r, c))
		}
	}
	rows, err := s.run(ctx, t)
	if err != nil {
		return nil, 0, fmt.Errorf("apply %d statuses: %w", len(statuses), err)
	}
	var dropped []campaign.Dropped
	lost := 0
	for _, m := range rows {
		if m.change.Dropped {
			dropped = appendNew(dropped, campaign.Dropped{Channel: m.ChannelID, Template: m.TemplateID})
		}
		if m.change.LostCommits {
			lost++
		}
	}
	return dropped, lost, nil
}

// merge keeps what follows from several events of one message in a batch.
func merge(a, b campaign.Change) campaign.Change {
	if b.Hold != nil {
		a.Hold = b.Hold
	}
	if b.Rest != nil {
		a.Rest = b.Rest
	}
	if b.Former != nil {
		a.Former = b.Former
	}
	a.OptOut, a.Dropped, a.LostCommits = a.OptOut || b.OptOut, a.Dropped || b.Dropped, a.LostCommits || b.LostCommits
	return a
}

// campaignsOf gives the campaigns that messages may belong to, without reading
// these: the ids of a plan lie in a range of its own, in which only single messages
// of services stand beside them. Read before the locks, because it never changes.
func (s *Store) campaignsOf(ctx context.Context, ids []campaign.MessageID) ([]campaign.ID, error) {
	slices.Sort(ids)
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := s.pool.Query(ctx, `SELECT id, first_id, last_id FROM campaign.campaigns WHERE last_id >= $1 AND first_id <= $2`, ids[0], ids[len(ids)-1])
	if err != nil {
		return nil, translate(err)
	}
	var found []campaign.ID
	var id campaign.ID
	var first, last campaign.MessageID
	_, err = pgx.ForEachRow(rows, []any{&id, &first, &last}, func() error {
		if i, _ := slices.BinarySearch(ids, first); i < len(ids) && ids[i] <= last {
			found = append(found, id)
		}
		return nil
	})
	return found, translate(err)
}

// routes finds the campaigns and channels to lock. Both never change, so they
// may be read before the locks; ids that are not ours fall away.
func (s *Store) routes(ctx context.Context, t *transition) error {
	slices.Sort(t.ids)
	t.ids = slices.Compact(t.ids)
	if len(t.ids) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, `SELECT DISTINCT campaign_id, channel_id FROM campaign.messages WHERE id = ANY($1::bigint[]) AND id BETWEEN $2 AND $3`,
		t.ids, t.ids[0], t.ids[len(t.ids)-1])
	if err != nil {
		return translate(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c campaign.ID
		var ch campaign.ChannelID
		if err := rows.Scan(&c, &ch); err != nil {
			return err
		}
		t.campaigns, t.channels = appendNew(t.campaigns, c), appendNew(t.channels, ch)
	}
	return rows.Err()
}

// change runs a decision over messages by id.
func (s *Store) change(ctx context.Context, ids []campaign.MessageID, decide func(*lockedMessage, campaign.Circumstances)) ([]*lockedMessage, error) {
	return s.changeNoted(ctx, ids, nil, decide)
}

// changeNoted is change for a person's decision, which the audit notes.
func (s *Store) changeNoted(ctx context.Context, ids []campaign.MessageID, by *act, decide func(*lockedMessage, campaign.Circumstances)) ([]*lockedMessage, error) {
	t := transition{ids: ids, asks: func(campaign.MessageID) bool { return true }, decide: decide}
	if by != nil {
		t.after = func(b *pgx.Batch) {
			by.count = int64(len(ids))
			s.queueAudit(ctx, b, *by)
		}
	}
	if err := s.routes(ctx, &t); err != nil {
		return nil, err
	}
	return s.run(ctx, t)
}

// staleAfter is how old a claim is when whoever held it is gone for certain: a
// claim is good for 10 s, a POST takes at most 20 s, an outcome is retried for
// as long as its process lives. Read on the database's clock (design §4.7).
const staleAfter = 60 * time.Second

//go:embed sql/repair_claims.sql
var repairClaimsSQL string

//go:embed sql/repair_stale.sql
var repairStaleSQL string

//go:embed sql/repair_scan.sql
var repairScanSQL string

//go:embed sql/repair_jobs.sql
var repairJobsSQL string

//go:embed sql/repair_suspects.sql
var repairSuspectsSQL string

// Repaired says what a repair pass found.
type Repaired struct {
	Unknown  int // claims that nobody answered
	Requeued int // queued messages that had lost their job
}

// Repair turns claims that nobody answered into unknown and gives queued
// messages without a live job their job back (design §4.7). Every claim is looked
// at once, when it must be over; jobs are looked for only where the counters show
// more queued messages than there are jobs.
func (s *Store) Repair(ctx context.Context, full bool) (Repaired, error) {
	var done Repaired
	if err := s.repairClaims(ctx, &done); err != nil {
		return done, fmt.Errorf("look for claims that nobody answered: %w", translate(err))
	}
	rows, err := s.pool.Query(ctx, repairSuspectsSQL, pgx.StrictNamedArgs{"full": full})
	if err != nil {
		return done, fmt.Errorf("compare counters with jobs: %w", translate(err))
	}
	suspects, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (suspect, error) {
		var c suspect
		return c, row.Scan(&c.channel, &c.campaign, &c.first, &c.last)
	})
	if err != nil {
		return done, fmt.Errorf("compare counters with jobs: %w", translate(err))
	}
	for _, c := range suspects {
		if err := s.repairCampaign(ctx, c, &done); err != nil {
			return done, fmt.Errorf("repair campaign %d: %w", c.campaign, err)
		}
	}
	return done, nil
}

// repairClaims looks at the claims that must be over and forgets them. A crash in
// between leaves them to the next pass.
func (s *Store) repairClaims(ctx context.Context, done *Repaired) error {
	for {
		rows, err := s.pool.Query(ctx, repairClaimsSQL, pgx.StrictNamedArgs{"seconds": staleAfter.Seconds()})
		if err != nil {
			return err
		}
		var over []int64
		var ids, messages []campaign.MessageID
		var claim int64
		_, err = pgx.ForEachRow(rows, []any{&claim, &messages}, func() error {
			over, ids = append(over, claim), append(ids, messages...)
			return nil
		})
		if err != nil || len(over) == 0 {
			return err
		}
		for part := range slices.Chunk(ids, 5000) {
			stale, err := collectIDs(s.pool.Query(ctx, repairStaleSQL, pgx.StrictNamedArgs{"ids": part,
				"least": slices.Min(part), "greatest": slices.Max(part), "seconds": staleAfter.Seconds()}))
			if err != nil {
				return err
			}
			if err := s.stale(ctx, stale, done); err != nil {
				return err
			}
		}
		if _, err := s.pool.Exec(ctx, `DELETE FROM campaign.claims WHERE id = ANY($1::bigint[])`, over); err != nil {
			return err
		}
	}
}

type suspect struct {
	channel     campaign.ChannelID
	campaign    campaign.ID
	first, last campaign.MessageID
}

func (s *Store) repairCampaign(ctx context.Context, c suspect, done *Repaired) error {
	after := c.first - 1
	for {
		queued, err := collectIDs(s.pool.Query(ctx, repairScanSQL, pgx.StrictNamedArgs{"campaign": c.campaign, "channel": c.channel,
			"after": after, "last": c.last, "limit": 1000}))
		if err != nil {
			return translate(err)
		}
		if len(queued) == 0 {
			return nil
		}
		after = queued[len(queued)-1]
		tag, err := s.pool.Exec(ctx, repairJobsSQL, pgx.StrictNamedArgs{"ids": queued,
			"least": queued[0], "greatest": after, "max_attempts": sendMaxAttempts})
		if err != nil {
			return translate(err)
		}
		done.Requeued += int(tag.RowsAffected())
	}
}

func (s *Store) stale(ctx context.Context, ids []campaign.MessageID, done *Repaired) error {
	for part := range slices.Chunk(ids, 1000) {
		rows, err := s.change(ctx, slices.Clone(part), func(m *lockedMessage, c campaign.Circumstances) {
			m.claimed = m.Message.Stale(staleAfter, c)
		})
		if err != nil {
			return fmt.Errorf("settle stale claims: %w", err)
		}
		for _, m := range rows {
			if m.claimed {
				done.Unknown++
			}
		}
	}
	return nil
}

func collectIDs(rows pgx.Rows, err error) ([]campaign.MessageID, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[campaign.MessageID])
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
