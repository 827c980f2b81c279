package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/campaign_find.sql
	campaignFindSQL string
	//go:embed sql/campaign_list.sql
	campaignListSQL string
	//go:embed sql/report_status.sql
	reportStatusSQL string
	//go:embed sql/report_due.sql
	reportDueSQL string
	//go:embed sql/report_inbound.sql
	reportInboundSQL string
	//go:embed sql/report_messages.sql
	reportMessagesSQL string
)

// Campaign finds a campaign by its number or its name. Where several keys share
// a name it is ErrInvalid that lists them: a guess could cancel the wrong one.
// ErrNotFound says which name is close. State is the stored one, which is never
// paused; Status knows the one to show.
func (s *Store) Campaign(ctx context.Context, ref string) (campaign.Campaign, error) {
	ref = plainText(ref)
	id, err := strconv.ParseInt(ref, 10, 64)
	if err != nil {
		id = 0
	}
	found, err := collectStructs[campaign.Campaign](s.pool.Query(ctx, campaignFindSQL, pgx.StrictNamedArgs{"id": id, "name": ref}))
	if err != nil {
		return campaign.Campaign{}, fmt.Errorf("look for campaign %q: %w", ref, translate(err))
	}
	switch {
	case len(found) == 1, len(found) > 1 && int64(found[0].ID) == id:
		return found[0], nil
	case len(found) > 1:
		keys := make([]string, 0, len(found))
		for _, c := range found[:min(len(found), 20)] {
			keys = append(keys, fmt.Sprintf("%d (key %q, %s)", c.ID, c.Key, c.State))
		}
		return campaign.Campaign{}, campaign.ErrInvalid.With(
			fmt.Sprintf("%d campaigns are called %q, the newest first: %s", len(found), ref, strings.Join(keys, ", ")), "give the number")
	}
	there, err := collectStructs[named](s.pool.Query(ctx, `SELECT id, name, key FROM campaign.campaigns ORDER BY id DESC LIMIT 200`))
	if err != nil {
		return campaign.Campaign{}, fmt.Errorf("list the campaigns: %w", translate(err))
	}
	return campaign.Campaign{}, noCampaign(ref, there)
}

// named is a campaign as people call it.
type named struct {
	ID   campaign.ID
	Name string
	Key  string
}

func (n named) String() string {
	if n.Key == "" {
		return fmt.Sprintf("%d %s", n.ID, n.Name)
	}
	return fmt.Sprintf("%d %s (key %q)", n.ID, n.Name, n.Key)
}

// noCampaign says which campaigns there are, the newest first.
func noCampaign(ref string, there []named) error {
	names, listed := make([]string, len(there)), make([]string, len(there))
	for i, n := range there {
		names[i], listed[i] = n.Name, n.String()
	}
	what, meant := fmt.Sprintf("no campaign %q", ref), campaign.Closest(ref, names)
	if _, err := strconv.ParseInt(ref, 10, 64); err == nil {
		what, meant = "no campaign "+ref, ""
	}
	return noneOf(what, listed, meant, "campaignctl campaign plan -f FILE makes one")
}

// CampaignFilter chooses campaigns for a list; empty fields choose all.
type CampaignFilter struct {
	State   campaign.State // as shown: paused is one of them
	Channel string         // by name
	Limit   int            // 0 means 100
}

// Campaigns lists campaigns, the newest first.
func (s *Store) Campaigns(ctx context.Context, f CampaignFilter) ([]campaign.Summary, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	found, err := collectStructs[campaign.Summary](s.pool.Query(ctx, campaignListSQL,
		pgx.StrictNamedArgs{"state": f.State, "channel": f.Channel, "limit": f.Limit}))
	if err != nil {
		return nil, fmt.Errorf("list the campaigns: %w", translate(err))
	}
	for i := range found {
		counts := campaign.CountsOf()
		for state, n := range found[i].Counts {
			counts[state] = n
		}
		found[i].Counts = counts
	}
	return found, nil
}

// Samples of POSTs: how long they are kept, and over how many seconds the rate
// now is taken.
const (
	sampleAge    = 2 * time.Minute
	sampleWindow = 5 * time.Second
)

// Sample notes how many POSTs this node made per campaign since it last called.
// It is meant to be called every second while there are any.
func (s *Store) Sample(ctx context.Context, posts map[campaign.ID]int64) error {
	var ids, ns []int64
	for id, n := range posts {
		if n > 0 {
			ids, ns = append(ids, int64(id)), append(ns, n)
		}
	}
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO campaign.samples (campaign_id, posts) SELECT * FROM unnest($1::bigint[], $2::bigint[])`, ids, ns)
	b.Queue(`DELETE FROM campaign.samples WHERE at < clock_timestamp() - make_interval(secs => $1)`, sampleAge.Seconds())
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("note a sample of POSTs: %w", translate(err))
	}
	return nil
}

// storedCampaign is what a status needs of the campaign's row.
type storedCampaign struct {
	state       campaign.State
	key         string
	channel     string
	template    string
	first, last campaign.MessageID
	created     time.Time
	starts      *time.Time
	now         time.Time
	planned     bool
}

// Status says where the messages of a campaign are, from the counters: it takes
// as long for ten million as for ten.
func (s *Store) Status(ctx context.Context, id campaign.ID) (campaign.Status, error) {
	status, _, err := s.status(ctx, id)
	if err != nil {
		return campaign.Status{}, fmt.Errorf("read the status of campaign %d: %w", id, err)
	}
	return status, nil
}

func (s *Store) status(ctx context.Context, id campaign.ID) (campaign.Status, storedCampaign, error) {
	st := campaign.Status{
		ID: id, Counts: campaign.CountsOf(), Skipped: map[string]int64{}, Errors: map[string]int64{}, Holds: []campaign.Hold{},
	}
	var c storedCampaign
	pending, deferred := map[string]int64{}, map[string]int64{}
	due := map[string]time.Time{}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var channelRate, ownRate float64
		err := tx.QueryRow(ctx, reportStatusSQL, pgx.StrictNamedArgs{"campaign": id, "window": sampleWindow.Seconds()}).
			Scan(&st.Name, &c.key, &c.state, &st.Total, &c.starts, &st.StartedAt, &st.FinishedAt, &ownRate, &channelRate, &st.Rate.Now,
				&c.first, &c.last, &c.channel, &c.template, &c.created, &c.now, &st.Paced, &c.planned)
		if errors.Is(err, pgx.ErrNoRows) {
			return campaign.ErrNotFound.With(fmt.Sprintf("no campaign %d", id), "campaignctl campaign list shows them")
		}
		if err != nil {
			return err
		}
		st.Rate.Limit = campaign.EffectiveRate(channelRate, ownRate)
		if st.Holds, err = campaignHolds(ctx, tx, id); err != nil {
			return err
		}
		if !c.state.Open() {
			// What stands on its channel holds others; why it could not be planned is its own.
			st.Holds = slices.DeleteFunc(st.Holds, func(h campaign.Hold) bool { return h.Source != campaign.SourcePlan })
		}
		st.Holds = append([]campaign.Hold{}, st.Holds...)

		if err := inboundOf(ctx, tx, id, &st.Inbound); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT state, detail, n FROM campaign.message_totals WHERE campaign_id = $1`, id)
		if err != nil {
			return err
		}
		var state campaign.MessageState
		var detail string
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&state, &detail, &n}, func() error {
			st.Counts[state] += n
			switch state {
			case campaign.Skipped:
				st.Skipped[detail] += n
			case campaign.Failed:
				st.Errors[detail] += n
			case campaign.Pending:
				pending[detail] += n
			case campaign.Deferred:
				deferred[detail] += n
			}
			return nil
		})
		if err != nil || len(deferred) == 0 && len(pending) == 0 {
			return err
		}
		rows, err = tx.Query(ctx, reportDueSQL, pgx.StrictNamedArgs{"campaign": id, "first": c.first, "last": c.last})
		if err != nil {
			return err
		}
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&detail, &at}, func() error {
			due[detail] = at
			return nil
		})
		return err
	})
	if err != nil {
		return campaign.Status{}, c, translate(err)
	}
	st.State = c.state.Shown(len(st.Holds) > 0)
	st.Key, st.Channel = c.key, c.channel
	from := c.now
	if c.state != campaign.Running && c.starts != nil && c.starts.After(from) {
		from = *c.starts
	}
	waits, err := s.windowWaits(ctx, s.pool, id, from, pending, deferred, due)
	if err != nil {
		return campaign.Status{}, c, translate(err)
	}
	st.Explain(c.state, c.starts, pending, deferred, due, c.now)
	waits.name(&st)
	if c.state == campaign.Draft && !c.planned {
		st.Waiting = append(st.Waiting, campaign.Waiting{Reason: campaign.WaitPlan})
	}
	return st, c, nil
}

// Report tells what became of a campaign. Titles and advice of the codes are
// left to whoever knows the provider.
func (s *Store) Report(ctx context.Context, id campaign.ID) (campaign.Results, error) {
	status, stored, err := s.status(ctx, id)
	if err != nil {
		return campaign.Results{}, fmt.Errorf("report on campaign %d: %w", id, err)
	}
	r := campaign.Results{
		Status: status, Key: stored.key, Channel: stored.channel, Template: stored.template, CreatedAt: stored.created,
		Funnel: campaign.FunnelOf(status), Codes: campaign.CodesOf(status),
	}
	r.Replies, r.Repliers = status.Inbound.Messages, status.Inbound.People
	return r, nil
}

// Messages lists what one person got or is to get, the newest first, under any
// form of the number: matchKey is what package phone gives for it.
func (s *Store) Messages(ctx context.Context, matchKey string, limit int) ([]campaign.MessageInfo, error) {
	return s.messages(ctx, pgx.StrictNamedArgs{"id": 0, "match_key": matchKey, "limit": limit})
}

// Message tells everything about one message, former attempts included.
func (s *Store) Message(ctx context.Context, id campaign.MessageID) (campaign.MessageInfo, error) {
	found, err := s.messages(ctx, pgx.StrictNamedArgs{"id": id, "match_key": "", "limit": 1})
	if err != nil {
		return campaign.MessageInfo{}, err
	}
	if len(found) == 0 {
		return campaign.MessageInfo{}, campaign.ErrNotFound.With(fmt.Sprintf("no message %d", id), "campaignctl message list --phone +… finds a person's")
	}
	return found[0], nil
}

func (s *Store) messages(ctx context.Context, args pgx.StrictNamedArgs) ([]campaign.MessageInfo, error) {
	found, err := collectStructs[campaign.MessageInfo](s.pool.Query(ctx, reportMessagesSQL, args))
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", translate(err))
	}
	return found, nil
}
