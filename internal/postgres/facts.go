package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

// facts are the circumstances of a batch.
type facts struct {
	now       time.Time
	campaigns map[campaign.ID]campaignFacts
	accounts  map[campaign.ChannelID]int64
	templates map[campaign.TemplateID]templateFacts
	contacts  map[campaign.ContactID]contactFacts
	holds     []campaign.Hold
	time      timeFacts
}

type campaignFacts struct {
	state       campaign.State
	notAfter    *time.Time
	retry       map[string]campaign.Retry
	pacedAt     *time.Time // the first message was held for quality, none released yet
	attemptUS   bool
	territories bool
	assumeOptIn bool
}

type templateFacts struct{ marketing bool }

func (s *Store) facts(ctx context.Context, conn *pgxpool.Conn, rows []*lockedMessage, t *transition) (*facts, error) {
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
		if m.ContactID != 0 && (t.people || t.asks != nil && t.asks(m.ID)) {
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
			if err := rows.Scan(&id, &c.state, &c.notAfter, &retry, &us, &territories, &c.pacedAt, &c.assumeOptIn); err != nil {
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
	if len(contacts) > 0 {
		f.queuePeople(b, s.people, contacts)
	}
	if err := f.queueTime(ctx, s, conn, b, rows, t); err != nil {
		return nil, err
	}
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	return f, f.readPosts(ctx, conn, rows)
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
	}
	f.person(m, &c)
	f.timing(m, &c)
	return c
}
