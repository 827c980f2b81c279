package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// page is what a command prints for a person, coloured where that is wanted.
type page struct {
	*bufio.Writer
	color bool
}

func newPage(w io.Writer, color bool) *page { return &page{bufio.NewWriter(w), color} }

// The colours, as terminals number them.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text that is going to be written to w, if w is a page that may
// be coloured. Inside a table it would shift the columns: paint the lines then.
func paint(w io.Writer, color, text string) string {
	if p, ok := w.(*page); !ok || !p.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// newTable aligns columns that are separated by tabs.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }

// row writes one line of a table. Tabs and line breaks in a cell become blanks.
func row(w io.Writer, cells ...any) {
	words := make([]string, len(cells))
	for i, cell := range cells {
		words[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' ' // nor may a stranger's text steer the terminal
			}
			return r
		}, fmt.Sprint(cell))
	}
	fmt.Fprintln(w, strings.TrimRight(strings.Join(words, "\t"), "\t"))
}

// when writes a time for a person, in the zone of this machine.
func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// count writes a number with separators: 1,234,567.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// plural gives "1 row" and "2 rows".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// dash shows an empty cell.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// rate writes messages per second; 0 is no limit.
func rate(r float64) string {
	if r == 0 {
		return "no limit"
	}
	return strconv.FormatFloat(r, 'f', -1, 64) + "/s"
}

// span writes a duration without empty parts: 24h, 1m30s.
func span(d time.Duration) string {
	s := d.Round(time.Millisecond).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
