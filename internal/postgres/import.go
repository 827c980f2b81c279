package postgres

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/import_table.sql
	importTableSQL string
	//go:embed sql/import_merge.sql
	importMergeSQL string
	//go:embed sql/import_update.sql
	importUpdateSQL string
	//go:embed sql/import_move.sql
	importMoveSQL string
)

// importChunk is how many rows one transaction of an import writes: enough that
// neighbours in an index meet (a million new contacts in chunks of 20,000 took
// 6.9 s in their table, of 50,000 4.9 s), few enough for a moment's memory (a
// third of a kilobyte each, four chunks under way) and locks.
const importChunk = 32_000

// importWriters is how many chunks are written at a time, neighbours in the file;
// those that share a number one after the other.
const importWriters = 2

// importTries is how often a chunk is repeated after a deadlock or a lost
// connection: a webhook that opts people out locks them in another order.
const importTries = 6

// ImportOptions say where imported contacts go.
type ImportOptions struct {
	List    string   // the list they join, created when there is none; empty: no list
	Columns []string // attributes of the file, also those that no row fills
	Source  string   // opt-in source of rows that opt in and name none; empty means "import"
}

// ImportContacts stores contacts by their number and puts them on a list. It
// works in chunks, each a transaction: what was stored stays when a later row is
// an error, and the same file imported again goes on where it stopped. Importing
// the same rows twice changes nothing: of a number that comes twice within a
// chunk only the last row's effect counts. Across chunks it is written in turn,
// with the same end.
//
// Attributes merge, the new value wins. An empty language, time zone or opt-in
// never erases one that is there, and no opt-in of a file takes back an opt-out:
// only the person does, by SetOptIn. Of a number that comes twice the last row
// wins. Any number of imports may run at once.
func (s *Store) ImportContacts(ctx context.Context, o ImportOptions, rows iter.Seq2[campaign.ContactRow, error]) (campaign.ImportResult, error) {
	im := contactImport{store: s, options: o, known: map[string]bool{}}
	if err := im.open(ctx, o.Columns); err != nil {
		return im.result, err
	}
	// Two chunks are written while the next one is read: the server's work is done
	// by one of its processes for each.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := make(chan *encodedChunk)
	var writers sync.WaitGroup
	for range importWriters {
		writers.Go(func() {
			for chunk := range chunks {
				if err := im.flushInTurn(ctx, chunk); err != nil {
					cancel(err) // what reads may stop
				}
				close(chunk.done)
			}
		})
	}
	err := gather(ctx, rows, chunks)
	close(chunks)
	writers.Wait()
	cause := context.Cause(ctx)
	if cause != nil && errors.Is(err, context.Canceled) {
		err = nil // the reading ended because the writing did
	}
	return im.result, errors.Join(err, cause)
}

// gather reads rows into chunks. What came before an error is good, and written.
func gather(ctx context.Context, rows iter.Seq2[campaign.ContactRow, error], chunks chan<- *encodedChunk) error {
	gathered := newImportRows()
	for row, err := range rows {
		if err == nil {
			err = gathered.add(row)
		}
		if err != nil {
			if len(gathered.rows) > 0 {
				chunks <- gathered.encode()
			}
			return err
		}
		if len(gathered.rows) < importChunk {
			continue
		}
		chunks <- gathered.encode()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if len(gathered.rows) > 0 {
		chunks <- gathered.encode()
	}
	return nil
}

// contactImport is one import under way.
type contactImport struct {
	store   *Store
	options ImportOptions

	mu     sync.Mutex // of what follows
	list   campaign.ListID
	known  map[string]bool // columns that the list has
	result campaign.ImportResult
}

// open makes the list, and adds columns to it that it lacks.
func (im *contactImport) open(ctx context.Context, columns []string) error {
	if im.options.List == "" {
		return nil
	}
	var fresh []string
	for _, c := range columns {
		if c = plainText(c); !im.known[c] {
			im.known[c] = true
			fresh = append(fresh, c)
		}
	}
	if len(fresh) == 0 && im.list != 0 {
		return nil
	}
	var err error
	im.list, err = im.store.openList(ctx, im.options.List, fresh)
	return err
}

// flushInTurn writes a chunk when those are written that must be before it.
func (im *contactImport) flushInTurn(ctx context.Context, chunk *encodedChunk) error {
	for _, former := range chunk.wait {
		<-former
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return im.flush(ctx, chunk)
}

// flush writes a chunk, again when another transaction was first, a deadlock or
// a lost connection undid it.
func (im *contactImport) flush(ctx context.Context, chunk *encodedChunk) error {
	im.mu.Lock()
	err := im.open(ctx, chunk.columns)
	list := im.list
	im.mu.Unlock()
	if err != nil {
		return err
	}
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		created, updated, err := im.once(ctx, chunk, list, try > 1)
		if err == nil {
			im.mu.Lock()
			defer im.mu.Unlock()
			im.result.Rows += chunk.read
			im.result.Created += created
			im.result.Updated += updated
			im.result.Unchanged += chunk.read - created - updated
			return nil
		}
		if !again(err) && !violates(err, "contacts_phone_key") && !violates(err, "list_members_pkey") || try == importTries {
			return fmt.Errorf("store rows %d to %d: %w", chunk.first, chunk.last, translate(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// importKey is held shared by every chunk, so that whoever deletes lists or
// contacts waits for it, and exclusively by one that met another: it is alone
// then (migration 0014).
func importKey() lockKey { return lockKey{lockImport, 0} }

func (im *contactImport) once(ctx context.Context, chunk *encodedChunk, list campaign.ListID, alone bool) (created, updated int64, err error) {
	err = im.store.inTx(ctx, func(tx pgx.Tx) error {
		lock := `SELECT pg_advisory_xact_lock_shared($1, $2)`
		if alone {
			lock = `SELECT pg_advisory_xact_lock($1, $2)`
		}
		if _, err := tx.Exec(ctx, lock, importKey().class, importKey().id); err != nil {
			return err
		}
		if err := im.listStands(ctx, tx, list); err != nil {
			return err
		}
		// A chunk is sorted and kept while it is merged: in memory. No number comes
		// twice in it, so remembering what was looked up is for nothing.
		if _, err := tx.Exec(ctx, `SET LOCAL work_mem = '64MB'; SET LOCAL enable_memoize = off`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, importTableSQL); err != nil {
			return err
		}
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(chunk.copy), copyImportSQL); err != nil {
			return err
		}
		source := orElse(im.options.Source, "import")
		var differing, joined, moved int64
		err := tx.QueryRow(ctx, importMergeSQL, pgx.StrictNamedArgs{"source": source, "list": list}).Scan(&created, &differing, &joined, &moved)
		if err != nil {
			return err
		}
		updated = 0
		if differing > 0 {
			tag, err := tx.Exec(ctx, importUpdateSQL, pgx.StrictNamedArgs{"source": source})
			if err != nil {
				return err
			}
			updated = tag.RowsAffected()
		}
		repeated, err := chunk.repeats(ctx, tx)
		if err != nil {
			return err
		}
		updated += repeated
		if moved > 0 {
			if _, err := tx.Exec(ctx, importMoveSQL, pgx.StrictNamedArgs{"list": list}); err != nil {
				return err
			}
		}
		if joined == 0 && moved == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `UPDATE campaign.lists SET updated_at = clock_timestamp() WHERE id = $1`, list)
		return err
	})
	return created, updated, err
}

// listStands refuses to go on with a list that somebody deleted meanwhile.
func (im *contactImport) listStands(ctx context.Context, tx pgx.Tx, list campaign.ListID) error {
	if list == 0 {
		return nil
	}
	var stands bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM campaign.lists WHERE id = $1)`, list).Scan(&stands)
	if err == nil && !stands {
		err = campaign.ErrConflict.With(fmt.Sprintf("list %q was deleted while it was imported", im.options.List), "import it again")
	}
	return err
}

// repeats counts the rows that a later row of the same number overrode, as far as
// the contact was written at all: where the last row says what is stored already,
// nothing was updated. The rows that this transaction wrote carry its number.
func (c *encodedChunk) repeats(ctx context.Context, tx pgx.Tx) (int64, error) {
	if len(c.changed) == 0 {
		return 0, nil
	}
	written, err := collect[string](tx.Query(ctx, `
		SELECT phone FROM campaign.contacts WHERE phone = ANY($1::text[]) AND xmin = pg_current_xact_id()::xid`,
		slices.Sorted(maps.Keys(c.changed))))
	n := int64(0)
	for _, phone := range written {
		n += c.changed[phone]
	}
	return n, err
}
