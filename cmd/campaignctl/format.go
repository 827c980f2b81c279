package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

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
