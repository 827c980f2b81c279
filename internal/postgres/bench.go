package postgres

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
)

// What benchmarks ask of the database: databases of their own, an audience out
// of nothing, and what a server is and wrote. No other program calls these.

var (
	//go:embed sql/bench_contacts.sql
	benchContactsSQL string
	//go:embed sql/bench_left.sql
	benchLeftSQL string
)

// CreateDatabase makes an empty database on the server of a URL and gives the
// URL of the new one.
func CreateDatabase(ctx context.Context, serverURL, name string) (string, error) {
	if err := execOn(ctx, serverURL, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	return databaseURL(serverURL, name)
}

// DropDatabase drops a database of the server of a URL, and ends the sessions on
// it.
func DropDatabase(ctx context.Context, serverURL, name string) error {
	if err := execOn(ctx, serverURL, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func execOn(ctx context.Context, url, statement string) error {
	pool, err := Connect(ctx, url, Options{Name: "campaignctl bench"})
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, statement)
	return translate(err)
}

// databaseURL names another database of the same server; both forms of a
// connection string are known.
func databaseURL(serverURL, name string) (string, error) {
	if !strings.Contains(serverURL, "://") {
		return serverURL + " dbname=" + name, nil
	}
	u, err := url.Parse(serverURL)
	if err != nil {
		// The parser's error may repeat the password.
		return "", campaign.ErrInvalid.With("the database URL cannot be read", "")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// ServerFacts say what a measurement was made on.
type ServerFacts struct {
	Version  string            // such as 15.18
	Settings map[string]string // those that decide what a commit costs, as SHOW gives them
	Backend  int               // process id of one of its sessions, on its machine
}

// ServerFacts reads what the server is and how it was set.
func (s *Store) ServerFacts(ctx context.Context) (ServerFacts, error) {
	f := ServerFacts{Settings: map[string]string{}}
	err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version'), pg_backend_pid()`).Scan(&f.Version, &f.Backend)
	if err != nil {
		return f, fmt.Errorf("ask the server what it is: %w", translate(err))
	}
	rows, err := s.pool.Query(ctx, `SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)`, []string{
		"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size",
		"checkpoint_timeout", "wal_compression", "wal_level", "max_connections",
	})
	if err != nil {
		return f, fmt.Errorf("read the server's settings: %w", translate(err))
	}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		f.Settings[name] = value
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("read the server's settings: %w", translate(err))
	}
	return f, nil
}

// Written is what a server has written since it was made and how its updates of
// messages went; the difference of two tells what was done between.
type Written struct {
	WAL          int64 // bytes
	Updates, HOT int64 // of messages; counted with a delay of a second
}

// Written reads the server's counters.
func (s *Store) Written(ctx context.Context) (Written, error) {
	var w Written
	err := s.pool.QueryRow(ctx, `
		SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
		       COALESCE(sum(n_tup_upd), 0)::bigint, COALESCE(sum(n_tup_hot_upd), 0)::bigint
		  FROM pg_stat_user_tables WHERE schemaname = 'campaign' AND relname ~ '^messages_[0-9]'`).Scan(&w.WAL, &w.Updates, &w.HOT)
	if err != nil {
		return w, fmt.Errorf("read what the server wrote: %w", translate(err))
	}
	return w, nil
}

// InventContacts invents n people who can be written to, from the first-th that
// could be, and makes a list of the first listed of them.
func (s *Store) InventContacts(ctx context.Context, list string, first, n, listed int64) error {
	_, err := s.pool.Exec(ctx, benchContactsSQL, pgx.StrictNamedArgs{"list": list, "first": first, "last": first + n - 1, "listed": listed})
	if err != nil {
		return fmt.Errorf("invent %d contacts: %w", n, translate(err))
	}
	return nil
}

// GrowPlan gives everybody who has no message of a draft one like its first, as
// if they had been on its list: a plan of ten million in the time of one INSERT.
// Only the text of body.1 is each person's own, from the attribute first_name.
func (s *Store) GrowPlan(ctx context.Context, id campaign.ID) error {
	var n int64
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.contacts`).Scan(&n); err != nil {
		return fmt.Errorf("count the contacts: %w", translate(err))
	}
	if err := s.MakePartitions(ctx, n); err != nil {
		return err
	}
	columns := planColumns()
	values := make([]string, len(columns))
	for i, c := range columns {
		switch c {
		case "contact_id":
			values[i] = "c.id"
		case "phone":
			values[i] = "c.phone"
		case "row_number":
			values[i] = "c.id + 1"
		case "parameters":
			values[i] = "first.parameters || jsonb_build_object('body.1', c.attributes->'first_name')"
		default:
			values[i] = "first." + c
		}
	}
	insert := fmt.Sprintf(`
		INSERT INTO campaign.messages (%s)
		SELECT %s
		  FROM campaign.contacts AS c,
		       (SELECT m.* FROM campaign.messages AS m JOIN campaign.campaigns AS p ON m.id = p.first_id WHERE p.id = $1) AS first
		 WHERE NOT EXISTS (SELECT FROM campaign.messages AS m, campaign.campaigns AS p
		                    WHERE p.id = $1 AND m.id BETWEEN p.first_id AND p.last_id AND m.campaign_id = $1 AND m.contact_id = c.id)
		 ORDER BY c.id`, strings.Join(columns, ", "), strings.Join(values, ", "))
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, insert, id)
		if err != nil {
			return err
		}
		var channel campaign.ChannelID
		err = tx.QueryRow(ctx, `
			UPDATE campaign.campaigns
			   SET total = total + $2, eligible = eligible + $2, last_id = (SELECT last_value FROM campaign.message_ids)
			 WHERE id = $1 AND state = 'draft' RETURNING channel_id`, id, tag.RowsAffected()).Scan(&channel)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		queueCounts(b, map[counterKey]int64{{id, channel, campaign.Pending, ""}: tag.RowsAffected()})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("grow the plan of campaign %d: %w", id, translate(err))
	}
	return nil
}

// SetCampaignRate changes how fast a campaign goes, in messages per second; 0
// means as fast as its channel.
func (s *Store) SetCampaignRate(ctx context.Context, id campaign.ID, rate float64) error {
	if _, err := s.pool.Exec(ctx, `UPDATE campaign.campaigns SET rate = $2 WHERE id = $1`, id, rate); err != nil {
		return fmt.Errorf("change the rate of campaign %d: %w", id, translate(err))
	}
	return nil
}

// Enqueue calls campaign.enqueue as another service does, in a transaction of its
// own, and gives the moment just before the commit was asked for.
func (s *Store) Enqueue(ctx context.Context, channel, template, language, phone string, parameters []byte, key, priority string) (campaign.MessageID, time.Time, error) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("enqueue: %w", translate(err))
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
	var id campaign.MessageID
	err = tx.QueryRow(ctx, `SELECT campaign.enqueue($1, $2, $3, $4, $5, $6, priority => $7)`,
		channel, template, language, phone, json.RawMessage(parameters), key, priority).Scan(&id)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("enqueue: %w", translate(err))
	}
	at := time.Now()
	if err := tx.Commit(ctx); err != nil {
		return 0, time.Time{}, fmt.Errorf("enqueue: %w", translate(err))
	}
	return id, at, nil
}

// Settle does what time does between a plan and its launch: dead rows go, the
// planner knows the tables, and pages are written. A role that may not order a
// checkpoint goes without.
func (s *Store) Settle(ctx context.Context) error {
	for _, statement := range []string{
		`VACUUM (ANALYZE) campaign.contacts, campaign.list_members, campaign.messages, campaign.message_counts, campaign.message_count_deltas, river.river_job`,
		`CHECKPOINT`,
	} {
		_, err := s.pool.Exec(ctx, statement)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "42501" {
			continue
		}
		if err != nil {
			return fmt.Errorf("settle the tables: %w", translate(err))
		}
	}
	return nil
}

// Left counts what a campaign has still to do: pending, queued, sending and
// deferred.
func (s *Store) Left(ctx context.Context, id campaign.ID) (int64, error) {
	var n int64
	err := s.pool.QueryRow(ctx, benchLeftSQL, pgx.StrictNamedArgs{"campaign": id}).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count what campaign %d has left: %w", id, translate(err))
	}
	return n, nil
}

// JobsLeft counts the jobs of a channel that are not completed.
func (s *Store) JobsLeft(ctx context.Context, channel campaign.ChannelID) (int64, error) {
	var n int64
	err := s.pool.QueryRow(ctx, `
		SELECT count(*) FROM river.river_job
		 WHERE state <> 'completed' AND queue = ANY($1)`, []string{queue.Name(channel, false), queue.Name(channel, true)}).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the jobs of channel %d: %w", channel, translate(err))
	}
	return n, nil
}
