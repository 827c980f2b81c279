package postgres

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/contact_find.sql
	contactFindSQL string
	//go:embed sql/contact_know.sql
	contactKnowSQL string
	//go:embed sql/contact_opt_in.sql
	contactOptInSQL string
	//go:embed sql/contact_lift.sql
	contactLiftSQL string
	//go:embed sql/contact_opt_out.sql
	contactOptOutSQL string
)

// Contact finds a person by number, or by another form of it: matchKey is what
// package phone gives for the number. ErrNotFound does not repeat the number.
func (s *Store) Contact(ctx context.Context, phone, matchKey string) (campaign.Contact, error) {
	found, err := s.contacts(ctx, phone, matchKey)
	if err != nil {
		return campaign.Contact{}, err
	}
	if len(found) == 0 {
		return campaign.Contact{}, campaign.ErrNotFound.With("no contact has this number", "is its country code right?")
	}
	return found[0], nil
}

// contacts gives every form of a person's number that is a contact, the asked
// one first.
func (s *Store) contacts(ctx context.Context, phone, matchKey string) ([]campaign.Contact, error) {
	found, err := collectStructs[campaign.Contact](s.pool.Query(ctx, contactFindSQL, pgx.StrictNamedArgs{
		"phone": phone, "match_key": matchKey, "inner": s.people.inner, "outer": s.people.outer}))
	if err != nil {
		return nil, fmt.Errorf("look for a contact: %w", translate(err))
	}
	return found, nil
}

// SetOptIn notes that people agreed to get marketing, and takes an earlier
// opt-out back. Who is not a contact yet becomes one. It returns how many
// contacts changed: all forms of a number count.
func (s *Store) SetOptIn(ctx context.Context, people []campaign.ContactRow, source string) (int64, error) {
	return s.setConsent(ctx, people, "opt-in", contactOptInSQL, source)
}

// SetOptOut notes that people do not want marketing. Who is not a contact yet
// becomes one, so that a later import does not write to them; every contact that
// may be the same person (Brazil, Mexico, Argentina) is opted out. When it
// returns no further message to them is claimed. It returns how many contacts
// changed.
func (s *Store) SetOptOut(ctx context.Context, people []campaign.ContactRow, source string) (int64, error) {
	return s.setConsent(ctx, people, "opt-out", contactOptOutSQL, source)
}

func (s *Store) setConsent(ctx context.Context, people []campaign.ContactRow, action, statement, source string) (int64, error) {
	people = slices.Clone(people)
	slices.SortFunc(people, func(a, b campaign.ContactRow) int { return cmp.Compare(a.Phone, b.Phone) })
	var phones, keys, countries, nanps []string
	for _, p := range people {
		phones, keys = append(phones, p.Phone), append(keys, p.MatchKey)
		countries, nanps = append(countries, p.Country), append(nanps, p.NANP)
	}
	var changed int64
	err := s.inPeopleTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, contactKnowSQL, pgx.StrictNamedArgs{"phones": phones, "match_keys": keys, "countries": countries, "nanps": nanps})
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, statement, pgx.StrictNamedArgs{"match_keys": keys, "source": plainText(source)})
		if changed = tag.RowsAffected(); err != nil {
			return err
		}
		if statement == contactOptOutSQL {
			// Also of who had opted out: a word of between the two does not lift this one.
			_, err := tx.Exec(ctx, `UPDATE campaign.contacts SET consent_at = clock_timestamp() WHERE match_key = ANY($1::text[]) AND opted_out_at IS NOT NULL`, keys)
			if err != nil {
				return err
			}
		}
		if statement == contactOptInSQL {
			if _, err := tx.Exec(ctx, `UPDATE campaign.marketing_preferences SET stopped = false WHERE match_key = ANY($1::text[]) AND stopped`, keys); err != nil {
				return err
			}
			// An opt-out that was known by the user id only ends, too.
			lifted, err := tx.Exec(ctx, contactLiftSQL, pgx.StrictNamedArgs{"match_keys": keys, "inner": s.people.inner, "outer": s.people.outer})
			if err != nil {
				return err
			}
			changed = max(changed, lifted.RowsAffected())
		}
		if changed == 0 {
			return nil
		}
		return s.audit(ctx, tx, act{action: action, object: "people", count: changed})
	})
	if err != nil {
		return 0, fmt.Errorf("set the consent of %d people: %w", len(people), translate(err))
	}
	return changed, nil
}
