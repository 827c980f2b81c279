package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// identity is the server that holds the database: another system identifier is
// a dump restored elsewhere, another timeline a failover or a point-in-time
// recovery. LSN is the write position, which goes back only when a snapshot was
// restored.
type identity struct {
	System   string `json:"system_identifier"`
	Database string `json:"database"` // its oid: another one is a dump restored beside the original
	Timeline string `json:"timeline"`
	LSN      string `json:"lsn"`
}

// Guard looks at the database on every new connection, before anything is
// claimed on it: a restored backup or a changed timeline holds all channels
// until a person has looked, because everything since would be sent again
// (design §1).
//
// What the database itself knows is in its settings. A snapshot restore brings
// those back too; it shows by the witness, a file that remembers how far the
// database had been written.
type Guard struct {
	file string              // of the witness; "" without one
	tell func(reason string) // the alarm
}

// NewGuard gives a guard with its witness in a folder, or without a witness for
// "". tell is called with the reason when channels were held.
func NewGuard(folder string, tell func(reason string)) *Guard {
	g := &Guard{tell: tell}
	if folder != "" {
		g.file = filepath.Join(folder, "witness.json")
	}
	return g
}

// look compares the server with the one that the database and the witness know.
func (g *Guard) look(ctx context.Context, conn *pgx.Conn) error {
	var migrated bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('campaign.settings') IS NOT NULL`).Scan(&migrated); err != nil || !migrated {
		return err
	}
	is, was, deployment, err := identify(ctx, conn)
	if errors.Is(translate(err), campaign.ErrForbidden) {
		return nil // a managed server that does not tell its identity
	}
	if err != nil {
		return fmt.Errorf("identify the database server: %w", err)
	}
	reason, err := g.suspicion(ctx, conn, is, was, deployment)
	if err != nil {
		return err
	}
	if reason == "" && was.System != "" {
		return nil
	}
	return g.record(ctx, conn, is, deployment, reason)
}

func identify(ctx context.Context, conn *pgx.Conn) (is, was identity, deployment string, err error) {
	err = conn.QueryRow(ctx, `
		SELECT c.system_identifier::text, left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_current_wal_lsn()::text,
		       (SELECT oid::text FROM pg_database WHERE datname = current_database()),
		       COALESCE((SELECT value FROM campaign.settings WHERE key = 'database'), ''),
		       COALESCE((SELECT value FROM campaign.settings WHERE key = 'system_identifier'), ''),
		       COALESCE((SELECT value FROM campaign.settings WHERE key = 'timeline'), ''),
		       (SELECT value FROM campaign.settings WHERE key = 'deployment')
		  FROM pg_control_system() AS c`).Scan(&is.System, &is.Timeline, &is.LSN, &is.Database, &was.Database, &was.System, &was.Timeline, &deployment)
	return is, was, deployment, err
}

// witness is what the file remembers, by deployment: several databases may share
// a home.
type witness map[string]identity

func (g *Guard) read() (witness, error) {
	if g.file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(g.file)
	if errors.Is(err, fs.ErrNotExist) {
		return witness{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the witness of the database: %w", err)
	}
	w := witness{}
	if err := json.Unmarshal(data, &w); err != nil {
		return witness{}, nil //nolint:nilerr // cut off by a full disk: written anew
	}
	return w, nil
}

// suspicion says why the database may have lost what it had committed, "" when
// nothing speaks for it.
func (g *Guard) suspicion(ctx context.Context, conn *pgx.Conn, is, was identity, deployment string) (string, error) {
	switch {
	case was.System == "":
	case was.System != is.System:
		return "this database was restored on another server", nil
	case was.Database != is.Database:
		return "this database was restored beside the one it is a copy of", nil
	case was.Timeline != is.Timeline:
		return "the server's timeline changed: a failover or a recovery", nil
	}
	known, err := g.read()
	if err != nil {
		return "", err
	}
	seen, ok := known[deployment]
	if !ok || seen.System != is.System || seen.Timeline != is.Timeline || seen.Database != is.Database {
		return "", nil // the settings above decide
	}
	var behind bool
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_lsn() < $1::text::pg_lsn`, seen.LSN).Scan(&behind); err != nil {
		return "", fmt.Errorf("compare the database with its witness: %w", err)
	}
	if behind {
		return "the database is older than when this machine saw it last: a snapshot was restored", nil
	}
	return "", nil
}

// record holds all channels for a reason, where there is one, and remembers the
// server: the hold stays until a person lifts it.
func (g *Guard) record(ctx context.Context, conn *pgx.Conn, is identity, deployment, reason string) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if reason != "" {
			_, err := tx.Exec(ctx, `
				INSERT INTO campaign.holds (scope, scope_id, source, reason)
				SELECT 'channel', id, $1, $2 FROM campaign.channels
				ON CONFLICT (scope, scope_id, source) DO UPDATE SET reason = excluded.reason, until = NULL`,
				campaign.SourceDatabase, reason+"; look at what was sent since, then: campaignctl channel resume NAME")
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO campaign.settings (key, value) VALUES ('system_identifier', $1), ('timeline', $2), ('database', $3)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`, is.System, is.Timeline, is.Database)
		return err
	})
	if err != nil {
		return fmt.Errorf("hold the channels: %w", err)
	}
	if reason != "" {
		g.tell(reason)
	}
	return g.write(deployment, is)
}

// Witness remembers how far the database has been written. Call it often: what
// was written after the last call is not noticed to be missing.
func (g *Guard) Witness(ctx context.Context, s *Store) error {
	if g.file == "" {
		return nil
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	is, _, deployment, err := identify(ctx, conn.Conn())
	if err != nil {
		return fmt.Errorf("identify the database server: %w", translate(err))
	}
	return g.write(deployment, is)
}

func (g *Guard) write(deployment string, is identity) error {
	if g.file == "" {
		return nil
	}
	known, err := g.read()
	if err != nil {
		return err
	}
	known[deployment] = is
	data, err := json.Marshal(known)
	if err != nil {
		return err
	}
	// Renamed into place, so that a crash leaves the old one or the new one.
	if err := os.WriteFile(g.file+".new", data, 0o600); err != nil {
		return fmt.Errorf("write the witness of the database: %w", err)
	}
	if err := os.Rename(g.file+".new", g.file); err != nil {
		return fmt.Errorf("write the witness of the database: %w", err)
	}
	return nil
}
