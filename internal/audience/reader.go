// Package audience turns files into contacts: it reads CSV and XLSX row by
// row, whatever program wrote them, and says of every row either which contact
// it is or why it is refused.
//
// It must not know databases, campaigns in flight or the provider. Memory does
// not grow with the file: one row is held at a time.
package audience

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds on what a file may make us hold. They are far above what a contact
// list needs, and there so that a broken or hostile file ends in an error and
// not in an exhausted machine.
const (
	maxCell    = 1 << 20 // bytes in one cell
	maxRecord  = 8 << 20 // bytes in one row
	maxColumns = 16384   // what Excel allows
)

// Row is one row of data, with one cell per column.
type Row struct {
	// Line is the physical line on which the row begins, the first line of the
	// file being 1; in XLSX the row number that Excel shows.
	Line  int
	Cells []string
}

// RowError says why a row is refused. Reading goes on after it. Its message
// holds line, column and reason; the cell itself is only in Value, because it
// may be a phone number.
type RowError struct {
	Line   int
	Column string // name of the column; empty when the whole row is meant
	Reason string
	Value  string // the refused cell, for the operator's errors file only
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d, column %q: %s", e.Line, e.Column, e.Reason)
}

// source gives the raw rows of one format, header included, empty ones left
// out. A *RowError concerns one row; after it next may be called again.
type source interface {
	next() (Row, error)
	Close() error
}

// Reader reads a contact file. It is not safe for concurrent use.
type Reader struct {
	source  source
	columns []string
}

// Open reads the header of a CSV or XLSX file. The content decides what it is;
// name is only a hint (".tsv"). Text may be UTF-8, UTF-16 or Windows-1252, with
// any of the delimiters comma, semicolon, tab and bar. XLSX needs random
// access: what is not a regular file is copied to a temporary one, which Close
// removes.
//
// Errors are for the person who chose the file and name the remedy.
func Open(r io.Reader, name string) (*Reader, error) {
	buffered := bufio.NewReaderSize(r, sampleSize)
	sample, err := buffered.Peek(sampleSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	var src source
	switch kind := sniff(sample); kind {
	case kindZip:
		src, err = openXLSX(r, buffered)
	case kindOLE:
		err = explainOLE(buffered)
	case kindText:
		src, err = newCSVSource(buffered, sample, name)
	default:
		err = kind.refusal()
	}
	if err != nil {
		return nil, err
	}
	reader := &Reader{source: src}
	if err := reader.readHeader(); err != nil {
		_ = src.Close() // the header's error is the one to tell
		return nil, err
	}
	return reader, nil
}

// Columns returns the names in the header, trimmed. A column without a name
// is an empty string.
func (r *Reader) Columns() []string { return r.columns }

// Next returns the next row, padded to the header's width. It returns io.EOF
// after the last row, and a *RowError for a row that is refused, after which it
// may be called again. Any other error ends the reading.
func (r *Reader) Next() (Row, error) {
	row, err := r.source.next()
	if err != nil {
		return Row{}, err
	}
	for i := len(r.columns); i < len(row.Cells); i++ {
		if strings.TrimSpace(row.Cells[i]) != "" {
			return Row{}, &RowError{
				Line:   row.Line,
				Reason: fmt.Sprintf("the row has %d cells, the header has %d: is a cell with the delimiter in it not quoted?", len(row.Cells), len(r.columns)),
				Value:  row.Cells[i],
			}
		}
	}
	if len(row.Cells) > len(r.columns) {
		row.Cells = row.Cells[:len(r.columns)]
	}
	for len(row.Cells) < len(r.columns) {
		row.Cells = append(row.Cells, "")
	}
	return row, nil
}

// Close releases what Open acquired, temporary files included. It does not
// close the reader given to Open.
func (r *Reader) Close() error { return r.source.Close() }

func (r *Reader) readHeader() error {
	header, err := r.source.next()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	}
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	seen := make(map[string]int, len(header.Cells))
	for i, cell := range header.Cells {
		name := cleanValue(cell)
		r.columns = append(r.columns, name)
		if name == "" {
			continue
		}
		if first, ok := seen[name]; ok {
			return fmt.Errorf("two columns are named %q: columns %d and %d", name, first, i+1)
		}
		seen[name] = i + 1
	}
	return nil
}
