package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/verify_counts.sql
	verifyCountsSQL string
	//go:embed sql/verify_rows.sql
	verifyRowsSQL string
	//go:embed sql/verify_jobs.sql
	verifyJobsSQL string
	//go:embed sql/verify_ledger.sql
	verifyLedgerSQL string
	//go:embed sql/verify_attempts.sql
	verifyAttemptsSQL string
)

// Verify recomputes a campaign, or everything for id 0, from the rows: the sums,
// impossible combinations, counters against rows, messages against jobs, and the
// simulator's ledger when there is one. All of it is read in one snapshot, so a
// running daemon does not disturb it. No finding means that all adds up.
func (s *Store) Verify(ctx context.Context, id campaign.ID, ledger []campaign.LedgerEntry) ([]campaign.Finding, error) {
	findings := []campaign.Finding{}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if id != 0 {
			var exists bool
			if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM campaign.campaigns WHERE id = $1)`, id).Scan(&exists); err != nil {
				return err
			}
			if !exists {
				return campaign.ErrNotFound
			}
		}
		for _, check := range []string{verifyCountsSQL, verifyRowsSQL, verifyJobsSQL} {
			rows, err := tx.Query(ctx, check, pgx.StrictNamedArgs{"campaign": id})
			if err != nil {
				return err
			}
			found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (campaign.Finding, error) {
				var f campaign.Finding
				return f, row.Scan(&f.Check, &f.CampaignID, &f.Message, &f.Count, &f.Examples)
			})
			if err != nil {
				return err
			}
			findings = append(findings, found...)
		}
		if ledger == nil {
			return nil
		}
		found, err := s.verifyLedger(ctx, tx, id, ledger)
		findings = append(findings, found...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("verify: %w", translate(err))
	}
	return findings, nil
}

// ledgerMessage is what the ledger says of a message.
type ledgerMessage struct {
	posts map[int]int // by attempt
	taken []int       // attempts the provider took
	to    string
}

func (s *Store) verifyLedger(ctx context.Context, tx pgx.Tx, id campaign.ID, entries []campaign.LedgerEntry) ([]campaign.Finding, error) {
	seen := map[campaign.MessageID]*ledgerMessage{}
	for _, e := range entries {
		message, attempt, ours := s.ParseOpaque(e.Opaque)
		if !ours {
			continue
		}
		l := seen[message]
		if l == nil {
			l = &ledgerMessage{posts: map[int]int{}, to: e.To}
			seen[message] = l
		}
		l.posts[attempt]++
		if e.ID != "" {
			l.taken = append(l.taken, attempt)
		}
	}
	former, err := formerAttempts(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	c := findingsByCheck{}
	known := map[campaign.MessageID]bool{}
	rows, err := tx.Query(ctx, verifyLedgerSQL, pgx.StrictNamedArgs{"campaign": id})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m campaign.Message
		var phone string
		if err := rows.Scan(&m.ID, &m.CampaignID, &m.State, &m.Posts, &m.Posted, &m.Proof, &m.Resends, &phone); err != nil {
			return nil, err
		}
		known[m.ID] = true
		l := seen[m.ID]
		if l == nil {
			if m.Proof > campaign.ProofNone && m.Proof != campaign.ProofFailed {
				c.add("ledger_missing", m, "the provider's ledger has no POST of a message that is "+string(m.State))
			}
			continue
		}
		c.compare(m, l, phone, former[m.ID])
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if id == 0 {
		for message := range seen {
			if !known[message] {
				c.add("ledger_unknown", campaign.Message{ID: message}, "the provider's ledger has a message of this deployment that the database does not")
			}
		}
	}
	return c.list(), nil
}

// compare holds one message against the ledger.
func (c findingsByCheck) compare(m campaign.Message, l *ledgerMessage, phone string, former map[int]string) {
	for _, n := range l.posts {
		if n > 1 {
			c.add("posted_twice", m, "one attempt was posted more than once")
			break
		}
	}
	if l.to != phone && phone != "" { // a person who was forgotten has none
		c.add("ledger_recipient", m, "the ledger has another recipient")
	}
	if len(l.taken) > 0 {
		switch m.State {
		case campaign.Pending, campaign.Queued, campaign.Skipped, campaign.MessageCancelled:
			if m.Posts == 0 {
				c.add("taken_unknown", m, "the provider took a message that is "+string(m.State))
			}
		}
	} else if m.Proof == campaign.ProofAccepted || m.Proof == campaign.ProofSent || m.Proof >= campaign.ProofDelivered {
		c.add("not_taken", m, "the provider never took a message that is "+string(m.State))
	}
	// A message taken twice is right only when the earlier attempt is known to have
	// failed, or somebody ordered a resend of one whose fate was unknown.
	resends := m.Resends
	for _, attempt := range l.taken {
		if attempt >= m.Posted {
			continue
		}
		switch former[attempt] {
		case string(campaign.Failed):
		case string(campaign.Unknown):
			if resends--; resends < 0 {
				c.add("taken_twice", m, "the provider took it again although the fate of an earlier attempt was unknown")
			}
		default:
			c.add("taken_twice", m, "the provider took it again although an earlier attempt had not failed")
		}
	}
}

func formerAttempts(ctx context.Context, tx pgx.Tx, id campaign.ID) (map[campaign.MessageID]map[int]string, error) {
	rows, err := tx.Query(ctx, verifyAttemptsSQL, pgx.StrictNamedArgs{"campaign": id})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	former := map[campaign.MessageID]map[int]string{}
	for rows.Next() {
		var message campaign.MessageID
		var attempt int
		var state string
		if err := rows.Scan(&message, &attempt, &state); err != nil {
			return nil, err
		}
		if former[message] == nil {
			former[message] = map[int]string{}
		}
		former[message][attempt] = state
	}
	return former, rows.Err()
}

// findingsByCheck gathers findings by campaign and sentence.
type findingsByCheck map[findingKey]*campaign.Finding

type findingKey struct {
	campaign campaign.ID
	message  string
}

func (c findingsByCheck) add(check string, m campaign.Message, message string) {
	k := findingKey{m.CampaignID, message}
	f := c[k]
	if f == nil {
		f = &campaign.Finding{Check: check, CampaignID: m.CampaignID, Message: message}
		c[k] = f
	}
	if f.Count++; len(f.Examples) < 10 {
		f.Examples = append(f.Examples, m.ID)
	}
}

func (c findingsByCheck) list() []campaign.Finding {
	var list []campaign.Finding
	keys := slices.SortedFunc(maps.Keys(c), func(a, b findingKey) int {
		if a.campaign != b.campaign {
			return int(a.campaign - b.campaign)
		}
		if a.message < b.message {
			return -1
		}
		return 1
	})
	for _, k := range keys {
		list = append(list, *c[k])
	}
	return list
}
