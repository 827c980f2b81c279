package audience_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/audience"
)

// read reads everything: rows as "line: a|b", refused rows as their errors.
func read(t testing.TB, in io.Reader, name string) (columns, got []string) {
	t.Helper()
	r, err := audience.Open(in, name)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer r.Close()
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Columns(), got
		}
		var refused *audience.RowError
		if errors.As(err, &refused) {
			got = append(got, refused.Error())
			continue
		}
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		got = append(got, fmt.Sprintf("%d: %s", row.Line, strings.Join(row.Cells, "|")))
	}
}

func utf16(t testing.TB, endian unicode.Endianness, bom unicode.BOMPolicy, text string) string {
	t.Helper()
	out, err := unicode.UTF16(endian, bom).NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCSVAsProgramsWriteIt(t *testing.T) {
	t.Parallel()

	ansi, err := charmap.Windows1252.NewEncoder().String("phone;name\r\n1;Müller\r\n2;Jérôme – 5 €\r\n")
	if err != nil {
		t.Fatal(err)
	}
	unicodeText := "phone\tname\r\n1\tMüller, Anna\r\n2\t\"say \"\"hi\"\"\"\r\n"
	cases := []struct {
		name, file string
		columns    []string
		rows       []string
	}{
		{"comma", "phone,name\n1,Ann\n2,Bob\n", []string{"phone", "name"}, []string{"2: 1|Ann", "3: 2|Bob"}},
		{"no last line end", "phone,name\n1,Ann", []string{"phone", "name"}, []string{"2: 1|Ann"}},
		{"semicolon and CRLF", "phone;name\r\n1;Ann, Bob\r\n", []string{"phone", "name"}, []string{"2: 1|Ann, Bob"}},
		{"lone CR", "phone,name\r1,Ann\r\r2,Bob\r", []string{"phone", "name"}, []string{"2: 1|Ann", "4: 2|Bob"}},
		{"bar", "phone|name\n1|Ann\n", []string{"phone", "name"}, []string{"2: 1|Ann"}},
		{"one column", "phone\n1\n\n2\n", []string{"phone"}, []string{"2: 1", "4: 2"}},
		{"delimiter within quotes of the header", "\"phone, mobile\";\"name, first\"\n1;2\n", []string{"phone, mobile", "name, first"}, []string{"2: 1|2"}},
		{"sep line", "sep=;\r\nphone;a,b,c,d\r\n1;2\r\n", []string{"phone", "a,b,c,d"}, []string{"3: 1|2"}},
		{"UTF-8 BOM", "\xEF\xBB\xBFphone,name\n1,Müller\n", []string{"phone", "name"}, []string{"2: 1|Müller"}},
		{"UTF-8 BOM and a broken byte", "\xEF\xBB\xBFphone,name\n1,Mü\xFFller\n", []string{"phone", "name"}, []string{"2: 1|Mü\uFFFDller"}},
		{"Windows-1252", ansi, []string{"phone", "name"}, []string{"2: 1|Müller", "3: 2|Jérôme – 5 €"}},
		{"UTF-16 LE as Excel saves it", utf16(t, unicode.LittleEndian, unicode.UseBOM, unicodeText), []string{"phone", "name"}, []string{"2: 1|Müller, Anna", "3: 2|say \"hi\""}},
		{"UTF-16 BE", utf16(t, unicode.BigEndian, unicode.UseBOM, unicodeText), []string{"phone", "name"}, []string{"2: 1|Müller, Anna", "3: 2|say \"hi\""}},
		{"UTF-16 LE without a mark", utf16(t, unicode.LittleEndian, unicode.IgnoreBOM, unicodeText), []string{"phone", "name"}, []string{"2: 1|Müller, Anna", "3: 2|say \"hi\""}},
		{"UTF-16 BE without a mark", utf16(t, unicode.BigEndian, unicode.IgnoreBOM, unicodeText), []string{"phone", "name"}, []string{"2: 1|Müller, Anna", "3: 2|say \"hi\""}},
		{"line end in quotes", "phone,note\r\n1,\"a\r\nb\"\r\n2,c\r\n", []string{"phone", "note"}, []string{"2: 1|a\nb", "4: 2|c"}},
		{"bare quotes", "phone,note\n1,5\" pipe\n2,\"Ann \"the boss\" Lee\"\n3,x\n", []string{"phone", "note"}, []string{"2: 1|5\" pipe", "3: 2|Ann \"the boss\" Lee", "4: 3|x"}},
		{"spaces behind a quote", "phone,note,c\n1,\"a, b\" ,d\n", []string{"phone", "note", "c"}, []string{"2: 1|a, b |d"}},
		{"empty lines and a blank start", "\n \nphone,name\n\n1,Ann\n,\n\n", []string{"phone", "name"}, []string{"5: 1|Ann"}},
		{"header only", "phone,name\n", []string{"phone", "name"}, nil},
		{"header trimmed", " phone ,\tname \n1,Ann\n", []string{"phone", "name"}, []string{"2: 1|Ann"}},
		{"ragged", "phone,name\n1\n2,Bob,,\n3,Cid,x\n4,Dee\n", []string{"phone", "name"}, []string{"2: 1|", "3: 2|Bob",
			"line 4: the row has 3 cells, the header has 2: is a cell with the delimiter in it not quoted?", "5: 4|Dee"}},
		{"column without a name", "phone,,name\n1,x,Ann\n", []string{"phone", "", "name"}, []string{"2: 1|x|Ann"}},
		{"end-of-file mark of DOS", "phone,name\n1,Ann\n\x1a", []string{"phone", "name"}, []string{"2: 1|Ann"}},
		{"a quote left open costs one row", "phone,name\n1,\"Ann\n2,Bob\n3,\"Cid\"\n4,Dee\n", []string{"phone", "name"},
			// Closed two lines later, by the quote behind Cid: RFC 4180 reads it so.
			[]string{"2: 1|Ann\n2,Bob\n3,\"Cid", "5: 4|Dee"}},
		{"a quote open to the end", "phone,name\n1,\"Ann\n2,Bob\n3,\"Cid\n4,Dee\n", []string{"phone", "name"},
			[]string{"line 2: cell 2: a quote is opened and not closed", "3: 2|Bob", "line 4: cell 2: a quote is opened and not closed", "5: 4|Dee"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			columns, rows := read(t, strings.NewReader(c.file), "contacts.csv")
			if !reflect.DeepEqual(columns, c.columns) {
				t.Errorf("columns %q, want %q", columns, c.columns)
			}
			if !reflect.DeepEqual(rows, c.rows) {
				t.Errorf("rows\n%q, want\n%q", rows, c.rows)
			}
		})
	}
}

func TestFilesThatAreNoSpreadsheets(t *testing.T) {
	t.Parallel()

	ole := "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1" + strings.Repeat("\x00", 100000)
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "the file is empty"},
		{"white space", " \r\n\n", "the file is empty"},
		{"only a mark", "\xEF\xBB\xBF", "the file is empty"},
		{"PNG", "\x89PNG\r\n\x1a\n\x00\x00", "not a spreadsheet but a PNG image"},
		{"PDF", "%PDF-1.7\n", "not a spreadsheet but a PDF"},
		{"gzip", "\x1F\x8B\x08\x00", "compressed with gzip: unpack it first"},
		{"old Excel", ole, "old Excel .xls: save it as .xlsx or CSV"},
		{"encrypted", ole + utf16(t, unicode.LittleEndian, unicode.IgnoreBOM, "EncryptedPackage") + ole, "encrypted workbook: remove its password"},
		{"broken zip", "PK\x03\x04 and no more", "damaged zip archive"},
		{"HTML", "<!DOCTYPE html><table>", "not a spreadsheet but an HTML page"},
		{"JSON", `[{"phone":"1"}]`, "not a spreadsheet but a JSON file"},
		{"binary", "\x7fELF\x02\x01\x01\x00\x00\x03\x04", "not a spreadsheet but a binary file"},
		{"two columns of one name", "phone,name,phone\n", `two columns are named "phone": columns 1 and 3`},
		{"quote open in the header", "phone,\"name\n1,2\n", "read the header: line 1: cell 2: a quote is opened and not closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			_, err := audience.Open(strings.NewReader(c.file), "contacts.xlsx")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestALongCellCostsItsRowOnly(t *testing.T) {
	t.Parallel()

	long := strings.Repeat("x", 3<<20)
	for _, file := range []string{
		"phone,name\n1," + long + "\n2,Bob\n",
		"phone,name\n1,\"" + long + "\"\n2,Bob\n",
		"phone,name\n1," + strings.Repeat(long, 5) + "\n2,Bob\n",
		"phone,name\n1" + strings.Repeat(",", 1<<20) + "\n2,Bob\n",
	} {
		_, rows := read(t, strings.NewReader(file), "")
		if len(rows) != 2 || !strings.HasPrefix(rows[0], "line 2: ") || rows[1] != "3: 2|Bob" {
			t.Errorf("got %.200q", rows)
		}
	}
}

func TestStrayQuotesTakeLinearTime(t *testing.T) {
	t.Parallel()

	// Searched for its closing quote to the end from every line, this would
	// read 400 GB.
	const lines = 40000
	file := "phone,name\n" + strings.Repeat("1,\"Ann and nothing closes it and so on\n", lines)
	_, rows := read(t, strings.NewReader(file), "")
	if len(rows) != lines {
		t.Fatalf("%d rows, want %d", len(rows), lines)
	}
	for i, row := range rows {
		if row != fmt.Sprintf("line %d: cell 2: a quote is opened and not closed", i+2) {
			t.Fatalf("row %d: %q", i, row)
		}
	}
}

// generated makes a CSV file of n rows without holding it.
type generated struct {
	n, next int
	pending []byte
}

func (g *generated) Read(p []byte) (int, error) {
	if len(g.pending) == 0 {
		if g.next > g.n {
			return 0, io.EOF
		}
		if g.next == 0 {
			g.pending = []byte("phone;name;city;language;time_zone\r\n")
		} else {
			g.pending = fmt.Appendf(nil, "+49151%08d;Müller %d;\"Köln; am Rhein\";de-DE;Europe/Berlin\r\n", g.next, g.next)
		}
		g.next++
	}
	n := copy(p, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const rows = 300000
	r, err := audience.Open(&generated{n: rows}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var before, stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count := 0
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if count++; count%100000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&stats)
			if grown := int64(stats.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
				t.Fatalf("%d rows hold %d KiB", count, grown>>10)
			}
		}
	}
	if count != rows {
		t.Fatalf("%d rows, want %d", count, rows)
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		delimiter := rapid.SampledFrom([]rune{',', ';', '\t', '|'}).Draw(t, "delimiter")
		encoding := rapid.SampledFrom([]string{"utf-8", "utf-8-bom", "utf-16le", "utf-16be", "windows-1252"}).Draw(t, "encoding")
		crlf := rapid.Bool().Draw(t, "crlf")
		alphabet := []rune("ab1 ,;\t|\"'üé\n=+-.")
		if encoding != "windows-1252" {
			alphabet = append(alphabet, '漢', '🎉', 'ё')
		}
		width := rapid.IntRange(2, 5).Draw(t, "width")
		header := make([]string, width)
		for i := range header {
			header[i] = fmt.Sprintf("c%d", i)
		}
		cells := rapid.SliceOfN(rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom(alphabet), 0, 12, -1), width, width), 0, 20).Draw(t, "rows")

		var file bytes.Buffer
		w := csv.NewWriter(&file)
		w.Comma, w.UseCRLF = delimiter, crlf
		if err := w.WriteAll(append([][]string{header}, cells...)); err != nil {
			t.Fatal(err)
		}
		text := file.String()
		switch encoding {
		case "utf-8-bom":
			text = "\xEF\xBB\xBF" + text
		case "utf-16le":
			text, _ = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text)
		case "utf-16be":
			text, _ = unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String(text)
		case "windows-1252":
			text, _ = charmap.Windows1252.NewEncoder().String(text)
		}
		r, err := audience.Open(strings.NewReader(text), "")
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(r.Columns(), header) {
			t.Fatalf("columns %q", r.Columns())
		}
		for _, want := range cells {
			if strings.TrimSpace(strings.Join(want, "")) == "" {
				continue // an empty row
			}
			row, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(row.Cells, want) {
				t.Fatalf("got %q, want %q", row.Cells, want)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("%v after the last row", err)
		}
	})
}

func TestAReadErrorIsNotTheEnd(t *testing.T) {
	t.Parallel()

	lost := errors.New("connection lost")
	r, err := audience.Open(io.MultiReader(&generated{n: 10000}, failing{lost}), "")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err = r.Next(); err != nil {
			break
		}
	}
	if !errors.Is(err, lost) {
		t.Errorf("ended with %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzOpenCSV(f *testing.F) {
	for _, seed := range []string{"phone,name\n1,\"a\n", "sep=;\n\"", "\xFF\xFEp\x00", "a\rb\r\"", "\xEF\xBB\xBF\"\"\"", "a,b\n\"x\"y\",\"\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if bytes.HasPrefix(file, []byte("PK")) {
			return
		}
		drain(t, file)
	})
}

// drain reads all of a file and checks what must hold for any.
func drain(t *testing.T, file []byte) {
	r, err := audience.Open(bytes.NewReader(file), "")
	if err != nil {
		return
	}
	defer r.Close()
	last := 0
	for range 10 * (len(file) + 10) {
		row, err := r.Next()
		var refused *audience.RowError
		switch {
		case errors.As(err, &refused):
			row.Line = refused.Line
		case err != nil:
			return // the end, or a workbook that cannot be read
		case len(row.Cells) != len(r.Columns()):
			t.Fatalf("%d cells in %d columns", len(row.Cells), len(r.Columns()))
		}
		if row.Line <= last {
			t.Fatalf("line %d after line %d", row.Line, last)
		}
		last = row.Line
	}
	t.Fatal("the file does not end")
}

func BenchmarkReadCSV(b *testing.B) {
	r, err := audience.Open(&generated{n: 1 << 40}, "")
	if err != nil {
		b.Fatal(err)
	}
	m, err := audience.NewMapper(r.Columns(), audience.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Rows", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("Contacts", func(b *testing.B) {
		b.ReportAllocs()
		row := audience.Row{Line: 2, Cells: []string{"+4915123456789", "Müller", "Köln", "de-DE", "Europe/Berlin"}}
		for b.Loop() {
			if _, err := m.Contact(row); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "contacts/s")
	})
}
