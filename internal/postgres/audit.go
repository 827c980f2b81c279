package postgres

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/audit_add.sql
	auditAddSQL string
	//go:embed sql/audit_list.sql
	auditListSQL string
)

// actor is who acts through this program, as it knows itself. The database adds
// its own user.
type actor struct{ user, host, program string }

func thisActor() actor {
	a := actor{user: strconv.Itoa(os.Getuid()), program: filepath.Base(os.Args[0])}
	if u, err := user.Current(); err == nil {
		a.user = u.Username
	}
	a.host, _ = os.Hostname() // empty when the system does not know
	return a
}

type reasonKey struct{}

// WithReason gives the reason that the acts under ctx are noted with.
func WithReason(ctx context.Context, reason string) context.Context {
	return context.WithValue(ctx, reasonKey{}, reason)
}

// act is one line of the audit. It must hold no number, parameter or key.
type act struct {
	action   string // the verb of the command: pause, suppress add
	object   string // campaign, channel, message, people, template, schedule …
	id       int64  // of the object; 0 when it is not one
	name     string // of the object; empty when that would name a person
	detail   string // what exactly: resend or fail, an error code, countries, whom the daemon did it for
	campaign campaign.ID
	planHash string
	reason   string // instead of that of the context
	count    int64  // messages, people, or whatever the act changed
}

func (s *Store) auditArgs(ctx context.Context, a act) pgx.StrictNamedArgs {
	reason, _ := ctx.Value(reasonKey{}).(string)
	if a.object == "campaign" {
		a.campaign = campaign.ID(a.id)
	}
	return pgx.StrictNamedArgs{
		"os_user": plainText(s.actor.user), "host": plainText(s.actor.host), "program": plainText(s.actor.program),
		"action": a.action, "object": a.object, "object_id": a.id, "name": plainText(a.name), "detail": plainText(a.detail), "campaign": a.campaign,
		"reason": plainText(cmp.Or(a.reason, reason)), "plan_hash": a.planHash, "count": a.count,
	}
}

// audit notes an act in the transaction of the act.
func (s *Store) audit(ctx context.Context, tx pgx.Tx, a act) error {
	if _, err := tx.Exec(ctx, auditAddSQL, s.auditArgs(ctx, a)); err != nil {
		return fmt.Errorf("note it in the audit: %w", err)
	}
	return nil
}

// queueAudit is audit as a part of a batch.
func (s *Store) queueAudit(ctx context.Context, b *pgx.Batch, a act) {
	b.Queue(auditAddSQL, s.auditArgs(ctx, a))
}

// execNoted runs one statement and, when it changed something, notes it.
func (s *Store) execNoted(ctx context.Context, a act, statement string, args ...any) (pgconn.CommandTag, error) {
	var tag pgconn.CommandTag
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		if tag, err = tx.Exec(ctx, statement, args...); err != nil || tag.RowsAffected() == 0 {
			return err
		}
		a.count = tag.RowsAffected()
		return s.audit(ctx, tx, a)
	})
	return tag, err
}

// AuditFilter chooses what Audit lists; zero values choose all.
type AuditFilter struct {
	Campaign campaign.ID
	Since    time.Time
	Limit    int // 0 means 100
}

// Audit lists who did what, the latest first.
func (s *Store) Audit(ctx context.Context, f AuditFilter) ([]campaign.AuditEntry, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	list, err := collectStructs[campaign.AuditEntry](s.pool.Query(ctx, auditListSQL,
		pgx.StrictNamedArgs{"campaign": f.Campaign, "since": f.Since, "limit": f.Limit}))
	if err != nil {
		return nil, fmt.Errorf("list the audit: %w", translate(err))
	}
	return list, nil
}
