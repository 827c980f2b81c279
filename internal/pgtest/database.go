package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/postgres"
)

const (
	// clonePrefix begins the name of every test's database; then come the token
	// of its process and a number.
	clonePrefix = "pgtest_"
	// templatePrefix begins the name of a template; then comes its fingerprint.
	templatePrefix = "pgtemplate_"

	// templateLock is the advisory lock under which templates are built and old
	// databases dropped; the number is arbitrary.
	templateLock = 7_402_311
	// templateAge is how long a template that is not ours is kept after its last
	// use, for another work tree on the same server.
	templateAge = time.Hour
)

// connect makes sure that the server has a template of this version.
func connect(ctx context.Context, serverURL string) (*server, error) {
	s := &server{url: serverURL, token: strings.ToLower(rand.Text()[:12])}
	s.template = templatePrefix + fingerprint(s.token)

	config, err := pgxpool.ParseConfig(serverURL)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["application_name"] = clonePrefix + s.token
	config.MaxConns = 2
	config.MaxConnIdleTime = 24 * time.Hour // while one is open, nobody sweeps our databases away
	config.MaxConnLifetime = 24 * time.Hour
	s.admin, err = pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	// Without fsync, copying files takes 17 ms and copying through the log 115 ms;
	// with it the two checkpoints of the former make it the slower way.
	err = s.admin.QueryRow(ctx, `
		SELECT CASE WHEN current_setting('fsync') = 'off' AND current_setting('server_version_num')::int >= 150000
		            THEN 'STRATEGY file_copy' ELSE '' END`).Scan(&s.strategy)
	if err != nil {
		s.admin.Close()
		return nil, err
	}
	err = s.admin.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, templateLock); err != nil {
			return err
		}
		err := errors.Join(s.sweep(ctx), s.makeTemplate(ctx))
		_, unlockErr := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, templateLock)
		return errors.Join(err, unlockErr)
	})
	if err != nil {
		s.admin.Close()
		return nil, err
	}
	return s, nil
}

// fingerprint stands for everything that decides what a migrated database looks
// like: the migrations, the code that runs them and River's version. Where the
// sources are not at hand, a template of this process's own is right at least.
func fingerprint(token string) string {
	root, err := os.Getwd()
	for ; err == nil; root = filepath.Dir(root) {
		if _, statErr := os.Stat(filepath.Join(root, "go.mod")); statErr == nil {
			break
		}
		if root == filepath.Dir(root) {
			err = os.ErrNotExist
		}
	}
	sum := sha256.New()
	// Tests of those packages come along; building once too often does no harm.
	for _, pattern := range []string{"go.mod", "migrations/*.sql", "internal/postgres/*.go", "internal/queue/*.go"} {
		files, globErr := filepath.Glob(filepath.Join(root, pattern))
		err = errors.Join(err, globErr)
		for _, file := range files {
			text, readErr := os.ReadFile(file)
			err = errors.Join(err, readErr)
			fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(file), len(text), text)
		}
	}
	if err != nil {
		return token
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// makeTemplate migrates a new database and gives it the template's name when it
// is complete, so that a process killed in between leaves no half template. Its
// comment is the time of its last use.
func (s *server) makeTemplate(ctx context.Context) error {
	var exists bool
	if err := s.admin.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, s.template).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		draft := s.newName()
		if err := s.create(ctx, draft, "template0"); err != nil {
			return err
		}
		if err := migrate(ctx, s.urlOf(draft)); err != nil {
			return fmt.Errorf("migrate the test database: %w", errors.Join(err, s.drop(ctx, draft)))
		}
		if err := s.exec(ctx,
			fmt.Sprintf(`ALTER DATABASE %s RENAME TO %s`, draft, s.template),
			fmt.Sprintf(`ALTER DATABASE %s IS_TEMPLATE true ALLOW_CONNECTIONS false`, s.template)); err != nil {
			return err
		}
	}
	return s.exec(ctx, fmt.Sprintf(`COMMENT ON DATABASE %s IS '%s'`, s.template, time.Now().UTC().Format(time.RFC3339)))
}

// migrate is the one place that knows the API of the migrations.
func migrate(ctx context.Context, url string) error {
	pool, err := newPool(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = postgres.Migrate(ctx, pool, false)
	return err
}

// sweep drops what processes that are gone have left, and old templates.
func (s *server) sweep(ctx context.Context) error {
	rows, err := s.admin.Query(ctx, `
		SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '')
		  FROM pg_database AS d
		 WHERE starts_with(datname, $1) AND datname <> $3
		    OR starts_with(datname, $2) AND NOT EXISTS (
		       SELECT FROM pg_stat_activity AS a
		        WHERE starts_with(d.datname, a.application_name || '_') AND starts_with(a.application_name, $2))`,
		templatePrefix, clonePrefix, s.template)
	if err != nil {
		return err
	}
	type database struct{ Name, UsedAt string }
	databases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[database])
	if err != nil {
		return err
	}
	for _, db := range databases {
		if strings.HasPrefix(db.Name, templatePrefix) {
			if at, err := time.Parse(time.RFC3339, db.UsedAt); err == nil && time.Since(at) < templateAge {
				continue
			}
			if err := s.exec(ctx, fmt.Sprintf(`ALTER DATABASE %s IS_TEMPLATE false`, db.Name)); err != nil {
				return err
			}
		}
		if err := s.drop(ctx, db.Name); err != nil {
			return err
		}
	}
	return nil
}

// clone makes a database from the template and returns its name.
func (s *server) clone(ctx context.Context) (string, error) {
	name := s.newName()
	return name, s.create(ctx, name, s.template)
}

func (s *server) newName() string {
	return fmt.Sprintf("%s%s_%d", clonePrefix, s.token, s.clones.Add(1))
}

func (s *server) create(ctx context.Context, name, template string) error {
	encoding := "" // a copy has that of its template
	if template == "template0" {
		encoding = "ENCODING 'UTF8'" // whatever the server was made with
	}
	return explain(s.exec(ctx, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s %s %s`, name, template, encoding, s.strategy)))
}

// explain names the remedy for the one thing a given server may refuse.
func explain(err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "42501" {
		return fmt.Errorf("create a test database: %w; give the role of CAMPAIGN_TEST_DATABASE_URL the attribute CREATEDB", err)
	}
	if err != nil {
		return fmt.Errorf("create a test database: %w", err)
	}
	return nil
}

// drop ends the sessions of the database, too.
func (s *server) drop(ctx context.Context, name string) error {
	if err := s.exec(ctx, fmt.Sprintf(`DROP DATABASE IF EXISTS %s WITH (FORCE)`, name)); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// exec runs statements that take no parameters; the names in them are ours and
// need no quotes.
func (s *server) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := s.admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// urlOf is the server's URL with another database; both forms of connection
// strings, URL and keywords, are understood.
func (s *server) urlOf(database string) string {
	u, err := url.Parse(s.url)
	if err != nil || !slices.Contains([]string{"postgres", "postgresql"}, u.Scheme) {
		return s.url + " dbname=" + database
	}
	u.Path = "/" + database
	return u.String()
}
