package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Advisory locks (design §4.3). Whoever claims, releases or records takes them
// shared; whoever pauses, cancels, holds or opts somebody out takes them
// exclusively and keeps them to the commit. Row locks FOR SHARE would starve the
// writer: 8 overlapping claims kept a pause waiting 8 s, an advisory lock 17 ms.
type lockKey struct {
	class int32
	id    int32
}

// The classes, in the order in which locks are taken.
const (
	lockPeople   int32 = 7401
	lockChannel  int32 = 7402
	lockCampaign int32 = 7403
	lockFanOut   int32 = 7404
	lockFold     int32 = 7405
	lockRepair   int32 = 7406
	lockPlan     int32 = 7407
	lockShare    int32 = 7408
	lockImport   int32 = 7409
)

func peopleKey() lockKey                       { return lockKey{lockPeople, 0} }
func channelKey(id campaign.ChannelID) lockKey { return lockKey{lockChannel, int32(id)} }
func campaignKey(id campaign.ID) lockKey       { return lockKey{lockCampaign, int32(id)} }
func sortKeys(keys []lockKey) []lockKey {
	slices.SortFunc(keys, func(a, b lockKey) int { return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.id, b.id)) })
	return slices.Compact(keys)
}

// queueShared adds the shared locks to a batch, in key order.
func queueShared(b *pgx.Batch, keys []lockKey) {
	for _, k := range sortKeys(keys) {
		b.Queue(`SELECT pg_advisory_xact_lock_shared($1, $2)`, k.class, k.id)
	}
}

// lockExclusively takes locks for a change that claims must see: it waits for
// claims under way and binds every later one.
func lockExclusively(ctx context.Context, tx pgx.Tx, keys ...lockKey) error {
	for _, k := range sortKeys(keys) {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, $2)`, k.class, k.id); err != nil {
			return err
		}
	}
	return nil
}

// peopleWait is how long whoever holds the people lock waits for a row that
// somebody else has locked, and peoplePatience how long it is tried: a service may
// keep a contact's row for as long as its transaction lasts, and every claim and
// every stop waits for the people lock.
const (
	peopleWait     = 300 * time.Millisecond
	peoplePatience = 5 * time.Second
)

// inPeopleTx runs fn in a transaction that holds the people lock, so that claims
// see what it changes. Where a row is locked for longer the lock is given back
// and fn run anew.
func (s *Store) inPeopleTx(ctx context.Context, fn func(pgx.Tx) error) error {
	return s.inPeopleTxFor(ctx, peoplePatience, fn)
}

// keptByOthers reports that a row was locked by somebody else for too long.
func keptByOthers(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

func (s *Store) inPeopleTxFor(ctx context.Context, patience time.Duration, fn func(pgx.Tx) error) error {
	until := time.Now().Add(patience)
	for pause := peopleWait; ; pause = min(2*pause, time.Second) {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			if err := lockExclusively(ctx, tx, peopleKey()); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, strconv.FormatInt(peopleWait.Milliseconds(), 10)); err != nil {
				return err
			}
			return fn(tx)
		})
		if !keptByOthers(err) || time.Now().After(until) {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// tryLock takes a lock for work that one process at a time does. A node that is
// stopped or cut off in the middle of it does not keep it from the others.
func tryLock(ctx context.Context, tx pgx.Tx, class, id int32) (bool, error) {
	var ok bool
	err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1, $2) FROM set_config('idle_in_transaction_session_timeout', '10s', true)`,
		class, id).Scan(&ok)
	return ok, err
}
