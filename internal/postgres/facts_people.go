package postgres

import (
	_ "embed"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

//go:embed sql/facts_people.sql
var factsPeopleSQL string

// contactFacts is what a claim or an outcome must know of a person.
type contactFacts struct {
	person campaign.Person
	rest   *time.Time
	nanp   string
	open   []campaign.ChannelID // whose service window is open, of somebody who rests
}

// queuePeople reads the people of a batch, after the locks.
func (f *facts) queuePeople(b *pgx.Batch, hash personHash, contacts []int64) {
	b.Queue(factsPeopleSQL, pgx.StrictNamedArgs{"contacts": contacts, "inner": hash.inner, "outer": hash.outer}).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id campaign.ContactID
			var c contactFacts
			p := &c.person
			if err := rows.Scan(&id, &p.Suppressed, &p.CountryBlocked, &p.OptedOut, &p.OptedIn, &c.nanp, &c.rest, &c.open); err != nil {
				return err
			}
			f.contacts[id] = c
		}
		return rows.Err()
	})
}

// person adds what the person's wishes and country say of a message.
func (f *facts) person(m *lockedMessage, c *campaign.Circumstances) {
	known, read := f.contacts[m.ContactID]
	k := f.campaigns[m.CampaignID] // zero: the message belongs to none
	known.person.US = campaign.USMarketing(known.nanp, k.territories)
	c.US = known.person.US
	if m.forgotten {
		c.Skip = campaign.ReasonSuppressed // the person was forgotten
		return
	}
	if !read {
		if f.time.claims && m.ContactID != 0 {
			// Forgotten: a transaction that had read the contact before brought the
			// message later.
			c.Skip, m.orphan = campaign.ReasonSuppressed, true
		}
		return // or not asked for, or nobody we know
	}
	c.Skip = known.person.Skip(c.Marketing, campaign.PersonRules{AssumeOptIn: k.assumeOptIn, AttemptUS: k.attemptUS})
	// The limit behind 131049 does not count inside a service window
	// (whatsapp-facts §5).
	if c.Marketing && !slices.Contains(known.open, m.ChannelID) {
		c.Rest = known.rest
	}
}
