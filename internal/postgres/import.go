package postgres

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/import_table.sql
	importTableSQL string
	//go:embed sql/import_insert.sql
	importInsertSQL string
	//go:embed sql/import_update.sql
	importUpdateSQL string
	//go:embed sql/import_members.sql
	importMembersSQL string
)

// importChunk is how many rows one transaction of an import writes: enough that
// its commit costs nothing beside it, few enough for a moment's memory and locks.
const importChunk = 10_000

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
	chunk := newImportChunk()
	for row, err := range rows {
		if err != nil {
			err = errors.Join(err, im.flush(ctx, chunk)) // what came before the error is good
			return im.result, err
		}
		chunk.add(row)
		if len(chunk.rows) < importChunk {
			continue
		}
		if err := im.flush(ctx, chunk); err != nil {
			return im.result, err
		}
		chunk = newImportChunk()
	}
	err := im.flush(ctx, chunk)
	return im.result, err
}

// contactImport is one import under way.
type contactImport struct {
	store   *Store
	options ImportOptions
	list    campaign.ListID
	known   map[string]bool // columns that the list has
	result  campaign.ImportResult
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

// importRows is a chunk: one row per number.
type importRows struct {
	rows    []campaign.ContactRow
	index   map[string]int // by phone
	read    int64
	changed map[string]int64 // by phone: repeated rows that said something else than the row before
	columns map[string]bool
}

func newImportChunk() *importRows {
	return &importRows{index: make(map[string]int, importChunk), changed: map[string]int64{}, columns: map[string]bool{}}
}

// add merges a row into the chunk as the database would merge it.
func (c *importRows) add(row campaign.ContactRow) {
	c.read++
	for key := range row.Attributes {
		c.columns[key] = true
	}
	i, repeated := c.index[row.Phone]
	if !repeated {
		c.index[row.Phone] = len(c.rows)
		c.rows = append(c.rows, row)
		return
	}
	was := c.rows[i]
	is := was
	is.Number = row.Number
	is.Language, is.TimeZone = orElse(row.Language, was.Language), orElse(row.TimeZone, was.TimeZone)
	if len(row.Attributes) > 0 {
		is.Attributes = maps.Clone(was.Attributes)
		if is.Attributes == nil {
			is.Attributes = map[string]string{}
		}
		maps.Copy(is.Attributes, row.Attributes)
	}
	if row.OptIn != nil {
		is.OptIn = row.OptIn
	}
	if row.OptInAt != nil {
		is.OptInAt = row.OptInAt
	}
	is.OptInSource = orElse(row.OptInSource, was.OptInSource)
	if !sameRow(was, is) {
		c.changed[row.Phone]++
	}
	c.rows[i] = is
}

func sameRow(a, b campaign.ContactRow) bool {
	return a.Language == b.Language && a.TimeZone == b.TimeZone && maps.Equal(a.Attributes, b.Attributes) &&
		sameBool(a.OptIn, b.OptIn) && a.OptInSource == b.OptInSource && sameInstant(a.OptInAt, b.OptInAt)
}

func sameBool(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }

func sameInstant(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

func orElse(text, other string) string {
	if text != "" {
		return text
	}
	return other
}

// flush writes a chunk, again when a deadlock or a lost connection undid it.
func (im *contactImport) flush(ctx context.Context, chunk *importRows) error {
	if len(chunk.rows) == 0 {
		return nil
	}
	if err := im.open(ctx, slices.Sorted(maps.Keys(chunk.columns))); err != nil {
		return err
	}
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		created, updated, err := im.once(ctx, chunk)
		if err == nil {
			im.result.Rows += chunk.read
			im.result.Created += created
			im.result.Updated += updated
			im.result.Unchanged += chunk.read - created - updated
			return nil
		}
		if !again(err) || try == importTries {
			return fmt.Errorf("store rows %d to %d: %w", chunk.rows[0].Number, chunk.rows[len(chunk.rows)-1].Number, translate(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause *= 2
		}
	}
}

func (im *contactImport) once(ctx context.Context, chunk *importRows) (created, updated int64, err error) {
	err = im.store.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, importTableSQL); err != nil {
				return err
			}
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"import_rows"}, []string{"row_number", "phone", "match_key", "country", "nanp",
				"language", "time_zone", "attributes", "opt_in", "opt_in_source", "opt_in_at"},
				pgx.CopyFromSlice(len(chunk.rows), func(i int) ([]any, error) { return importColumns(chunk.rows[i]) }))
			if err != nil {
				return err
			}
			source := orElse(im.options.Source, "import")
			tag, err := tx.Exec(ctx, importInsertSQL, pgx.StrictNamedArgs{"source": source})
			if err != nil {
				return err
			}
			created = tag.RowsAffected()
			if tag, err = tx.Exec(ctx, importUpdateSQL, pgx.StrictNamedArgs{"source": source}); err != nil {
				return err
			}
			repeated, err := chunk.repeats(ctx, tx)
			if err != nil {
				return err
			}
			updated = tag.RowsAffected() + repeated
			if im.list == 0 {
				return nil
			}
			if tag, err = tx.Exec(ctx, importMembersSQL, pgx.StrictNamedArgs{"list": im.list}); err != nil || tag.RowsAffected() == 0 {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE campaign.lists SET updated_at = clock_timestamp() WHERE id = $1`, im.list)
			return err
		})
	})
	return created, updated, err
}

// repeats counts the rows that a later row of the same number overrode, as far as
// the contact was written at all: where the last row says what is stored already,
// nothing was updated. The rows that this transaction wrote carry its number.
func (c *importRows) repeats(ctx context.Context, tx pgx.Tx) (int64, error) {
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

func importColumns(r campaign.ContactRow) ([]any, error) {
	attributes := make(map[string]string, len(r.Attributes))
	for key, value := range r.Attributes {
		attributes[plainText(key)] = plainText(value)
	}
	document, err := json.Marshal(attributes)
	if err != nil {
		return nil, err
	}
	return []any{r.Number, r.Phone, r.MatchKey, r.Country, r.NANP, plainText(r.Language), plainText(r.TimeZone), document,
		r.OptIn, plainText(r.OptInSource), r.OptInAt}, nil
}
