// Package postgres holds every SQL statement; each public method is one atomic
// step. It must not know rates, HTTP or the provider's codes, and decides
// nothing about a message's state: it locks rows, lets package campaign decide,
// and writes back.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Store is the database. Its methods may be called by many goroutines.
type Store struct {
	pool       *pgxpool.Pool
	deployment string
	actor      actor // for the audit
	columns    []messageColumn
	people     personHash
	times      timeRules
}

// Options of a connection pool.
type Options struct {
	MaxConns int32  // 0 means 8
	Name     string // application_name
	Guard    *Guard // looks at every new connection; nil for programs that do not claim
}

// Connect opens a pool and checks that the database answers. It returns
// ErrNoDatabase with the remedy when it does not, and ErrInvalid when a program
// that claims would share its sessions with others.
func Connect(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's error may repeat the password.
		return nil, campaign.ErrInvalid.With("the database URL cannot be read",
			"it looks like postgres://user:password@host:5432/name; check CAMPAIGN_DATABASE_URL")
	}
	config.MaxConns = max(o.MaxConns, 8)
	if o.Name != "" {
		config.ConnConfig.RuntimeParams["application_name"] = o.Name
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if o.Guard != nil {
		if err := refusePooler(ctx, config.ConnConfig); err != nil {
			return nil, err
		}
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, sessionSettings(conn), pgx.QueryExecModeSimpleProtocol); err != nil || o.Guard == nil {
			return err
		}
		return o.Guard.look(ctx, conn)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, unreachable(err, config.ConnConfig)
	}
	return pool, nil
}

// unreachable tells the usual reasons apart. It never repeats the password.
func unreachable(err error, c *pgx.ConnConfig) error {
	where := net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
	if len(c.Host) > 0 && c.Host[0] == '/' {
		where = c.Host
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "28P01", "28000":
			return campaign.ErrForbidden.With(fmt.Sprintf("the database at %s refuses user %q: %s", where, c.User, pg.Message),
				"check user and password in CAMPAIGN_DATABASE_URL")
		case "3D000":
			return campaign.ErrNoDatabase.With(fmt.Sprintf("there is no database %q at %s", c.Database, where),
				"create it, or name another in CAMPAIGN_DATABASE_URL")
		}
		return campaign.ErrNoDatabase.With(fmt.Sprintf("the database at %s refuses: %s", where, pg.Message), "")
	}
	return campaign.ErrNoDatabase.With(fmt.Sprintf("the database at %s does not answer", where),
		"is it running? CAMPAIGN_DATABASE_URL says where it is")
}

// Open gives the store of a migrated database. It returns ErrSchema when the
// schema is older than this program. The store of a role that may not see the key
// of the suppression list (campaign_viewer) reads only.
func Open(ctx context.Context, pool *pgxpool.Pool) (*Store, error) {
	if err := checkSchema(ctx, pool); err != nil {
		return nil, err
	}
	s := &Store{pool: pool, actor: thisActor(), columns: messageColumns()}
	var key *string // hidden by row security from who only reads
	err := pool.QueryRow(ctx, `SELECT (SELECT value FROM campaign.settings WHERE key = 'deployment'),
	                                  (SELECT value FROM campaign.settings WHERE key = 'person_key')`).Scan(&s.deployment, &key)
	if err != nil {
		return nil, fmt.Errorf("read the deployment's name: %w", translate(err))
	}
	if key == nil {
		return s, nil
	}
	if s.people, err = newPersonHash(*key); err != nil {
		return nil, err
	}
	return s, nil
}

// Pool gives the pool, for the queue's client.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Deployment is the first part of every opaque id.
func (s *Store) Deployment() string { return s.deployment }

// Ping checks that the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// translate turns the database's errors into ours where they have a meaning.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return campaign.ErrNotFound
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "42501":
		return campaign.ErrForbidden.With(pg.Message, cmp.Or(pg.Hint,
			"the database role lacks a grant: make it a member of campaign_operator, of campaign_daemon for campaignd; campaignctl migrate needs the owner"))
	case "3F000", "42P01", "42703":
		return campaign.ErrSchema.With("the database schema is not this program's: "+pg.Message, "run: campaignctl migrate")
	}
	return err
}

// violates reports whether an error is the violation of a named constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// elsewhere is the division by zero by which queueMessages fails.
const elsewhere = "22012"

// again reports whether a whole batch may simply be repeated: a deadlock, a
// serialisation failure, a row that was not where it was locked, a server that stops or has no room, a lost connection.
// Anything else is a mistake of ours and would fail for ever.
func again(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == elsewhere, pg.Code == "40P01", pg.Code == "40001", pg.Code == "55P03", pg.Code == "25P03",
			strings.HasPrefix(pg.Code, "57"), strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "08"):
			return true
		}
		return false
	}
	// A server that takes connections and does not answer ends as a timeout of the
	// connection attempt: that is no context of ours.
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var network *net.OpError
	return errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// badData reports whether a batch failed because of one of its elements.
func badData(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	if pg.Code == elsewhere {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "54": // data, a constraint, a limit such as an index row's size
		return true
	}
	return false
}

// inTx runs fn, which writes, in a transaction. Its isolation is named because a
// database may have another default: what is read after a lock must see what was
// committed before it was granted. Without the key nobody is found on the
// suppression list, so that nothing may be decided: ErrForbidden.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	if !s.people.known() {
		return campaign.ErrForbidden.With("this database role may only read: it does not see the key of the suppression list",
			"make it a member of campaign_operator, of campaign_daemon for campaignd; to the owner the row person_key of campaign.settings is missing")
	}
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, fn)
}
