package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/campaignd/campaignd/internal/campaign"
)

// enqueueErrors is the class of the SQLSTATEs that migration 0013 raises.
const enqueueErrors = "WA"

// EnqueueJob does what a job of kind enqueue_message asks for: it enqueues the
// message for the role that inserted the job. Doing it twice gives the same
// message. Bad arguments are ErrInvalid, which names the field.
func (s *Store) EnqueueJob(ctx context.Context, job int64) (campaign.MessageID, error) {
	var id campaign.MessageID
	err := s.pool.QueryRow(ctx, `SELECT campaign.enqueue_job($1)`, job).Scan(&id)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, enqueueErrors):
		return 0, campaign.ErrInvalid.With(fmt.Sprintf("%s (%s): %s", pg.Message, pg.Code, pg.Detail), pg.Hint)
	case err != nil:
		return 0, fmt.Errorf("enqueue the message of job %d: %w", job, translate(err))
	}
	return id, nil
}

// keysFor is how long an idempotency key is kept after the call, or after the
// time it named (design §10).
const keysFor = 90 * 24 * time.Hour

// ForgetKeys deletes idempotency keys whose time is over and returns how many. It
// does a part of the work at a time; zero means that nothing was left.
func (s *Store) ForgetKeys(ctx context.Context) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM campaign.idempotency_keys
		 WHERE (caller, key) IN (SELECT caller, key FROM campaign.idempotency_keys
		                          WHERE created_at < now() - make_interval(secs => $1)
		                            AND (send_after IS NULL OR send_after < now() - make_interval(secs => $1))
		                          LIMIT 10000)`, keysFor.Seconds())
	if err != nil {
		return 0, fmt.Errorf("forget idempotency keys: %w", translate(err))
	}
	return tag.RowsAffected(), nil
}

// eventsSize bounds a notification: PostgreSQL takes less than 8,000 bytes.
const eventsSize = 7900

// event is a change of an enqueued message, as NOTIFY campaign_events tells it.
type event struct {
	ID    campaign.MessageID    `json:"id"`
	State campaign.MessageState `json:"state"`
}

// queueEvents notifies of the enqueued messages of a batch whose state changed,
// in one payload where they fit, when the setting notify_events is on.
func queueEvents(b *pgx.Batch, rows []*lockedMessage) {
	const begin, end = `{"messages":[`, `]}`
	var payload strings.Builder
	flush := func() {
		if payload.Len() > 0 {
			b.Queue(`SELECT pg_notify('campaign_events', $1) FROM campaign.settings WHERE key = 'notify_events' AND value = 'on'`, begin+payload.String()+end)
			payload.Reset()
		}
	}
	for _, m := range rows {
		if m.CampaignID != 0 || m.State == m.before.State {
			continue
		}
		one, err := json.Marshal(event{m.ID, m.State})
		if err != nil {
			panic(err) // a number and a word
		}
		if len(begin)+payload.Len()+1+len(one)+len(end) > eventsSize {
			flush()
		}
		if payload.Len() > 0 {
			payload.WriteByte(',')
		}
		payload.Write(one)
	}
	flush()
}
