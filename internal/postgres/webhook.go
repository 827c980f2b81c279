package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/webhook_provider_ids.sql
	webhookProviderIDsSQL string
	//go:embed sql/webhook_unmatched.sql
	webhookUnmatchedSQL string
)

// SaveDeliveries stores webhook bodies as they came; when it returns they are
// committed. The first of a channel since a daemon's start is noted with it: from
// then on silence about a message means something (design §4.8).
func (s *Store) SaveDeliveries(ctx context.Context, ds []campaign.Delivery) error {
	channels, bodies := make([]int64, len(ds)), make([][]byte, len(ds))
	for i, d := range ds {
		channels[i], bodies[i] = int64(d.Channel), d.Body
	}
	_, err := s.pool.Exec(ctx, `
		WITH saved AS (INSERT INTO campaign.webhooks (channel_id, body) SELECT * FROM unnest($1::bigint[], $2::bytea[]))
		UPDATE campaign.channels SET webhooks_since = clock_timestamp() WHERE id = ANY($1) AND webhooks_since IS NULL`, channels, bodies)
	if err != nil {
		return fmt.Errorf("store %d webhooks: %w", len(ds), translate(err))
	}
	return nil
}

// Unapplied gives the oldest deliveries that were stored and not applied, at most
// limit of them and about maxBytes of bodies.
func (s *Store) Unapplied(ctx context.Context, limit int, maxBytes int64) ([]campaign.Delivery, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, channel_id, received_at, body
		  FROM (SELECT id, channel_id, received_at, body, sum(length(body)) OVER (ORDER BY id) - length(body) AS before
		          FROM (SELECT * FROM campaign.webhooks WHERE applied_at IS NULL ORDER BY id LIMIT $1) AS oldest) AS w
		 WHERE before < $2
		 ORDER BY id`, limit, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("read stored webhooks: %w", translate(err))
	}
	ds, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (campaign.Delivery, error) {
		var d campaign.Delivery
		return d, row.Scan(&d.ID, &d.Channel, &d.ReceivedAt, &d.Body)
	})
	if err != nil {
		return nil, fmt.Errorf("read stored webhooks: %w", translate(err))
	}
	return ds, nil
}

// Inbox gives the number of stored and not yet applied deliveries and the age of
// the oldest.
func (s *Store) Inbox(ctx context.Context) (n int64, oldest time.Duration, err error) {
	var seconds float64
	err = s.pool.QueryRow(ctx, `SELECT count(*), COALESCE(extract(epoch FROM clock_timestamp() - min(received_at)), 0)::double precision
	                              FROM campaign.webhooks WHERE applied_at IS NULL`).Scan(&n, &seconds)
	return n, time.Duration(seconds * float64(time.Second)), translate(err)
}

// ApplyDeliveries applies the events of a channel's deliveries and marks these
// applied, in the transaction of the statuses. Repeating it changes nothing; an
// element that the database refuses is noted with its delivery and does not cost
// its neighbours.
func (s *Store) ApplyDeliveries(ctx context.Context, channel campaign.ChannelID, ds []campaign.Parsed) (campaign.Applied, error) {
	applied, err := s.applyDeliveries(ctx, channel, ds)
	if !badData(err) {
		return applied, err
	}
	if len(ds) > 1 {
		first, err := s.ApplyDeliveries(ctx, channel, ds[:len(ds)/2])
		if err != nil {
			return first, err
		}
		second, err := s.ApplyDeliveries(ctx, channel, ds[len(ds)/2:])
		return together(first, second), err
	}
	applied, refused, err := s.applyAlone(ctx, channel, ds[0].Events)
	if err != nil {
		return applied, err
	}
	if refused != nil {
		ds[0].Problem = "an element was refused: " + refused.Error()
	}
	b := &pgx.Batch{}
	b.Queue(markAppliedSQL, []int64{ds[0].ID}, []*string{&ds[0].Problem})
	if ds[0].Erased {
		b.Queue(replaceBodySQL, ds[0].ID, ds[0].Body)
	}
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return applied, fmt.Errorf("mark webhooks applied: %w", translate(err))
	}
	return applied, nil
}

// applyAlone applies the events of one delivery by halves, until those that the
// database refuses are alone, and gives its words about the last of these.
func (s *Store) applyAlone(ctx context.Context, channel campaign.ChannelID, events []campaign.Event) (applied campaign.Applied, refused, err error) {
	applied, err = s.applyDeliveries(ctx, channel, []campaign.Parsed{{Events: events}})
	switch {
	case !badData(err):
		return applied, nil, err
	case len(events) == 1:
		return campaign.Applied{}, err, nil
	}
	applied, refused, err = s.applyAlone(ctx, channel, events[:len(events)/2])
	if err != nil {
		return applied, refused, err
	}
	second, other, err := s.applyAlone(ctx, channel, events[len(events)/2:])
	if refused == nil {
		refused = other
	}
	return together(applied, second), refused, err
}

func together(a, b campaign.Applied) campaign.Applied {
	for _, d := range b.Dropped {
		a.Dropped = appendNew(a.Dropped, d)
	}
	return campaign.Applied{Statuses: a.Statuses + b.Statuses, Unmatched: a.Unmatched + b.Unmatched, Replies: a.Replies + b.Replies,
		Lost: a.Lost + b.Lost, Kept: a.Kept + b.Kept, Dropped: a.Dropped}
}

const replaceBodySQL = `UPDATE campaign.webhooks SET body = $2 WHERE id = $1`

const markAppliedSQL = `UPDATE campaign.webhooks AS w SET applied_at = clock_timestamp(), problem = COALESCE(NULLIF(d.problem, ''), w.problem)
                          FROM unnest($1::bigint[], $2::text[]) AS d(id, problem) WHERE w.id = d.id`

// applyDeliveries fails as a whole; what it did before it failed is done again.
func (s *Store) applyDeliveries(ctx context.Context, channel campaign.ChannelID, ds []campaign.Parsed) (campaign.Applied, error) {
	var applied campaign.Applied
	var statuses []Status
	var loose []campaign.Event // statuses without an opaque id
	var told userIDs
	for _, d := range ds {
		for _, e := range d.Events {
			if e.Kind != campaign.EventStatus || !e.Messages {
				continue
			}
			applied.Statuses++
			id, attempt, ours := s.ParseOpaque(e.Opaque)
			switch {
			case ours:
				statuses = append(statuses, Status{Message: id, Report: reportOf(e, attempt)})
				told.add(id, e)
			case e.Opaque == "" && e.ID != "":
				e.ID, e.Status = plainText(e.ID), plainText(e.Status)
				loose = append(loose, e)
			}
		}
	}
	found, unmatched, err := s.matchLoose(ctx, loose)
	if err != nil {
		return applied, err
	}
	own, err := s.ownWords(ctx, ds)
	if err != nil {
		return applied, err
	}
	statuses = append(statuses, found...)
	applied.Unmatched = len(unmatched)
	var kept []int64 // deliveries that stay, because somebody else keeps their person
	for _, d := range ds {
		for _, e := range d.Events {
			if inbound(e) {
				err := s.applyInbound(ctx, channel, e, own)
				if keptByOthers(err) && d.ID != 0 {
					kept = appendNew(kept, d.ID)
					break
				}
				if err != nil {
					return applied, err
				}
				if e.Kind == campaign.EventMessage {
					applied.Replies++
				}
			}
			if err := s.applyOther(ctx, channel, e); err != nil {
				return applied, err
			}
		}
	}
	applied.Kept = len(kept)
	ds = slices.DeleteFunc(slices.Clone(ds), func(d campaign.Parsed) bool { return slices.Contains(kept, d.ID) })
	ids, problems := make([]int64, len(ds)), make([]*string, len(ds))
	for i, d := range ds {
		ids[i] = d.ID
		if d.Problem != "" {
			text := plainText(d.Problem)
			problems[i] = &text
		}
	}
	// What matched nothing is kept in the transaction that marks its delivery, so
	// that it is kept once however often the rest is repeated.
	var marked bool
	finish := func(b *pgx.Batch) {
		marked = true
		queueUnmatched(b, channel, unmatched)
		told.queue(b, s, channel)
		b.Queue(markAppliedSQL, ids, problems)
		for _, d := range ds {
			if d.Erased {
				b.Queue(replaceBodySQL, d.ID, d.Body)
			}
		}
	}
	applied.Dropped, applied.Lost, err = s.applyStatuses(ctx, channel, statuses, finish)
	if err != nil || marked {
		return applied, err
	}
	b := &pgx.Batch{}
	finish(b)
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil { // one transaction
		return applied, fmt.Errorf("mark webhooks applied: %w", translate(err))
	}
	return applied, nil
}

func reportOf(e campaign.Event, attempt int) campaign.Report {
	return campaign.Report{Attempt: attempt, Status: e.Status, ProviderID: e.ID, At: e.At, Failure: e.Failure}
}

// Opaque gives the biz_opaque_callback_data of a turn:
// <deployment>/<message>/<attempt>.
func (s *Store) Opaque(message campaign.MessageID, attempt int) string {
	return s.deployment + "/" + strconv.FormatInt(int64(message), 10) + "/" + strconv.Itoa(attempt)
}

// ParseOpaque reads an opaque id; ours is false for one of another deployment or
// of no form we write.
func (s *Store) ParseOpaque(opaque string) (id campaign.MessageID, attempt int, ours bool) {
	deployment, rest, ok := strings.Cut(opaque, "/")
	if !ok || deployment != s.deployment {
		return 0, 0, false
	}
	message, turn, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, false
	}
	n, err := strconv.ParseInt(message, 10, 64)
	if err != nil || n <= 0 {
		return 0, 0, false
	}
	attempt, err = strconv.Atoi(turn)
	if err != nil || attempt <= 0 || attempt > 1<<30 {
		return 0, 0, false
	}
	return campaign.MessageID(n), attempt, true
}

// matchLoose finds the messages of statuses by their provider ids.
func (s *Store) matchLoose(ctx context.Context, events []campaign.Event) (found []Status, unmatched []campaign.Event, err error) {
	if len(events) == 0 {
		return nil, nil, nil
	}
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	known, err := s.byProviderID(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range events {
		if k, ok := known[e.ID]; ok {
			found = append(found, Status{Message: k.message, Report: reportOf(e, k.attempt)})
		} else {
			unmatched = append(unmatched, e)
		}
	}
	return found, unmatched, nil
}

type providerMatch struct {
	message campaign.MessageID
	attempt int
}

func (s *Store) byProviderID(ctx context.Context, ids []string) (map[string]providerMatch, error) {
	rows, err := s.pool.Query(ctx, webhookProviderIDsSQL, pgx.StrictNamedArgs{"providers": ids})
	if err != nil {
		return nil, fmt.Errorf("look up provider ids: %w", translate(err))
	}
	defer rows.Close()
	known := map[string]providerMatch{}
	for rows.Next() {
		var id string
		var m providerMatch
		if err := rows.Scan(&id, &m.message, &m.attempt); err != nil {
			return nil, err
		}
		known[id] = m
	}
	return known, translate(rows.Err())
}

func queueUnmatched(b *pgx.Batch, channel campaign.ChannelID, events []campaign.Event) {
	if len(events) == 0 {
		return
	}
	var ids, states []string
	var codes []int32
	var ats []*time.Time
	for _, e := range events {
		ids, states, codes = append(ids, e.ID), append(states, e.Status), append(codes, int32(e.Code))
		if e.At.IsZero() {
			ats = append(ats, nil)
		} else {
			ats = append(ats, &e.At)
		}
	}
	b.Queue(`INSERT INTO campaign.unmatched_statuses (channel_id, provider_id, status, code, at)
		SELECT $1, * FROM unnest($2::text[], $3::text[], $4::int[], $5::timestamptz[])`, channel, ids, states, codes, ats)
}

// unmatchedFor is how long a status that matches nothing is tried again.
const unmatchedFor = time.Hour

// RetryUnmatched tries statuses again that matched nothing when they came, and
// forgets those older than an hour. explain gives the failure of a code.
func (s *Store) RetryUnmatched(ctx context.Context, explain func(code int) campaign.Failure) (int, error) {
	if _, err := s.pool.Exec(ctx, `DELETE FROM campaign.unmatched_statuses WHERE received_at < now() - make_interval(secs => $1)`, unmatchedFor.Seconds()); err != nil {
		return 0, fmt.Errorf("forget unmatched statuses: %w", translate(err))
	}
	rows, err := s.pool.Query(ctx, webhookUnmatchedSQL)
	if err != nil {
		return 0, fmt.Errorf("read unmatched statuses: %w", translate(err))
	}
	type kept struct {
		row   int64
		event campaign.Event
	}
	byChannel := map[campaign.ChannelID][]kept{}
	for rows.Next() {
		var k kept
		var channel campaign.ChannelID
		var at *time.Time
		if err := rows.Scan(&k.row, &channel, &k.event.ID, &k.event.Status, &k.event.Code, &at); err != nil {
			rows.Close()
			return 0, err
		}
		if at != nil {
			k.event.At = *at
		}
		if k.event.Code != 0 {
			f := explain(k.event.Code)
			k.event.Failure = &f
		}
		byChannel[channel] = append(byChannel[channel], k)
	}
	if err := rows.Err(); err != nil {
		return 0, translate(err)
	}
	matched := 0
	for channel, list := range byChannel {
		ids := make([]string, len(list))
		for i, k := range list {
			ids[i] = k.event.ID
		}
		known, err := s.byProviderID(ctx, ids)
		if err != nil {
			return matched, err
		}
		var statuses []Status
		var done []int64
		for _, k := range list {
			if m, ok := known[k.event.ID]; ok {
				statuses = append(statuses, Status{Message: m.message, Report: reportOf(k.event, m.attempt)})
				done = append(done, k.row)
			}
		}
		if len(statuses) == 0 {
			continue
		}
		_, _, err = s.applyStatuses(ctx, channel, statuses, func(b *pgx.Batch) {
			b.Queue(`DELETE FROM campaign.unmatched_statuses WHERE id = ANY($1::bigint[])`, done)
		})
		if err != nil {
			return matched, err
		}
		matched += len(done)
	}
	return matched, nil
}

// DeleteDeliveries deletes applied webhook bodies older than keep, in bounded
// steps, and returns how many.
func (s *Store) DeleteDeliveries(ctx context.Context, keep time.Duration) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM campaign.webhooks
		 WHERE id IN (SELECT id FROM campaign.webhooks
		               WHERE received_at < now() - make_interval(secs => $1) AND applied_at IS NOT NULL LIMIT 10000)`, keep.Seconds())
	if err != nil {
		return 0, fmt.Errorf("delete old webhooks: %w", translate(err))
	}
	return tag.RowsAffected(), nil
}

// Deliveries gives stored deliveries after an id, for "webhook tail".
func (s *Store) Deliveries(ctx context.Context, after int64, limit int) ([]campaign.Delivery, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, channel_id, received_at, body FROM campaign.webhooks WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read stored webhooks: %w", translate(err))
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (campaign.Delivery, error) {
		var d campaign.Delivery
		return d, row.Scan(&d.ID, &d.Channel, &d.ReceivedAt, &d.Body)
	})
}

// LastDelivery gives the id of the newest stored delivery, 0 when there is none.
func (s *Store) LastDelivery(ctx context.Context) (int64, error) {
	var id int64
	err := s.pool.QueryRow(ctx, `SELECT COALESCE(max(id), 0) FROM campaign.webhooks`).Scan(&id)
	return id, translate(err)
}
