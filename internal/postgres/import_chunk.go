package postgres

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/campaignd/campaignd/internal/campaign"
)

// importRows gathers a chunk of a file: one row per number.
type importRows struct {
	rows    []importRow
	index   map[string]int // by phone
	read    int64
	changed map[string]int64 // by phone: repeated rows that said something else than the row before
	columns map[string]bool  // attributes that some row of the file had
	scratch []byte

	former           map[string]int  // the index of the chunk before, for numbers that come again
	last, beforeLast <-chan struct{} // closed when these chunks are written; nil: there is none
	meets            bool            // this chunk and the last share a number
	size             int             // of the last one, encoded
}

// importRow is a row whose attributes are JSON already: a map of each of tens of
// thousands of rows would take most of the memory.
type importRow struct {
	campaign.ContactRow // without Attributes
	document            string
}

func newImportRows() *importRows {
	return &importRows{index: make(map[string]int, importChunk), former: make(map[string]int, importChunk), changed: map[string]int64{}, columns: map[string]bool{}}
}

// add merges a row into the chunk as the database would merge it.
func (c *importRows) add(row campaign.ContactRow) error {
	c.read++
	for key := range row.Attributes {
		if !c.columns[key] {
			c.columns[key] = true
		}
	}
	i, repeated := c.index[row.Phone]
	if !repeated {
		if _, again := c.former[row.Phone]; again {
			c.meets = true
		}
		c.index[row.Phone] = len(c.rows)
		c.rows = append(c.rows, c.compact(row))
		return nil
	}
	was := c.rows[i].ContactRow
	if err := json.Unmarshal([]byte(c.rows[i].document), &was.Attributes); err != nil {
		return fmt.Errorf("read back the attributes of row %d: %w", was.Number, err)
	}
	is := was
	is.Number = row.Number
	is.Language, is.TimeZone = orElse(row.Language, was.Language), orElse(row.TimeZone, was.TimeZone)
	if len(row.Attributes) > 0 {
		is.Attributes = maps.Clone(was.Attributes)
		for key, value := range row.Attributes {
			is.Attributes[plainText(key)] = plainText(value)
		}
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
	c.rows[i] = c.compact(is)
	return nil
}

func (c *importRows) compact(row campaign.ContactRow) importRow {
	c.scratch = appendObject(c.scratch[:0], row.Attributes)
	row.Attributes = nil
	return importRow{row, string(c.scratch)}
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

// encodedChunk is a chunk as it is written, once or, after a deadlock, again.
type encodedChunk struct {
	copy        []byte // for COPY in binary
	columns     []string
	changed     map[string]int64
	read        int64
	first, last int64 // lines, for errors

	wait []<-chan struct{} // for the chunks that must be written before
	done chan struct{}     // closed when this one is written, or given up
}

// encode gives the chunk as it is written, and empties the gatherer for the next
// one.
func (c *importRows) encode() *encodedChunk {
	e := &encodedChunk{
		changed: c.changed, columns: slices.Sorted(maps.Keys(c.columns)), read: c.read,
		first: c.rows[0].Number, last: c.rows[len(c.rows)-1].Number, done: make(chan struct{}),
	}
	if c.beforeLast != nil {
		e.wait = append(e.wait, c.beforeLast) // nobody looked for numbers of that one
	}
	if c.meets {
		e.wait = append(e.wait, c.last)
	}
	e.copy = append(make([]byte, 0, max(c.size+c.size/16, 160*len(c.rows))), copyHeader...)
	for i := range c.rows {
		e.copy = c.rows[i].appendTuple(e.copy)
	}
	e.copy = append(e.copy, copyEnd...)
	c.size = len(e.copy)
	c.former, c.index, c.beforeLast, c.last, c.meets = c.index, c.former, c.last, e.done, false
	clear(c.index)
	clear(c.rows) // strings of this chunk
	c.rows, c.read, c.changed = c.rows[:0], 0, map[string]int64{}
	return e
}

// The binary format of COPY (PostgreSQL manual, COPY, "Binary Format"): the
// server need not parse numbers, times and escapes, and we need not box them.
const (
	copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyEnd    = "\xff\xff"
	copyNull   = "\xff\xff\xff\xff"
)

const copyImportSQL = `COPY pg_temp.import_rows (row_number, phone, match_key, country, nanp, language, time_zone, attributes,
	opt_in, opt_in_source, opt_in_at) FROM STDIN (FORMAT binary)`

// appendTuple writes the columns of copyImportSQL.
func (r *importRow) appendTuple(to []byte) []byte {
	to = binary.BigEndian.AppendUint16(to, 11)
	to = appendInt8(to, r.Number)
	for _, text := range [...]string{r.Phone, r.MatchKey, r.Country, r.NANP, plainText(r.Language), plainText(r.TimeZone)} {
		to = appendText(to, text)
	}
	to = binary.BigEndian.AppendUint32(to, uint32(len(r.document)+1))
	to = append(to, 1) // the version of jsonb
	to = append(to, r.document...)
	switch {
	case r.OptIn == nil:
		to = append(to, copyNull...)
	case *r.OptIn:
		to = append(to, 0, 0, 0, 1, 1)
	default:
		to = append(to, 0, 0, 0, 1, 0)
	}
	to = appendText(to, plainText(r.OptInSource))
	if r.OptInAt == nil {
		return append(to, copyNull...)
	}
	return appendInt8(to, r.OptInAt.UnixMicro()-postgresEpoch)
}

// postgresEpoch is 2000-01-01 in microseconds since 1970.
const postgresEpoch = 946_684_800_000_000

func appendInt8(to []byte, n int64) []byte {
	to = append(to, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(to, uint64(n))
}

func appendText(to []byte, text string) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(text)))
	return append(to, text...)
}

// appendObject writes attributes as a JSON object, without what Postgres cannot
// store. The order of the keys is the server's business.
func appendObject(to []byte, attributes map[string]string) []byte {
	to = append(to, '{')
	first := true
	for key, value := range attributes {
		if !first {
			to = append(to, ',')
		}
		first = false
		to = appendString(to, key)
		to = append(to, ':')
		to = appendString(to, value)
	}
	return append(to, '}')
}

// appendString writes a JSON string. What needs an escape is rare and left to
// encoding/json.
func appendString(to []byte, text string) []byte {
	for i := 0; i < len(text); i++ {
		if b := text[i]; b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf {
			quoted, err := json.Marshal(plainText(text))
			if err != nil {
				panic("postgres: a text cannot be written as JSON: " + err.Error()) // every valid text can
			}
			return append(to, quoted...)
		}
	}
	to = append(to, '"')
	to = append(to, text...)
	return append(to, '"')
}
