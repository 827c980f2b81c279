package postgres

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/cap_lock.sql
	capLockSQL string
	//go:embed sql/cap_bounds.sql
	capBoundsSQL string
	//go:embed sql/cap_posts.sql
	capPostsSQL string
	//go:embed sql/zone_set.sql
	zoneSetSQL string
)

// timeRules are the windows and caps of campaigns and the sets of time zones, as
// far as somebody asked for them. All of them are written once: what is known
// stays right, so a claim asks the database for what it has not met before.
type timeRules struct {
	mu        sync.RWMutex
	campaigns map[campaign.ID]timeRule
	sets      map[campaign.ZoneSetID]campaign.ZoneSet
	hours     map[hoursKey]*campaign.OpenHours
}

// timeRule is what the file of one campaign says.
type timeRule struct {
	schedule campaign.Schedule
	ownCap   *campaign.FrequencyCap
}

// hoursKey names the hours of a window for the people of a zone set.
type hoursKey struct {
	window, days string
	set          campaign.ZoneSetID
}

func (r *timeRules) campaign(id campaign.ID) (timeRule, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rule, ok := r.campaigns[id]
	return rule, ok || id == 0
}

func (r *timeRules) set(id campaign.ZoneSetID) (campaign.ZoneSet, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	set, ok := r.sets[id]
	return set, ok || id == 0
}

// learn reads what is not known yet of some campaigns and zone sets.
func (r *timeRules) learn(ctx context.Context, db querier, campaigns []campaign.ID, sets []campaign.ZoneSetID) error {
	campaigns = slices.DeleteFunc(campaigns, func(id campaign.ID) bool { _, known := r.campaign(id); return known })
	sets = slices.DeleteFunc(sets, func(id campaign.ZoneSetID) bool { _, known := r.set(id); return known })
	if len(campaigns) > 0 {
		rows, err := db.Query(ctx, `SELECT id, COALESCE(spec->'schedule', '{}'), spec->'frequency_cap' FROM campaign.campaigns WHERE id = ANY($1::bigint[])`, campaigns)
		if err != nil {
			return err
		}
		var id campaign.ID
		var schedule, ownCap []byte
		_, err = pgx.ForEachRow(rows, []any{&id, &schedule, &ownCap}, func() error {
			var rule timeRule
			if err := json.Unmarshal(schedule, &rule.schedule); err != nil {
				return fmt.Errorf("read the schedule of campaign %d: %w", id, err)
			}
			if ownCap != nil {
				if err := json.Unmarshal(ownCap, &rule.ownCap); err != nil {
					return fmt.Errorf("read the frequency cap of campaign %d: %w", id, err)
				}
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.campaigns == nil {
				r.campaigns = map[campaign.ID]timeRule{}
			}
			r.campaigns[id] = rule
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(sets) == 0 && len(campaigns) == 0 {
		return nil
	}
	// All of them: there are few, and a campaign that is new may have brought some.
	rows, err := db.Query(ctx, `SELECT id, country, zones FROM campaign.zone_sets`)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[campaign.ZoneSet])
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sets == nil {
		r.sets = map[campaign.ZoneSetID]campaign.ZoneSet{}
	}
	for _, set := range found {
		r.sets[set.ID] = set
	}
	return nil
}

// hoursOf gives the hours of a campaign's messages to the people of a zone set;
// nil where no window binds them. Where this program cannot tell them (a newer
// one planned with a zone that it does not know) they never come: nobody is
// written to at night because a program is old.
func (r *timeRules) hoursOf(id campaign.ID, set campaign.ZoneSetID) *campaign.OpenHours {
	rule, _ := r.campaign(id)
	if set == 0 || !rule.schedule.HasWindow() {
		return nil
	}
	key := hoursKey{rule.schedule.Window, strings.Join(rule.schedule.Days, ","), set}
	r.mu.RLock()
	hours, ok := r.hours[key]
	r.mu.RUnlock()
	if ok {
		return hours
	}
	zones, _ := r.set(set)
	window, errWindow := rule.schedule.WindowOf(zones.Country)
	locations, errZones := zones.Locations()
	if errWindow != nil || errZones != nil {
		locations = nil
	}
	hours = campaign.NewOpenHours(window, locations)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hours == nil {
		r.hours = map[hoursKey]*campaign.OpenHours{}
	}
	r.hours[key] = hours
	return hours
}

// zoneSet gives the number of a zone set, which is stored when it is new. Two who
// store it at the same time get the same one.
func (s *Store) zoneSet(ctx context.Context, set campaign.ZoneSet) (campaign.ZoneSetID, error) {
	args := pgx.StrictNamedArgs{"country": set.Country, "zones": append([]string{}, set.Zones...)}
	const find = `SELECT id FROM campaign.zone_sets WHERE country = @country AND zones = @zones::text[]`
	var id campaign.ZoneSetID
	// Looked for first: an insert that conflicts uses a number up, and there are
	// 32,767.
	for range 2 {
		err := s.pool.QueryRow(ctx, find, args).Scan(&id)
		if err == nil {
			return id, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return 0, fmt.Errorf("look for a zone set: %w", translate(err))
		}
		err = s.pool.QueryRow(ctx, zoneSetSQL, args).Scan(&id)
		if err == nil {
			return id, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return 0, fmt.Errorf("store a zone set: %w", translate(err))
		}
	}
	return 0, fmt.Errorf("store a zone set: it comes and goes")
}

// timeFacts is what the hour, and what people got lately, say of a batch.
type timeFacts struct {
	rules        *timeRules
	claims       bool
	installation *campaign.FrequencyCap
	people       map[campaign.ContactID]string // match keys, of those whom a cap may stop
	crowded      map[string]bool               // match keys, of those whom somebody else keeps locked
	posts        map[string][]marketingPost    // by match key, the newest first
}

// marketingPost is a marketing message that may have arrived.
type marketingPost struct {
	message campaign.MessageID
	at      time.Time
}

// queueTime reads the installation's cap, and before that what is not known yet
// of the campaigns of a batch.
func (f *facts) queueTime(ctx context.Context, s *Store, conn *pgxpool.Conn, b *pgx.Batch, rows []*lockedMessage, t *transition) error {
	f.time = timeFacts{rules: &s.times, claims: t.people}
	var campaigns []campaign.ID
	var sets []campaign.ZoneSetID
	for _, m := range rows {
		campaigns, sets = appendNew(campaigns, m.CampaignID), appendNew(sets, m.ZoneSet)
	}
	if err := s.times.learn(ctx, conn, campaigns, sets); err != nil {
		return err
	}
	if t.people {
		b.Queue(frequencyCapSQL).Query(func(rows pgx.Rows) error {
			var err error
			f.time.installation, err = scanCap(rows)
			return err
		})
	}
	return nil
}

const frequencyCapSQL = `SELECT messages, per, then_do FROM campaign.frequency_caps`

func scanCap(rows pgx.Rows) (*campaign.FrequencyCap, error) {
	var found *campaign.FrequencyCap
	for rows.Next() {
		var c campaign.FrequencyCap
		if err := rows.Scan(&c.Messages, &c.Per, &c.Then); err != nil {
			return nil, err
		}
		found = &c
	}
	return found, rows.Err()
}

func (t *timeFacts) capsOf(id campaign.ID) campaign.Caps {
	rule, _ := t.rules.campaign(id)
	return campaign.Caps{Installation: t.installation, Own: rule.ownCap}
}

// capped reports whether a cap may stop a message at its claim, or does so now.
func (f *facts) capped(m *lockedMessage) bool {
	return f.time.claims && m.ContactID != 0 && (m.State == campaign.Queued || m.WaitsForCap()) && f.templates[m.TemplateID].marketing &&
		!f.time.capsOf(m.CampaignID).None()
}

// readPosts locks the people whom a cap may stop, under every form of their
// number, and then reads what they got: two claims under way do not
// both find room for one message. Two round trips, and none where no cap holds.
func (f *facts) readPosts(ctx context.Context, conn *pgxpool.Conn, rows []*lockedMessage) error {
	var contacts []int64
	var longest time.Duration
	for _, m := range rows {
		if f.capped(m) {
			contacts = append(contacts, int64(m.ContactID))
			longest = max(longest, f.time.capsOf(m.CampaignID).Longest())
		}
	}
	if len(contacts) == 0 {
		return nil
	}
	f.time.people, f.time.crowded, f.time.posts = map[campaign.ContactID]string{}, map[string]bool{}, map[string][]marketingPost{}
	since := f.now.Add(-longest)
	var first, last campaign.MessageID
	var everyForm []int64
	b := &pgx.Batch{}
	b.Queue(ownPlansSQL)
	b.Queue(capLockSQL, pgx.StrictNamedArgs{"contacts": contacts}).Query(func(rows pgx.Rows) error {
		var id campaign.ContactID
		var key string
		var locked bool
		_, err := pgx.ForEachRow(rows, []any{&id, &key, &locked}, func() error {
			f.time.people[id] = key
			if !locked {
				f.time.crowded[key] = true
			}
			everyForm = append(everyForm, int64(id))
			return nil
		})
		return err
	})
	b.Queue(capBoundsSQL, pgx.StrictNamedArgs{"since": since}).QueryRow(func(row pgx.Row) error { return row.Scan(&first, &last) })
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	found, err := conn.Query(ctx, capPostsSQL, pgx.StrictNamedArgs{"contacts": everyForm, "since": since, "first": first, "last": last})
	if err != nil {
		return err
	}
	var id campaign.ContactID
	var p marketingPost
	_, err = pgx.ForEachRow(found, []any{&id, &p.message, &p.at}, func() error {
		key := f.time.people[id]
		f.time.posts[key] = append(f.time.posts[key], p)
		return nil
	})
	return err
}

// crowded reports whether a message has to come again, because what its person got
// cannot be counted while somebody else keeps them.
func (f *facts) crowded(m *lockedMessage) bool {
	key, asked := f.time.people[m.ContactID]
	return asked && f.time.crowded[key] && f.capped(m)
}

// timing adds the hours and the caps to the circumstances of a message.
func (f *facts) timing(m *lockedMessage, c *campaign.Circumstances) {
	c.Hours = f.time.rules.hoursOf(m.CampaignID, m.ZoneSet)
	if !f.capped(m) {
		return
	}
	var posts []time.Time
	for _, p := range f.time.posts[f.time.people[m.ContactID]] {
		if p.message != m.ID { // a POST of unknown fate that is to be repeated
			posts = append(posts, p.at)
		}
	}
	free, then := f.time.capsOf(m.CampaignID).FreeAt(posts, f.now)
	switch {
	case !free.After(f.now):
	case then == campaign.CapDefer:
		c.Capped = &free
	case c.Skip == "":
		c.Skip = campaign.ReasonFrequencyCap
	}
}

// claimed notes a claim of this batch: the same person may be in it under another
// form of the number.
func (f *facts) claimed(m *lockedMessage) {
	if key, ok := f.time.people[m.ContactID]; ok && m.State == campaign.Sending && m.Marketing {
		f.time.posts[key] = slices.Insert(f.time.posts[key], 0, marketingPost{m.ID, f.now})
	}
}
