package audience

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// csvSource reads delimited text. encoding/csv is not used for reading: it
// gives up the rest of the file at a stray quote, holds a cell of any size, and
// knows no lone CR.
type csvSource struct {
	in        *bufio.Reader
	delimiter byte
	lineEnd   byte // '\n', or '\r' in a file without any '\n'
	strict    bool // a byte order mark says UTF-8, so nothing is guessed

	parser parser

	line  int        // physical lines taken so far
	ahead []textLine // lines read while looking for a closing quote, to be read again

	// unclosed is the last line up to which a search for a closing quote found
	// none. Until it is passed, further stray quotes are refused at once:
	// searching again from each would take the square of the time.
	unclosed int
	done     bool
}

// textLine is a physical line without its end.
type textLine struct {
	text    []byte
	tooLong bool // beyond maxRecord; the rest was dropped
}

// newCSVSource decides over encoding, line ends and delimiter from the start
// of the text.
//
// Encoding: UTF-16 is decoded as a stream. Otherwise cells are split first
// (delimiters are ASCII in UTF-8 and Windows-1252 alike) and each cell that is
// not valid UTF-8 is read as Windows-1252, Excel's "CSV". Deciding by cell
// needs no look at the whole file, keeps Müller in row 900,000, and serves
// files pasted together from both; real Windows-1252 text that is also valid
// UTF-8 beyond ASCII is next to unknown.
func newCSVSource(in *bufio.Reader, sample []byte, name string) (*csvSource, error) {
	s := &csvSource{in: in}
	switch order := wideOrder(sample); {
	case order != narrow:
		endian := unicode.LittleEndian
		if order == bigEndian {
			endian = unicode.BigEndian
		}
		s.in = bufio.NewReaderSize(transform.NewReader(in, unicode.UTF16(endian, unicode.UseBOM).NewDecoder()), sampleSize)
		s.strict = true
	case bytes.HasPrefix(sample, utf8BOM):
		if _, err := in.Discard(len(utf8BOM)); err != nil {
			return nil, fmt.Errorf("read the file: %w", err)
		}
		s.strict = true
	}
	text, err := s.in.Peek(sampleSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	s.lineEnd = '\n'
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') >= 0 {
		s.lineEnd = '\r'
	}
	if err := s.chooseDelimiter(name); err != nil {
		return nil, err
	}
	return s, nil
}

// chooseDelimiter obeys Excel's first line "sep=;" and otherwise counts in the
// header, outside quotes.
func (s *csvSource) chooseDelimiter(name string) error {
	for {
		line, err := s.readLine()
		if errors.Is(err, io.EOF) {
			s.delimiter = ','
			return nil
		}
		if err != nil {
			return err
		}
		text := strings.Trim(string(line.text), " \"")
		if sep, ok := cutPrefixFold(text, "sep="); ok && s.line == 1 && len(sep) == 1 {
			s.delimiter = sep[0]
			return nil
		}
		if len(bytes.TrimSpace(line.text)) == 0 {
			continue
		}
		s.delimiter = likelyDelimiter(line.text, name)
		s.ahead = append([]textLine{line}, s.ahead...)
		s.line--
		return nil
	}
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// likelyDelimiter counts the candidates outside quotes; the first wins a tie.
func likelyDelimiter(header []byte, name string) byte {
	candidates := []byte(",;\t|")
	if ext := strings.ToLower(filepath.Ext(name)); ext == ".tsv" || ext == ".tab" {
		candidates = []byte("\t,;|")
	}
	counts := make(map[byte]int, len(candidates))
	quoted := false
	for _, b := range header {
		if b == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[b]++
		}
	}
	best := candidates[0]
	for _, candidate := range candidates[1:] {
		if counts[candidate] > counts[best] {
			best = candidate
		}
	}
	return best
}

func (s *csvSource) Close() error { return nil }

// next returns the next row that has any character in it.
func (s *csvSource) next() (Row, error) {
	for {
		line, err := s.readLine()
		if err != nil {
			return Row{}, err
		}
		if len(bytes.TrimSpace(bytes.Trim(line.text, "\x00\x1a"))) == 0 && !line.tooLong {
			continue
		}
		row, err := s.record(line)
		if err == nil && blank(row.Cells) {
			continue // only delimiters, as Excel writes below a shortened table
		}
		return row, err
	}
}

func blank(cells []string) bool {
	for _, cell := range cells {
		if strings.TrimSpace(cell) != "" {
			return false
		}
	}
	return true
}

// record parses the row that begins with the given line, and takes further
// lines while a quote is open. A quote that nobody closes refuses its own line
// only: the lines behind it are read again as rows.
func (s *csvSource) record(first textLine) (Row, error) {
	start := s.line
	refuse := func(column int, reason string) error {
		return &RowError{Line: start, Reason: fmt.Sprintf("cell %d: %s", column, reason)}
	}
	p := &s.parser
	p.reset(s.delimiter)
	var taken []textLine
	for line := first; ; {
		if line.tooLong {
			s.giveBack(taken)
			return Row{}, &RowError{Line: start, Reason: fmt.Sprintf("the row is longer than %d MiB", maxRecord>>20)}
		}
		p.feed(line.text)
		switch {
		case p.cellTooLong && len(taken) == 0:
			return Row{}, refuse(len(p.ends)+1, fmt.Sprintf("longer than %d MiB", maxCell>>20))
		case !p.quoted && len(p.ends) > maxColumns:
			return Row{}, &RowError{Line: start, Reason: fmt.Sprintf("the row has more than %d cells", maxColumns)}
		case !p.quoted && !p.cellTooLong:
			return Row{Line: start, Cells: s.decode(p)}, nil
		}
		// A quote is open at the end of the line.
		if p.cellTooLong || len(p.text) > maxRecord || start < s.unclosed {
			s.unclosed = max(s.unclosed, s.line)
			s.giveBack(taken)
			return Row{}, refuse(len(p.ends)+1, "a quote is opened and not closed")
		}
		next, err := s.readLine()
		if errors.Is(err, io.EOF) {
			s.unclosed = s.line + 1
			s.giveBack(taken)
			return Row{}, refuse(len(p.ends)+1, "a quote is opened and not closed")
		}
		if err != nil {
			return Row{}, err
		}
		taken = append(taken, next)
		p.newline()
		line = next
	}
}

// giveBack makes lines to be read again.
func (s *csvSource) giveBack(lines []textLine) {
	if len(lines) == 0 {
		return // appending would copy all that is ahead
	}
	s.ahead = append(lines, s.ahead...)
	s.line -= len(lines)
}

// readLine returns the next physical line. What it returns stays valid.
func (s *csvSource) readLine() (textLine, error) {
	if len(s.ahead) > 0 {
		line := s.ahead[0]
		s.ahead = s.ahead[1:]
		s.line++
		return line, nil
	}
	if s.done {
		return textLine{}, io.EOF
	}
	var line textLine
	for {
		chunk, err := s.in.ReadSlice(s.lineEnd)
		ended := err == nil
		if ended {
			chunk = chunk[:len(chunk)-1]
		}
		if len(line.text)+len(chunk) > maxRecord {
			line.tooLong = true
		} else {
			line.text = append(line.text, chunk...)
		}
		switch {
		case ended:
			s.line++
			line.text = bytes.TrimSuffix(line.text, []byte{'\r'})
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			s.done = true
			if len(line.text) == 0 && !line.tooLong {
				return textLine{}, io.EOF
			}
			s.line++
			return line, nil
		default:
			return textLine{}, fmt.Errorf("read line %d: %w", s.line+1, err)
		}
	}
}

// decode turns the bytes of cells into UTF-8.
func (s *csvSource) decode(p *parser) []string {
	decoded := make([]string, len(p.ends))
	start := 0
	for i, end := range p.ends {
		cell := p.text[start:end]
		start = end
		switch {
		case utf8.Valid(cell):
			decoded[i] = string(cell)
		case s.strict:
			decoded[i] = strings.ToValidUTF8(string(cell), "\uFFFD")
		default:
			text, err := charmap.Windows1252.NewDecoder().Bytes(cell)
			if err != nil { // it maps every byte, so this is a change in the library
				text = bytes.ToValidUTF8(cell, []byte("\uFFFD"))
			}
			decoded[i] = string(text)
		}
	}
	return decoded
}

// parser splits the lines of one row into cells. A quote counts only at the
// start of a cell; elsewhere, and before anything but a delimiter or the end,
// it is an ordinary character, because people type inches and nicknames.
type parser struct {
	delimiter   byte
	text        []byte // the cells of the row, one behind the other
	ends        []int  // where each complete cell ends in text
	quoted      bool   // inside quotes at the end of the last line fed
	cellTooLong bool
}

// reset prepares for a row, keeping memory of an ordinary size.
func (p *parser) reset(delimiter byte) {
	if cap(p.text) > maxCell {
		p.text = nil
	}
	*p = parser{delimiter: delimiter, text: p.text[:0], ends: p.ends[:0]}
}

func (p *parser) newline() { p.append('\n') }

func (p *parser) append(b byte) {
	start := 0
	if n := len(p.ends); n > 0 {
		start = p.ends[n-1]
	}
	if len(p.text)-start >= maxCell {
		p.cellTooLong = true
		return
	}
	p.text = append(p.text, b)
}

func (p *parser) endCell() {
	if len(p.ends) <= maxColumns { // one more than allowed tells that there are too many
		p.ends = append(p.ends, len(p.text))
	}
}

// feed parses one line. Unless a quote is left open, the row ends with it.
func (p *parser) feed(line []byte) {
	start := !p.quoted // at the start of a cell
	for i := 0; i < len(line) && !p.cellTooLong; i++ {
		b := line[i]
		switch {
		case p.quoted && b != '"':
			p.append(b)
		case p.quoted && i+1 < len(line) && line[i+1] == '"':
			p.append('"')
			i++
		case p.quoted && p.closes(line[i+1:]):
			p.quoted = false
		case b == p.delimiter && !p.quoted:
			p.endCell()
			start = true
			continue
		case b == '"' && start:
			p.quoted = true
		default:
			p.append(b)
		}
		start = false
	}
	if !p.quoted && !p.cellTooLong {
		p.endCell()
	}
}

// closes reports whether a quote followed by rest ends its cell. Spaces
// between quote and delimiter are forgiven.
func (p *parser) closes(rest []byte) bool {
	for _, b := range rest {
		if b == p.delimiter {
			return true
		}
		if b != ' ' {
			return false
		}
	}
	return true
}
