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
	//go:embed sql/forget_messages.sql
	forgetMessagesSQL string
	//go:embed sql/forget_bodies.sql
	forgetBodiesSQL string
	//go:embed sql/forget_anonymise.sql
	forgetAnonymiseSQL string
	//go:embed sql/forget_replies.sql
	forgetRepliesSQL string
)

// Eraser knows how a person appears in what the provider sent.
type Eraser interface {
	// Patterns are what to look for in a body before it is read. Others share them.
	Patterns() [][]byte
	// In reports whether a text, a provider id for one, names the person.
	In(text string) bool
	// Erase gives a body without the person, and whether they were in it.
	Erase(body []byte) ([]byte, bool)
}

// ForgetOptions name the person to forget.
type ForgetOptions struct {
	MatchKey string
	Phones   []string // every form of the number, in E.164
	// Traces gives what erases a person with these numbers and user ids.
	Traces func(phones, userIDs []string) Eraser
	// Patience is how long deliveries that are not applied yet and a POST on the
	// wire are waited for; 0 means 30 s.
	Patience time.Duration
}

// Forget erases a person: contacts, memberships, service windows, the number, the
// parameters and the provider ids of messages, and the elements of stored
// webhooks that are about them. What is left is what the books need, rows that
// name nobody, and a keyed hash on the suppression list, by which an import of
// the number is suppressed. What waits for the person ends first. When it
// returns, nothing in the database names the person, and webhooks that come
// later will not bring them back.
//
// It may be interrupted at any point and repeated: whom to look for is deleted
// last, and in one transaction.
func (s *Store) Forget(ctx context.Context, o ForgetOptions) (campaign.Forgotten, error) {
	done, err := s.forget(ctx, o)
	if err != nil {
		return done, fmt.Errorf("forget a person: %w", translate(err))
	}
	return done, nil
}

func (s *Store) forget(ctx context.Context, o ForgetOptions) (campaign.Forgotten, error) {
	var done campaign.Forgotten
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	_, _, former, err := s.formsOf(ctx, o)
	if err != nil {
		return done, err
	}
	if err := s.suppressForgotten(ctx, o.MatchKey, former); err != nil {
		return done, err
	}
	if err := s.awaitOlder(ctx, o.Patience); err != nil {
		return done, err
	}
	ids, phones, userIDs, err := s.formsOf(ctx, o)
	if err != nil {
		return done, err
	}
	if slices.ContainsFunc(userIDs, func(id string) bool { return !slices.Contains(former, id) }) {
		if err := s.suppressForgotten(ctx, o.MatchKey, userIDs); err != nil {
			return done, err
		}
	}
	done.Contacts = int64(len(ids))
	if err := s.endWaiting(ctx, ids, phones, time.Now().Add(o.Patience)); err != nil {
		return done, err
	}
	traces := o.Traces(phones, userIDs)
	if done.Webhooks, err = s.eraseBodies(ctx, traces, o.Patience); err != nil {
		return done, err
	}
	for try := 1; ; try++ {
		done.Messages, done.Replies, err = s.anonymise(ctx, o.MatchKey, ids, phones, traces)
		if !again(err) || try == importTries {
			return done, err
		}
	}
}

// formsOf gives the contacts of a person, and every number and user id under
// which they are known.
func (s *Store) formsOf(ctx context.Context, o ForgetOptions) (ids []int64, phones, userIDs []string, err error) {
	phones = slices.Clone(o.Phones)
	rows, err := s.pool.Query(ctx, `SELECT id, phone, COALESCE(user_id, '') FROM campaign.contacts WHERE match_key = $1 ORDER BY id`, o.MatchKey)
	if err != nil {
		return nil, nil, nil, err
	}
	var id int64
	var phone, userID string
	ids = []int64{}
	_, err = pgx.ForEachRow(rows, []any{&id, &phone, &userID}, func() error {
		ids, phones = append(ids, id), appendNew(phones, phone)
		if userID != "" {
			userIDs = appendNew(userIDs, userID)
		}
		return nil
	})
	return ids, phones, userIDs, err
}

// suppressForgotten comes first: from its commit on nothing is claimed for the
// person, and webhooks that name them are erased as they are applied.
func (s *Store) suppressForgotten(ctx context.Context, matchKey string, userIDs []string) error {
	hashes := [][]byte{s.people.of(matchKey)}
	for _, id := range userIDs {
		hashes = append(hashes, s.people.of(id))
	}
	return s.inPeopleTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO campaign.suppressions (hash, scope, forgotten) SELECT DISTINCT h, 'all', true FROM unnest($1::bytea[]) AS h
			ON CONFLICT (hash, scope) DO UPDATE SET phone = NULL, reason = '', forgotten = true`, hashes)
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, act{action: "forget", object: "people", count: 1})
	})
}

// settling is how long after the person was suppressed a transaction that looked
// just before may take to its first write.
const settling = 100 * time.Millisecond

// awaitOlder waits for the transactions that wrote to our tables before the person
// was suppressed: a service's, a plan's or an import's may have read the contact, and
// bring a message or a contact with its commit. Later ones know better. What one of
// them brings that holds an older snapshot is suppressed at its claim.
func (s *Store) awaitOlder(ctx context.Context, patience time.Duration) error {
	const writing = `SELECT a.pid || '/' || a.backend_xid FROM pg_stat_activity AS a
		WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
		  AND EXISTS (SELECT FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
		               WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND c.relnamespace = 'campaign'::regnamespace)`
	if err := sleep(ctx, settling); err != nil {
		return err
	}
	older, err := collect[string](s.pool.Query(ctx, writing))
	for until := time.Now().Add(patience); err == nil && len(older) > 0; {
		if time.Now().After(until) {
			return campaign.ErrConflict.With("a transaction that began before is not over, and may bring something of this person",
				"they get nothing any more; end it (a service's, a plan, an import) and forget the person again, which erases the rest")
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		var now []string
		now, err = collect[string](s.pool.Query(ctx, writing))
		older = slices.DeleteFunc(older, func(tx string) bool { return !slices.Contains(now, tx) })
	}
	return err
}

// endWaiting ends what waits for the person, and waits for what is on the wire.
func (s *Store) endWaiting(ctx context.Context, contacts []int64, phones []string, until time.Time) error {
	for {
		rows, err := s.pool.Query(ctx, forgetMessagesSQL, contacts, phones)
		if err != nil {
			return err
		}
		var waiting []campaign.MessageID
		var id campaign.MessageID
		var state campaign.MessageState
		sending := false
		_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error {
			switch state {
			case campaign.Sending:
				sending = true
			case campaign.Pending, campaign.Queued, campaign.Deferred:
				waiting = append(waiting, id)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for part := range slices.Chunk(waiting, 1000) {
			if _, err := s.change(ctx, slices.Clone(part), func(m *lockedMessage, c campaign.Circumstances) { m.Message.Suppress(c) }); err != nil {
				return err
			}
		}
		if !sending {
			err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM campaign.confirmations WHERE contact_id = ANY($1::bigint[]) AND state = 'sending')`,
				contacts).Scan(&sending)
			if err != nil {
				return err
			}
		}
		if !sending || time.Now().After(until) {
			return nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// bodiesAtOnce bounds a page of stored bodies, of at most 3 MiB each.
const bodiesAtOnce = 20

// eraseBodies takes the person out of every stored webhook. Those that are not
// applied yet are waited for, so that their reports are not lost; whoever applies
// them erases them, too.
func (s *Store) eraseBodies(ctx context.Context, traces Eraser, patience time.Duration) (int64, error) {
	var last int64
	if err := s.pool.QueryRow(ctx, `SELECT COALESCE(max(id), 0) FROM campaign.webhooks`).Scan(&last); err != nil {
		return 0, err
	}
	until := time.Now().Add(patience)
	for {
		var waiting bool
		err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM campaign.webhooks WHERE applied_at IS NULL AND id <= $1)`, last).Scan(&waiting)
		if err != nil {
			return 0, err
		}
		if !waiting || time.Now().After(until) {
			break
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
	}
	type stored struct {
		id   int64
		body []byte
	}
	var changed, after int64
	for {
		rows, err := s.pool.Query(ctx, forgetBodiesSQL, after, traces.Patterns(), bodiesAtOnce)
		if err != nil {
			return changed, err
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (stored, error) {
			var d stored
			return d, row.Scan(&d.id, &d.body)
		})
		if err != nil {
			return changed, err
		}
		for _, d := range page {
			after = d.id
			body, found := traces.Erase(d.body)
			if !found {
				continue
			}
			if _, err := s.pool.Exec(ctx, `UPDATE campaign.webhooks SET body = $2 WHERE id = $1`, d.id, body); err != nil {
				return changed, err
			}
			changed++
		}
		if len(page) < bodiesAtOnce {
			return changed, nil
		}
	}
}

// anonymise takes the person out of every table, in one transaction.
func (s *Store) anonymise(ctx context.Context, matchKey string, contacts []int64, phones []string, traces Eraser) (messages, replies int64, err error) {
	var likes []string
	for _, p := range traces.Patterns() {
		likes = append(likes, "%"+string(p)+"%")
	}
	err = s.inPeopleTx(ctx, func(tx pgx.Tx) error {
		ids, err := collectIDs(tx.Query(ctx, `SELECT id FROM campaign.messages
			WHERE contact_id > 0 AND contact_id = ANY($1::bigint[]) OR contact_id = 0 AND phone <> '' AND phone = ANY($2::text[])
			ORDER BY id FOR UPDATE`, contacts, phones))
		if err != nil {
			return err
		}
		messages = int64(len(ids))
		if len(ids) > 0 {
			bounds := pgx.StrictNamedArgs{"ids": ids, "least": ids[0], "greatest": ids[len(ids)-1]}
			if _, err := tx.Exec(ctx, forgetAnonymiseSQL, bounds); err != nil {
				return err
			}
			// A hash over the number is found by trying all numbers.
			if _, err := tx.Exec(ctx, `UPDATE campaign.idempotency_keys SET arguments = '' WHERE message_id = ANY($1::bigint[])`, ids); err != nil {
				return err
			}
		}
		if replies, err = anonymiseReplies(ctx, tx, contacts, ids, likes, traces); err != nil {
			return err
		}
		statuses, err := naming(ctx, tx, traces, `SELECT id, provider_id FROM campaign.unmatched_statuses WHERE provider_id LIKE ANY($1::text[])`, likes)
		if err != nil {
			return err
		}
		// Jobs of services, done or waiting: a send job names a message only.
		jobs, err := naming(ctx, tx, traces, `SELECT id, args::text FROM river.river_job
			WHERE kind = 'enqueue_message' AND state <> 'running' AND args::text LIKE ANY($1::text[])`, likes)
		if err != nil {
			return err
		}
		for _, step := range []struct {
			statement string
			arg       any
		}{
			{`DELETE FROM campaign.unmatched_statuses WHERE id = ANY($1::bigint[])`, statuses},
			{`DELETE FROM river.river_job WHERE kind = 'enqueue_message' AND state <> 'running' AND id = ANY($1::bigint[])`, jobs},
			{`DELETE FROM campaign.service_windows WHERE match_key = $1`, matchKey},
			{`DELETE FROM campaign.marketing_preferences WHERE match_key = $1`, matchKey},
			{`DELETE FROM campaign.contacts WHERE match_key = $1`, matchKey}, // memberships go with it
		} {
			if _, err := tx.Exec(ctx, step.statement, step.arg); err != nil {
				return err
			}
		}
		return nil
	})
	return messages, replies, err
}

// anonymiseReplies keeps replies, which are counted; what they are called names
// the person. Those of nobody we know are found by that alone.
func anonymiseReplies(ctx context.Context, tx pgx.Tx, contacts []int64, messages []campaign.MessageID, likes []string, traces Eraser) (int64, error) {
	rows, err := tx.Query(ctx, forgetRepliesSQL, contacts, messages, likes)
	if err != nil {
		return 0, err
	}
	var channels []campaign.ChannelID
	var names []string
	var channel campaign.ChannelID
	var name string
	var theirs bool
	_, err = pgx.ForEachRow(rows, []any{&channel, &name, &theirs}, func() error {
		if theirs || traces.In(name) {
			channels, names = append(channels, channel), append(names, name)
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return 0, err
	}
	tag, err := tx.Exec(ctx, `UPDATE campaign.replies AS r SET provider_id = 'forgotten ' || gen_random_uuid(), contact_id = 0
		FROM unnest($1::bigint[], $2::text[]) AS t(channel_id, provider_id)
		WHERE r.channel_id = t.channel_id AND r.provider_id = t.provider_id`, channels, names)
	return tag.RowsAffected(), err
}

// naming gives the ids of rows whose text names the person, of the id and the
// text of rows that may.
func naming(ctx context.Context, tx pgx.Tx, traces Eraser, query string, likes []string) ([]int64, error) {
	rows, err := tx.Query(ctx, query, likes)
	if err != nil {
		return nil, err
	}
	ids := []int64{}
	var id int64
	var text string
	_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		if traces.In(text) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// Forgotten says which of these match keys and user ids belong to people who were
// forgotten.
func (s *Store) Forgotten(ctx context.Context, people []string) (map[string]bool, error) {
	var any bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM campaign.suppressions WHERE forgotten)`).Scan(&any); err != nil || !any {
		return nil, translate(err)
	}
	byHash := make(map[string]string, len(people))
	hashes := make([][]byte, 0, len(people))
	for _, p := range people {
		hash := s.people.of(p)
		byHash[string(hash)] = p
		hashes = append(hashes, hash)
	}
	found, err := collect[[]byte](s.pool.Query(ctx, `SELECT hash FROM campaign.suppressions WHERE forgotten AND hash = ANY($1::bytea[])`, hashes))
	if err != nil {
		return nil, fmt.Errorf("look for people who were forgotten: %w", translate(err))
	}
	forgotten := make(map[string]bool, len(found))
	for _, hash := range found {
		forgotten[byHash[string(hash)]] = true
	}
	return forgotten, nil
}
