package postgres

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/plan_contacts.sql
	planContactsSQL string
	//go:embed sql/plan_insert.sql
	planInsertSQL string
	//go:embed sql/plan_finish.sql
	planFinishSQL string
	//go:embed sql/plan_find.sql
	planFindSQL string
	//go:embed sql/plan_discard.sql
	planDiscardSQL string
	//go:embed sql/plan_diff.sql
	planDiffSQL string
	//go:embed sql/plan_templates.sql
	planTemplatesSQL string
	//go:embed sql/plan_recipients.sql
	planRecipientsSQL string
)

// Planner decides who of an audience gets what. It is asked for each contact
// once, in the order of match keys: the forms of one person's number come one
// after the other.
type Planner interface {
	// Templates are the languages that the plan may use, as they were read.
	Templates() []campaign.Template
	// Constants is the JSON of the parameters that are the same for everybody.
	Constants() []byte
	// Decide says what one contact gets. row is the line of the file that brought
	// the contact last. An error ends the plan: nothing is stored.
	Decide(c *campaign.Contact, row int64) (campaign.PlannedMessage, error)
	// Hash is asked for after the last contact, and covers everything decided.
	Hash() string
}

// PlanInput is what a plan is made of.
type PlanInput struct {
	Spec     campaign.Spec
	Campaign campaign.ID // the row that a launch from SQL or a schedule made, which waits for its plan; 0: a row is made
	Channel  campaign.ChannelID
	List     campaign.ListID
	Planner  Planner
}

// CreatePlan freezes an audience: in one transaction it stores the campaign as a
// draft and a message for every contact of the list, skipped ones with their
// reason. Contacts are streamed, so memory does not grow with the list.
//
// A campaign of the same name, key and content is returned with Created false;
// other content is ErrConflict and names what differs. ErrConflict also says
// that a template was synchronised to other slots meanwhile.
func (s *Store) CreatePlan(ctx context.Context, in PlanInput) (campaign.Launched, error) {
	launched, found, err := s.findPlanOf(ctx, in)
	if err != nil || found {
		return launched, err
	}
	var members int64
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.list_members WHERE list_id = $1`, in.List).Scan(&members)
	if err != nil {
		return campaign.Launched{}, fmt.Errorf("count the list: %w", translate(err))
	}
	if err := s.MakePartitions(ctx, members); err != nil {
		return campaign.Launched{}, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		launched, err = s.createPlan(ctx, tx, in)
		return err
	})
	if errors.Is(err, errPlanned) {
		// Somebody else planned it a moment ago.
		if launched, found, err = s.findPlanOf(ctx, in); err == nil && !found {
			err = campaign.ErrConflict.With(fmt.Sprintf("campaign %q was planned and discarded at the same time", in.Spec.Name), "try again")
		}
		return launched, err
	}
	if err != nil {
		return campaign.Launched{}, fmt.Errorf("plan campaign %q: %w", in.Spec.Name, translate(err))
	}
	return launched, nil
}

// errPlanned: the name and key were taken by another transaction.
var errPlanned = errors.New("planned already")

func (s *Store) createPlan(ctx context.Context, tx pgx.Tx, in PlanInput) (campaign.Launched, error) {
	none := campaign.Launched{}
	spec, err := json.Marshal(in.Spec)
	if err != nil {
		return none, err
	}
	templates := in.Planner.Templates()
	ids := make([]campaign.TemplateID, len(templates))
	for i, t := range templates {
		ids[i] = t.ID
	}
	out := campaign.Launched{Name: in.Spec.Name, State: campaign.Draft, Skipped: map[string]int64{}, Created: true}
	var now time.Time
	var before campaign.MessageID
	err = tx.QueryRow(ctx, planInsertSQL, pgx.StrictNamedArgs{
		"campaign": in.Campaign, "name": in.Spec.Name, "key": in.Spec.Key, "channel": in.Channel, "list": in.List, "spec": json.RawMessage(spec),
		"spec_hash": in.Spec.Hash(), "rate": in.Spec.Rate, "constants": json.RawMessage(in.Planner.Constants()), "templates": ids,
		"starts_at": in.Spec.Schedule.At, "not_after": in.Spec.Schedule.NotAfter,
	}).Scan(&out.ID, &now, &before)
	if errors.Is(err, pgx.ErrNoRows) {
		return none, errPlanned
	}
	if err != nil {
		return none, err
	}
	// Once now, to fail early, and once at the end, when a synchronisation under way
	// is waited for.
	if err := unchanged(ctx, tx, templates, ""); err != nil {
		return none, err
	}

	reader, err := s.pool.Acquire(ctx)
	if err != nil {
		return none, err
	}
	defer reader.Release()
	rows, err := reader.Query(ctx, planContactsSQL, pgx.StrictNamedArgs{"list": in.List, "inner": s.people.inner, "outer": s.people.outer})
	if err != nil {
		return none, err
	}
	defer rows.Close()
	source := &planSource{rows: rows, in: in, id: out.ID, now: now, counts: map[counterKey]int64{}, sets: map[*campaign.ZoneSet]campaign.ZoneSetID{}}
	source.zoneSet = func(set campaign.ZoneSet) (campaign.ZoneSetID, error) { return s.zoneSet(ctx, set) }
	if source.capped, err = s.cappedPeople(ctx, in, startOf(in.Spec, now)); err != nil {
		return none, err
	}
	defer source.capped.close()
	out.Total, err = tx.CopyFrom(ctx, pgx.Identifier{"campaign", "messages"}, planColumns(), source)
	if source.err != nil {
		return none, source.err // what the server says of it is less
	}
	if err != nil {
		return none, err
	}

	for k, n := range source.counts {
		if k.state == campaign.Skipped {
			out.Skipped[k.detail] += n
		} else {
			out.Eligible += n
		}
	}
	out.PlanHash = in.Planner.Hash()
	asked, err := askedBy(ctx, tx, out.ID)
	if err != nil {
		return none, err
	}
	b := &pgx.Batch{}
	queueCounts(b, source.counts)
	b.Queue(planFinishSQL, pgx.StrictNamedArgs{"campaign": out.ID, "before": before, "total": out.Total, "eligible": out.Eligible, "plan_hash": out.PlanHash})
	s.queueAudit(ctx, b, act{action: "plan", object: "campaign", id: int64(out.ID), detail: asked, planHash: out.PlanHash, count: out.Eligible})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return none, err
	}
	return out, unchanged(ctx, tx, templates, "FOR SHARE")
}

// unchanged refuses templates whose slots changed since they were read.
func unchanged(ctx context.Context, tx pgx.Tx, templates []campaign.Template, lock string) error {
	for _, t := range templates {
		var changed bool
		err := tx.QueryRow(ctx, `SELECT changed_at > $2 FROM campaign.templates WHERE id = $1 `+lock, t.ID, t.SyncedAt).Scan(&changed)
		if err != nil {
			return err
		}
		if changed {
			return campaign.ErrConflict.With(fmt.Sprintf("template %s changed while the campaign was planned", templateName(t)), "plan it again")
		}
	}
	return nil
}

func planColumns() []string {
	return []string{"campaign_id", "channel_id", "template_id", "contact_id", "due_at", "row_number", "state", "reason", "phone", "parameters", "zone_set"}
}

// planSource turns contacts into messages for COPY, one at a time.
type planSource struct {
	rows   pgx.Rows
	in     PlanInput
	id     campaign.ID
	now    time.Time
	counts map[counterKey]int64
	values [11]any
	err    error

	capped  *capStream
	zoneSet func(campaign.ZoneSet) (campaign.ZoneSetID, error)
	sets    map[*campaign.ZoneSet]campaign.ZoneSetID
}

var noParameters = []byte(`{}`) //nolint:gochecknoglobals // never written to

func (p *planSource) Next() bool {
	if p.err != nil || !p.rows.Next() {
		if p.err == nil {
			p.err = p.rows.Err()
		}
		return false
	}
	var c campaign.Contact
	var forgotten bool
	var row int64
	p.err = p.rows.Scan(&c.ID, &c.Phone, &c.MatchKey, &c.Country, &c.NANP, &c.Language, &c.TimeZone, &c.Attributes, &c.OptIn, &c.OptedOutAt,
		&c.Suppressed, &c.CountryBlocked, &forgotten, &row)
	if p.err != nil {
		return false
	}
	if c.CappedUntil, c.CappedThen, p.err = p.capped.until(c.MatchKey); p.err != nil {
		return false
	}
	var m campaign.PlannedMessage
	if m, p.err = p.in.Planner.Decide(&c, row); p.err != nil {
		return false
	}
	planned := campaign.Message{State: campaign.Pending, Reason: m.Waits, DueAt: &p.now}
	if !m.DueAt.IsZero() {
		planned.DueAt = &m.DueAt
	}
	if m.Skip != "" {
		planned = campaign.Message{State: campaign.Skipped, Reason: m.Skip}
	}
	if planned.ZoneSet, p.err = p.zone(m.ZoneSet); p.err != nil {
		return false
	}
	parameters := m.Parameters
	if len(parameters) == 0 {
		parameters = noParameters
	}
	if forgotten {
		// Whoever forgets somebody relies on it that no plan brings them back.
		c.ID, c.Phone, row, parameters = 0, "", 0, noParameters
	}
	p.counts[counterKey{p.id, p.in.Channel, planned.State, planned.Detail()}]++
	p.values = [...]any{int64(p.id), int64(p.in.Channel), int64(m.TemplateID), int64(c.ID), planned.DueAt, row, string(planned.State), planned.Reason,
		c.Phone, parameters, int16(planned.ZoneSet)}
	return true
}

// zone gives the number of a zone set of the planner's.
func (p *planSource) zone(set *campaign.ZoneSet) (campaign.ZoneSetID, error) {
	if set == nil {
		return 0, nil
	}
	id, known := p.sets[set]
	if known {
		return id, nil
	}
	id, err := p.zoneSet(*set)
	p.sets[set] = id
	return id, err
}

// startOf is when the first message of a campaign may be sent.
func startOf(spec campaign.Spec, now time.Time) time.Time {
	if at := spec.Schedule.At; at != nil && at.After(now) {
		return *at
	}
	return now
}

func (p *planSource) Values() ([]any, error) { return p.values[:], nil }

func (p *planSource) Err() error { return p.err }

// findPlan looks for a campaign of the same name and key. Other content is
// ErrConflict.
func (s *Store) findPlan(ctx context.Context, spec campaign.Spec) (campaign.Launched, bool, error) {
	var l campaign.Launched
	var hash string
	var stored campaign.Spec
	err := s.pool.QueryRow(ctx, planFindSQL, pgx.StrictNamedArgs{"name": spec.Name, "key": spec.Key}).
		Scan(&l.ID, &l.Name, &l.State, &l.PlanHash, &l.Total, &l.Eligible, &l.Skipped, &hash, &stored)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return campaign.Launched{}, false, nil
	case err != nil:
		return campaign.Launched{}, false, fmt.Errorf("look for campaign %q: %w", spec.Name, translate(err))
	case l.State == campaign.Draft && l.PlanHash == "":
		return campaign.Launched{}, false, errAwaitsPlan(l.ID)
	case hash == spec.Hash():
		return l, true, nil
	}
	named := fmt.Sprintf("campaign %q", spec.Name)
	if spec.Key != "" {
		named += fmt.Sprintf(" with key %q", spec.Key)
	}
	message := fmt.Sprintf("%s exists (%d, %s) with other content", named, l.ID, l.State)
	if keys := spec.Differences(stored); len(keys) > 0 {
		message += ": " + strings.Join(keys, ", ")
	}
	hint := "give this one another key"
	if l.State == campaign.Draft {
		hint += ", or discard the draft with --replace"
	}
	return campaign.Launched{}, false, campaign.ErrConflict.With(message, hint)
}

// findPlanOf is findPlan, or for a campaign that waits for its plan whether it has
// one now. A campaign that was cancelled meanwhile counts as planned: it must not
// be.
func (s *Store) findPlanOf(ctx context.Context, in PlanInput) (campaign.Launched, bool, error) {
	if in.Campaign == 0 {
		return s.findPlan(ctx, in.Spec)
	}
	var l campaign.Launched
	err := s.pool.QueryRow(ctx, `SELECT id, name, state, plan_hash, total, eligible FROM campaign.campaigns WHERE id = $1`, in.Campaign).
		Scan(&l.ID, &l.Name, &l.State, &l.PlanHash, &l.Total, &l.Eligible)
	if err != nil {
		return campaign.Launched{}, false, fmt.Errorf("look for campaign %d: %w", in.Campaign, translate(err))
	}
	l.Skipped = map[string]int64{}
	return l, l.PlanHash != "" || l.State != campaign.Draft, nil
}

// errAwaitsPlan refuses what needs a plan that a daemon has yet to make.
func errAwaitsPlan(id campaign.ID) error {
	return campaign.ErrState.With(fmt.Sprintf("campaign %d is yet to be planned by a daemon, which then starts it", id),
		fmt.Sprintf("campaignctl campaign status %d says what it waits for", id))
}

// FindPlan finds the campaign that was planned under this name and key, whatever
// its content, for those who want to replace it.
func (s *Store) FindPlan(ctx context.Context, name, key string) (campaign.ID, bool, error) {
	var id campaign.ID
	err := s.pool.QueryRow(ctx, `SELECT id FROM campaign.campaigns WHERE name = $1 AND key = $2`, name, key).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look for campaign %q: %w", name, translate(err))
	}
	return id, true, nil
}

// Recipients gives the first eligible recipients of a plan as they were frozen,
// constants included, for previews. Text is left to be rendered.
func (s *Store) Recipients(ctx context.Context, id campaign.ID, n int) ([]campaign.Recipient, []campaign.TemplateID, error) {
	rows, err := s.pool.Query(ctx, planRecipientsSQL, pgx.StrictNamedArgs{"campaign": id, "limit": n})
	if err != nil {
		return nil, nil, fmt.Errorf("read recipients of campaign %d: %w", id, translate(err))
	}
	var recipients []campaign.Recipient
	var templates []campaign.TemplateID
	var r campaign.Recipient
	var t campaign.TemplateID
	_, err = pgx.ForEachRow(rows, []any{&r.Phone, &r.Language, &r.Parameters, &t}, func() error {
		recipients, templates = append(recipients, r), append(templates, t)
		r = campaign.Recipient{}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read recipients of campaign %d: %w", id, translate(err))
	}
	return recipients, templates, nil
}

// discardBatch is how many messages of a discarded plan are deleted at a time.
const discardBatch = 20_000

// DiscardPlan deletes a draft, or what was cancelled before it started, with its
// messages. Anything else is ErrState. The campaign is cancelled first, so that
// a launch at the same time finds no half of it; when the deletion is
// interrupted it can be repeated.
func (s *Store) DiscardPlan(ctx context.Context, id campaign.ID) error {
	var first, last campaign.MessageID
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, campaignKey(id)); err != nil {
			return err
		}
		var state campaign.State
		var started bool
		err := tx.QueryRow(ctx, `SELECT state, started_at IS NOT NULL, first_id, last_id FROM campaign.campaigns WHERE id = $1 FOR UPDATE`, id).
			Scan(&state, &started, &first, &last)
		if err != nil {
			return err
		}
		if started || state != campaign.Draft && state != campaign.Cancelled {
			return campaign.ErrState.With(fmt.Sprintf("campaign %d is %s", id, state), "only a plan that never started can be discarded")
		}
		_, err = tx.Exec(ctx, `UPDATE campaign.campaigns SET state = 'cancelled', finished_at = clock_timestamp() WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("discard campaign %d: %w", id, translate(err))
	}
	for after := first - 1; after < last; {
		var reached *campaign.MessageID
		err := s.pool.QueryRow(ctx, planDiscardSQL, pgx.StrictNamedArgs{"campaign": id, "after": after, "last": last, "limit": discardBatch}).Scan(&reached)
		if err != nil {
			return fmt.Errorf("discard messages of campaign %d: %w", id, translate(err))
		}
		if reached == nil {
			break
		}
		after = *reached
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		// Deltas before sums: a fold under way is waited for, and then its sums are seen.
		for _, statement := range []string{
			`DELETE FROM campaign.message_count_deltas WHERE campaign_id = $1`,
			`DELETE FROM campaign.message_counts WHERE campaign_id = $1`,
			`DELETE FROM campaign.holds WHERE scope = 'campaign' AND scope_id = $1`,
			`DELETE FROM campaign.campaigns WHERE id = $1`,
		} {
			if _, err := tx.Exec(ctx, statement, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("discard campaign %d: %w", id, translate(err))
	}
	return nil
}

// PlanDiff compares a plan with what it was made of: who joined or left its list
// since, with up to examples numbers of each, and which templates changed.
func (s *Store) PlanDiff(ctx context.Context, id campaign.ID, examples int) (campaign.PlanDiff, error) {
	var d campaign.PlanDiff
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, planDiffSQL, pgx.StrictNamedArgs{"campaign": id, "examples": examples}).
			Scan(&d.ListGone, &d.Joined, &d.Left, &d.JoinedPhones, &d.LeftPhones)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, planTemplatesSQL, pgx.StrictNamedArgs{"campaign": id})
		if err != nil {
			return err
		}
		var name, status string
		var changed bool
		_, err = pgx.ForEachRow(rows, []any{&name, &status, &changed}, func() error {
			if changed {
				d.TemplatesChanged = append(d.TemplatesChanged, name)
			}
			if status != campaign.TemplateApproved {
				d.TemplatesUnusable = append(d.TemplatesUnusable, name+" is "+status)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return campaign.PlanDiff{}, fmt.Errorf("compare campaign %d with its list: %w", id, translate(err))
	}
	return d, nil
}
