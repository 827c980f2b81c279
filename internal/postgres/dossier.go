package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// dossierMessages is how many messages a dossier tells of.
const dossierMessages = 20

// Dossier tells everything known of a person, under any form of the number: the
// asked one is told with what binds the others. ErrNotFound does not repeat the
// number, and says so where it is on the suppression list all the same.
func (s *Store) Dossier(ctx context.Context, phone, matchKey string) (campaign.Dossier, error) {
	var d campaign.Dossier
	var err error
	if d.SuppressionHidden = !s.people.known(); !d.SuppressionHidden {
		if d.Suppression, err = s.suppressionOf(ctx, matchKey); err != nil {
			return d, fmt.Errorf("look at the suppression list: %w", translate(err))
		}
	}
	if d.Contacts, err = s.contacts(ctx, phone, matchKey); err != nil {
		return d, err
	}
	if len(d.Contacts) == 0 {
		if d.Suppression != nil {
			return d, campaign.ErrNotFound.With("no contact has this number; it is on the suppression list", "")
		}
		if d.SuppressionHidden {
			return d, campaign.ErrNotFound.With("no contact has this number",
				"is its country code right? whether it is on the suppression list is hidden from this database role; ask as campaign_operator")
		}
		return d, campaign.ErrNotFound.With("no contact has this number", "is its country code right?")
	}
	d.Lists, err = collect[string](s.pool.Query(ctx, `
		SELECT DISTINCT l.name FROM campaign.contacts AS c JOIN campaign.list_members AS m ON m.contact_id = c.id JOIN campaign.lists AS l ON l.id = m.list_id
		 WHERE c.match_key = $1 ORDER BY 1`, matchKey))
	if err != nil {
		return d, fmt.Errorf("read a contact's lists: %w", translate(err))
	}
	d.Windows, err = collectStructs[campaign.OpenWindow](s.pool.Query(ctx, `
		SELECT COALESCE(ch.name, '') AS channel, w.opened_at, w.last_at, w.last_at + interval '24 hours' AS until,
		       w.last_at > clock_timestamp() - interval '24 hours' AS open
		  FROM campaign.service_windows AS w LEFT JOIN campaign.channels AS ch ON ch.id = w.channel_id
		 WHERE w.match_key = $1 ORDER BY w.last_at DESC`, matchKey))
	if err != nil {
		return d, fmt.Errorf("read a contact's service windows: %w", translate(err))
	}
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.replies WHERE contact_id > 0
		AND contact_id = ANY(ARRAY(SELECT id FROM campaign.contacts WHERE match_key = $1))`, matchKey).Scan(&d.Replies)
	if err != nil {
		return d, fmt.Errorf("count a contact's replies: %w", translate(err))
	}
	if d.Messages, err = s.Messages(ctx, matchKey, dossierMessages); err != nil {
		return d, err
	}
	if d.UsedCap, err = s.usedCap(ctx, d.Contacts); err != nil {
		return d, fmt.Errorf("count a contact's marketing: %w", translate(err))
	}
	for _, other := range d.Contacts[1:] {
		d.Contacts[0].Join(other)
	}
	who := d.Contacts[0].Person(false)
	d.SkipMarketing, d.SkipUtility = who.Skip(true, campaign.PersonRules{}), who.Skip(false, campaign.PersonRules{})
	if d.SkipMarketing == "" && d.UsedCap != nil && d.UsedCap.Then == campaign.CapSkip {
		d.SkipMarketing = campaign.ReasonFrequencyCap
	}
	return d, nil
}

// usedCap gives the installation's cap where it leaves a person no room, by what a
// claim counts.
func (s *Store) usedCap(ctx context.Context, forms []campaign.Contact) (*campaign.UsedCap, error) {
	limit, err := s.FrequencyCap(ctx)
	if err != nil || limit == nil {
		return nil, err
	}
	var now time.Time
	if err := s.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return nil, err
	}
	since := now.Add(-limit.Per)
	var first, last campaign.MessageID
	if err := s.pool.QueryRow(ctx, capBoundsSQL, pgx.StrictNamedArgs{"since": since}).Scan(&first, &last); err != nil {
		return nil, err
	}
	ids := make([]int64, len(forms))
	for i, c := range forms {
		ids[i] = int64(c.ID)
	}
	rows, err := s.pool.Query(ctx, capPostsSQL, pgx.StrictNamedArgs{"contacts": ids, "since": since, "first": first, "last": last})
	if err != nil {
		return nil, err
	}
	var posts []time.Time
	var contact campaign.ContactID
	var p marketingPost
	_, err = pgx.ForEachRow(rows, []any{&contact, &p.message, &p.at}, func() error {
		posts = append(posts, p.at)
		return nil
	})
	if err != nil {
		return nil, err
	}
	free := limit.FreeAt(posts, now)
	if !free.After(now) {
		return nil, nil //nolint:nilnil // there is room
	}
	return &campaign.UsedCap{FrequencyCap: *limit, Until: free}, nil
}

func (s *Store) suppressionOf(ctx context.Context, matchKey string) (*campaign.Suppression, error) {
	var e campaign.Suppression
	err := s.pool.QueryRow(ctx, `SELECT COALESCE(phone, ''), CASE WHEN forgotten THEN 'forgotten' ELSE reason END, created_at
		FROM campaign.suppressions WHERE hash = $1 AND scope = 'all'`, s.people.of(matchKey)).Scan(&e.Phone, &e.Reason, &e.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nobody is on the list
	}
	return &e, err
}
