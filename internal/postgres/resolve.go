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

var (
	//go:embed sql/resolve_unknown.sql
	resolveUnknownSQL string
	//go:embed sql/resolve_due.sql
	resolveDueSQL string
	//go:embed sql/retry_failed.sql
	retryFailedSQL string
)

// Resolved says what a decision about messages of unknown fate did.
type Resolved struct {
	Messages int        `json:"messages"` // decided
	Waiting  int        `json:"waiting"`  // still unknown because their grace runs
	Until    *time.Time `json:"until"`    // when the grace of the last of them ends; nil when webhooks do not flow
}

// Resolve decides about the unknown messages of a campaign (or, for campaign 0,
// about those among only): another POST, or failed. A resend is refused for a
// message whose grace still runs: a webhook may settle it any moment (design
// §4.8). only narrows the decision to some messages; empty means all.
func (s *Store) Resolve(ctx context.Context, id campaign.ID, resend bool, only []campaign.MessageID) (Resolved, error) {
	var done Resolved
	after := campaign.MessageID(0)
	for {
		rows, err := s.pool.Query(ctx, resolveUnknownSQL, pgx.StrictNamedArgs{"campaign": id, "only": only, "after": after, "limit": 1000})
		if err != nil {
			return done, fmt.Errorf("look for unknown messages: %w", translate(err))
		}
		var ids []campaign.MessageID
		n := 0
		for rows.Next() {
			var message campaign.MessageID
			var over bool
			var until *time.Time
			if err := rows.Scan(&message, &over, &until); err != nil {
				rows.Close()
				return done, err
			}
			n++
			after = message
			if resend && !over {
				done.Waiting++
				if until != nil && (done.Until == nil || until.After(*done.Until)) {
					done.Until = until
				}
				continue
			}
			ids = append(ids, message)
		}
		if err := rows.Err(); err != nil {
			return done, translate(err)
		}
		decided, err := s.resolve(ctx, ids, resend, false, resolution(id, only, resend))
		done.Messages += decided
		if err != nil || n < 1000 {
			return done, err
		}
	}
}

// resolution is what the audit notes of a decision.
func resolution(id campaign.ID, only []campaign.MessageID, resend bool) *act {
	a := &act{action: "resolve", object: "campaign", id: int64(id)}
	a.detail = "fail"
	if resend {
		a.detail = "resend"
	}
	if id == 0 {
		a.object = "message"
		if len(only) == 1 {
			a.id = int64(only[0])
		}
	}
	return a
}

// resolve notes a person's decision; on_unknown's needs none.
func (s *Store) resolve(ctx context.Context, ids []campaign.MessageID, resend, once bool, by *act) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	rows, err := s.changeNoted(ctx, slices.Clone(ids), by, func(m *lockedMessage, c campaign.Circumstances) {
		m.claimed = (!once || m.Resends == 0) && m.Message.Resolve(resend, c)
	})
	if err != nil {
		return 0, fmt.Errorf("resolve unknown messages: %w", err)
	}
	n := 0
	for _, m := range rows {
		if m.claimed {
			n++
		}
	}
	return n, nil
}

// ResolveDue does what campaigns (and, for messages of none, channels) order by
// on_unknown with messages whose grace is over: resend once per message, or
// fail. The second unknown of a message is held for a person.
func (s *Store) ResolveDue(ctx context.Context) (resent, failed int, err error) {
	rows, err := s.pool.Query(ctx, resolveDueSQL)
	if err != nil {
		return 0, 0, fmt.Errorf("look for unknown messages: %w", translate(err))
	}
	var again, given []campaign.MessageID
	for rows.Next() {
		var id campaign.MessageID
		var order string
		if err := rows.Scan(&id, &order); err != nil {
			rows.Close()
			return 0, 0, err
		}
		if order == "resend" {
			again = append(again, id)
		} else {
			given = append(given, id)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, 0, translate(err)
	}
	if resent, err = s.resolve(ctx, again, true, true, nil); err != nil {
		return resent, 0, err
	}
	failed, err = s.resolve(ctx, given, false, true, nil)
	return resent, failed, err
}

// Retry makes the failed messages of a campaign with one error code due again: a
// person's decision, which no maximum binds. Everything is checked again at the
// claim. It returns how many it was.
func (s *Store) Retry(ctx context.Context, id campaign.ID, code string) (int, error) {
	n := 0
	after := campaign.MessageID(0)
	for {
		ids, err := collectIDs(s.pool.Query(ctx, retryFailedSQL, pgx.StrictNamedArgs{"campaign": id, "code": code, "after": after, "limit": 1000}))
		if err != nil {
			return n, fmt.Errorf("look for failed messages: %w", translate(err))
		}
		if len(ids) == 0 {
			return n, nil
		}
		after = ids[len(ids)-1]
		rows, err := s.changeNoted(ctx, ids, &act{action: "retry", object: "campaign", id: int64(id), detail: code}, func(m *lockedMessage, c campaign.Circumstances) {
			m.claimed = m.ErrorCode == code && m.Message.Retry(c)
		})
		if err != nil {
			return n, fmt.Errorf("retry failed messages: %w", err)
		}
		for _, m := range rows {
			if m.claimed {
				n++
			}
		}
	}
}

// WebhooksUnknown forgets when webhooks began to flow: a daemon that starts does
// not know what was missed. The next webhook, at any node, notes it again.
func (s *Store) WebhooksUnknown(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `UPDATE campaign.channels SET webhooks_since = NULL WHERE webhooks_since IS NOT NULL`); err != nil {
		return fmt.Errorf("reset the flow of webhooks: %w", translate(err))
	}
	return nil
}

// Replay makes stored deliveries unapplied, so that they are applied once more;
// applying twice changes nothing that was right. It returns how many it was.
func (s *Store) Replay(ctx context.Context, channel campaign.ChannelID, since time.Time) (int64, error) {
	tag, err := s.execNoted(ctx, act{action: "replay", object: "channel", id: int64(channel)}, `UPDATE campaign.webhooks SET applied_at = NULL
	                               WHERE received_at >= $1 AND applied_at IS NOT NULL AND ($2 = 0 OR channel_id = $2)`, since, channel)
	if err != nil {
		return 0, fmt.Errorf("replay webhooks: %w", translate(err))
	}
	return tag.RowsAffected(), nil
}
