package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

// CopyBare is the ceiling of an import: how long COPY takes to put all contacts
// into a table without indexes, keys and checks. folder is for a file of them.
func (s *Store) CopyBare(ctx context.Context, folder string) (rows int64, elapsed time.Duration, err error) {
	err = s.pool.AcquireFunc(ctx, func(pooled *pgxpool.Conn) error {
		conn := pooled.Conn().PgConn()
		file, err := os.CreateTemp(folder, "contacts-")
		if err != nil {
			return err
		}
		defer os.Remove(file.Name())
		defer file.Close()
		const columns = `phone, match_key, country, nanp, language, time_zone, attributes, opt_in, opt_in_source, opt_in_at`
		if _, err := conn.CopyTo(ctx, file, `COPY (SELECT `+columns+` FROM campaign.contacts) TO STDOUT (FORMAT binary)`); err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `CREATE TABLE campaign.bench_bare AS SELECT `+columns+` FROM campaign.contacts WITH NO DATA`).ReadAll(); err != nil {
			return err
		}
		started := time.Now()
		tag, err := conn.CopyFrom(ctx, file, `COPY campaign.bench_bare FROM STDIN (FORMAT binary)`)
		if err != nil {
			return err
		}
		elapsed, rows = time.Since(started), tag.RowsAffected()
		_, err = conn.Exec(ctx, `DROP TABLE campaign.bench_bare`).ReadAll()
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("copy the contacts: %w", translate(err))
	}
	return rows, elapsed, nil
}

// InsertBare is the ceiling of a plan: how long it takes to write its messages
// into a table without indexes, keys and checks.
func (s *Store) InsertBare(ctx context.Context, id campaign.ID) (rows int64, elapsed time.Duration, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE TABLE campaign.bench_bare (LIKE campaign.messages)`); err != nil {
			return err
		}
		started := time.Now()
		tag, err := tx.Exec(ctx, `
			INSERT INTO campaign.bench_bare
			SELECT m.* FROM campaign.messages AS m, campaign.campaigns AS c
			 WHERE c.id = $1 AND m.campaign_id = c.id AND m.id BETWEEN c.first_id AND c.last_id`, id)
		if err != nil {
			return err
		}
		elapsed, rows = time.Since(started), tag.RowsAffected()
		_, err = tx.Exec(ctx, `DROP TABLE campaign.bench_bare`)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("insert the messages of campaign %d: %w", id, translate(err))
	}
	return rows, elapsed, nil
}

// Scatter puts the messages of a launched campaign into the states of one that
// is half-way: most were delivered, some failed, and a tenth waits for a day
// because of one of five codes.
func (s *Store) Scatter(ctx context.Context, id campaign.ID) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			WITH changed AS (
			  UPDATE campaign.messages AS m
			     SET (state, error_code, reason, proof, attempt, posted, posts, due_at) =
			         (SELECT n.state, n.code, n.reason, n.proof, 1, 1, 1, n.due_at
			            FROM (SELECT CASE WHEN m.id % 10 = 0 THEN 'deferred' WHEN m.id % 10 = 1 THEN 'failed' ELSE 'delivered' END AS state,
			                         CASE WHEN m.id % 10 = 1 THEN (131000 + m.id % 30)::text ELSE '' END AS code,
			                         CASE WHEN m.id % 10 = 0 THEN (131049 + m.id / 10 % 5)::text ELSE '' END AS reason,
			                         CASE WHEN m.id % 10 = 0 THEN 1 WHEN m.id % 10 = 1 THEN 3 ELSE 4 END AS proof,
			                         CASE WHEN m.id % 10 = 0 THEN now() + interval '1 day' + m.id * interval '1 ms' END AS due_at) AS n)
			    FROM campaign.campaigns AS c
			   WHERE c.id = $1 AND m.campaign_id = c.id AND m.id BETWEEN c.first_id AND c.last_id
			  RETURNING m.channel_id, m.state, CASE WHEN m.state = 'failed' THEN m.error_code ELSE m.reason END AS detail)
			SELECT channel_id, state, detail, count(*) FROM changed GROUP BY 1, 2, 3`, id)
		if err != nil {
			return err
		}
		counts := map[counterKey]int64{}
		var k counterKey
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&k.channel, &k.state, &k.detail, &n}, func() error {
			k.campaign = id
			counts[k] += n
			counts[counterKey{id, k.channel, campaign.Pending, ""}] -= n
			return nil
		})
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		queueCounts(b, counts)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("scatter the messages of campaign %d: %w", id, translate(err))
	}
	return nil
}

// AcceptAll notes of every message of a launched campaign that the provider took
// its first POST; the provider ids are wamid.<message>.
func (s *Store) AcceptAll(ctx context.Context, id campaign.ID) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var channel campaign.ChannelID
		var n int64
		err := tx.QueryRow(ctx, `
			WITH changed AS (
			  UPDATE campaign.messages AS m
			     SET state = 'accepted', raw_status = 'accepted', proof = 1, attempt = 1, posted = 1, posts = 1, due_at = NULL,
			         claim_id = gen_random_uuid(), claimed_at = now(), provider_id = 'wamid.' || m.id
			    FROM campaign.campaigns AS c
			   WHERE c.id = $1 AND m.campaign_id = c.id AND m.id BETWEEN c.first_id AND c.last_id AND m.state = 'pending'
			  RETURNING m.id, m.channel_id, m.provider_id),
			known AS (
			  INSERT INTO campaign.provider_ids (hash, message_id, attempt)
			  SELECT hashtextextended(provider_id, 0), id, 1 FROM changed)
			SELECT max(channel_id), count(*) FROM changed`, id).Scan(&channel, &n)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		queueCounts(b, map[counterKey]int64{{id, channel, campaign.Pending, ""}: -n, {id, channel, campaign.Accepted, ""}: n})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("accept the messages of campaign %d: %w", id, translate(err))
	}
	return nil
}
