package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// contactFacts is what a claim or an outcome must know of a person.
type contactFacts struct {
	optedOut bool
	rest     *time.Time
	nanp     string
}

// queuePeople reads the people of a batch, after the locks.
func (f *facts) queuePeople(b *pgx.Batch, contacts []int64) {
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

// person adds what the person's wishes and country say of a message.
func (f *facts) person(m *lockedMessage, c *campaign.Circumstances) {
	person, k := f.contacts[m.ContactID], f.campaigns[m.CampaignID] // zero: no contact is known, or no campaign
	c.US = campaign.USMarketing(person.nanp, k.territories)
	if !c.Marketing {
		return
	}
	c.Rest = person.rest
	switch {
	case person.optedOut:
		c.Skip = campaign.ReasonOptedOut
	case c.US && !k.attemptUS:
		c.Skip = campaign.ReasonUSMarketing
	}
}
