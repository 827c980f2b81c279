package audience_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/campaignd/campaignd/internal/audience"
)

// workbook makes an XLSX file.
func workbook(t testing.TB, fill func(f *excelize.File)) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	fill(f)
	var out bytes.Buffer
	if err := f.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func setRow(t testing.TB, f *excelize.File, sheet, cell string, values ...any) {
	t.Helper()
	must(t, f.SetSheetRow(sheet, cell, &values))
}

func TestXLSXCellsAreData(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 4, 1, 9, 30, 0, 0, time.UTC)
	file := workbook(t, func(f *excelize.File) {
		setRow(t, f, "Sheet1", "A1", "plain", "scientific", "thousands", "zeros", "plus", "decimals", "percent", "date", "date and time", "time", "text", "bool", "custom date", "elapsed")
		setRow(t, f, "Sheet1", "A2", 491512345678, 491512345678, 491512345678, 1512345678, 491512345678, 12.5, 0.15, at, at, at, "0151", true, at, 1.5)
		custom := func(cell, code string) {
			style, err := f.NewStyle(&excelize.Style{CustomNumFmt: &code})
			must(t, err)
			must(t, f.SetCellStyle("Sheet1", cell, cell, style))
		}
		builtin := func(cell string, id int) {
			style, err := f.NewStyle(&excelize.Style{NumFmt: id})
			must(t, err)
			must(t, f.SetCellStyle("Sheet1", cell, cell, style))
		}
		builtin("B2", 11)
		builtin("C2", 3)
		custom("D2", "00000000000")
		custom("E2", `\+0`)
		builtin("F2", 2)
		builtin("G2", 9)
		builtin("H2", 14)
		builtin("I2", 22)
		builtin("J2", 20)
		custom("M2", `[$-407]d\.\ mmmm\ yyyy;@`)
		custom("N2", "[h]:mm")
	})
	_, rows := read(t, bytes.NewReader(file), "contacts.xlsx")
	want := []string{"2: 491512345678|491512345678|491512345678|01512345678|+491512345678|12.50|15%|2026-04-01|2026-04-01 09:30:00|09:30:00|0151|TRUE|2026-04-01|36:00"}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("got  %q\nwant %q", rows, want)
	}
}

func TestXLSXRowsAndSheets(t *testing.T) {
	t.Parallel()

	file := workbook(t, func(f *excelize.File) {
		must(t, f.SetSheetName("Sheet1", "hidden"))
		setRow(t, f, "hidden", "A1", "secret")
		for _, sheet := range []string{"empty", "contacts", "later"} {
			_, err := f.NewSheet(sheet)
			must(t, err)
		}
		f.SetActiveSheet(2)
		must(t, f.SetSheetVisible("hidden", false))
		setRow(t, f, "contacts", "A3", " phone ", "name")
		setRow(t, f, "contacts", "A4", "+4915123456789", "Ann")
		setRow(t, f, "contacts", "A7", "+4915123456780")
		setRow(t, f, "contacts", "A8", "+4915123456781", "Bob", "", "stray")
		setRow(t, f, "contacts", "B9", "Cid")
		setRow(t, f, "later", "A1", "other")
	})
	want := []string{"4: +4915123456789|Ann", "7: +4915123456780|",
		"line 8: the row has 4 cells, the header has 2: is a cell with the delimiter in it not quoted?", "9: |Cid"}

	t.Run("FromAPipe", func(t *testing.T) {
		t.Parallel()
		columns, rows := read(t, io.MultiReader(bytes.NewReader(file)), "-")
		if !reflect.DeepEqual(columns, []string{"phone", "name"}) || !reflect.DeepEqual(rows, want) {
			t.Errorf("columns %q, rows %q", columns, rows)
		}
	})
	t.Run("FromAFileUnderAnyName", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "contacts.csv")
		must(t, os.WriteFile(path, file, 0o600))
		in, err := os.Open(path)
		must(t, err)
		defer in.Close()
		columns, rows := read(t, in, path)
		if !reflect.DeepEqual(columns, []string{"phone", "name"}) || !reflect.DeepEqual(rows, want) {
			t.Errorf("columns %q, rows %q", columns, rows)
		}
	})
}

func TestXLSXLeavesNoTemporaryFiles(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	file := workbook(t, func(f *excelize.File) {
		setRow(t, f, "Sheet1", "A1", "phone")
		for i := range 60000 { // enough for the library to unpack to disk
			setRow(t, f, "Sheet1", fmt.Sprintf("A%d", i+2), fmt.Sprintf("+49151%08d", i), "some text that takes room")
		}
	})
	r, err := audience.Open(io.MultiReader(bytes.NewReader(file)), "")
	must(t, err)
	if entries, err := os.ReadDir(tmp); err != nil || len(entries) == 0 {
		t.Errorf("a pipe was not copied to %s: %v, %v", tmp, entries, err)
	}
	_, err = r.Next()
	if refused := new(audience.RowError); err == nil || !strings.Contains(err.Error(), "2 cells") {
		t.Errorf("%v, %v", err, refused)
	}
	must(t, r.Close())
	if _, err := audience.Open(io.MultiReader(bytes.NewReader(file[:len(file)/2])), ""); err == nil {
		t.Error("half a workbook was opened")
	}
	entries, err := os.ReadDir(tmp)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// archive makes a zip file of name, content pairs.
func archive(t testing.TB, parts ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(parts); i += 2 {
		part, err := w.Create(parts[i])
		must(t, err)
		_, err = io.WriteString(part, parts[i+1])
		must(t, err)
	}
	must(t, w.Close())
	return out.Bytes()
}

// replacePart rewrites one part of a workbook.
func replacePart(t testing.TB, file []byte, name string, change func(string) string) []byte {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	must(t, err)
	var parts []string
	found := false
	for _, part := range in.File {
		r, err := part.Open()
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		text := string(content)
		if part.Name == name {
			text, found = change(text), true
		}
		parts = append(parts, part.Name, text)
	}
	if !found {
		t.Fatalf("no part %s", name)
	}
	return archive(t, parts...)
}

func TestArchivesThatAreNoGoodWorkbooks(t *testing.T) {
	t.Parallel()

	good := workbook(t, func(f *excelize.File) {
		setRow(t, f, "Sheet1", "A1", "phone", "name")
		setRow(t, f, "Sheet1", "A2", "+4915123456789", "Ann")
		setRow(t, f, "Sheet1", "A3", "+4915123456780", "Bob")
	})
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"zip", archive(t, "a.txt", "x"), "zip archive without a workbook"},
		{"empty zip", archive(t), "zip archive without a workbook"},
		{"Word", archive(t, "word/document.xml", "x"), "a Word document"},
		{"OpenDocument", archive(t, "mimetype", "x", "content.xml", "x"), "OpenDocument file: save it as .xlsx or CSV"},
		{"xlsb", archive(t, "xl/workbook.bin", "x"), "binary workbook (.xlsb)"},
		{"no content", archive(t, "xl/workbook.xml", "x"), ""},
		{"empty sheets", workbook(t, func(*excelize.File) {}), "the file is empty"},
		{"half", good[:len(good)/2], "damaged zip archive"},
		{"broken in the middle", replacePart(t, good, "xl/worksheets/sheet1.xml", func(s string) string {
			return strings.Replace(s, `<row r="3"`, `<row r="3`, 1)
		}), "damaged in its part xl/worksheets/sheet1.xml"},
		{"cut off", replacePart(t, good, "xl/worksheets/sheet1.xml", func(s string) string {
			return s[:strings.Index(s, `<row r="3"`)]
		}), "damaged in its part xl/worksheets/sheet1.xml"},
		{"a bomb", archive(t, "xl/workbook.xml", "x", "xl/media/image1.png", strings.Repeat("\x00", 300<<20)), "unpacks to more than we read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			_, err := audience.Open(bytes.NewReader(c.file), "contacts.xlsx")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestXLSXMemoryIsBounded(t *testing.T) {
	var file bytes.Buffer
	f := excelize.NewFile()
	w, err := f.NewStreamWriter("Sheet1")
	must(t, err)
	const rows = 60000
	must(t, w.SetRow("A1", []any{"phone", "name", "city"}))
	for i := range rows {
		must(t, w.SetRow(fmt.Sprintf("A%d", i+2), []any{fmt.Sprintf("+49151%08d", i), fmt.Sprintf("Name %d", i), "Köln"}))
	}
	must(t, w.Flush())
	must(t, f.Write(&file))
	must(t, f.Close())

	r, err := audience.Open(&file, "")
	must(t, err)
	defer r.Close()
	var before, stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count := 0
	for {
		if _, err := r.Next(); err != nil {
			if err != io.EOF {
				t.Fatal(err)
			}
			break
		}
		if count++; count%20000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&stats)
			if grown := int64(stats.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
				t.Fatalf("%d rows hold %d KiB", count, grown>>10)
			}
		}
	}
	if count != rows {
		t.Fatalf("%d rows, want %d", count, rows)
	}
}

func FuzzOpenXLSX(f *testing.F) {
	good := workbook(f, func(w *excelize.File) {
		setRow(f, w, "Sheet1", "A1", "phone", "name")
		setRow(f, w, "Sheet1", "A2", 491512345678, "Ann")
	})
	f.Add(`<row r="2"><c r="A2"><v>491512345678</v></c></row>`, `<sst/>`)
	f.Add(`<row r="9999999"><c r="ZZZZ1" t="s" s="77"><v>-1</v></c></row>`, `<sst><si><t>x</t></si></sst>`)
	f.Add(`<row r="2000000000"><c r="A1"><v>1</v></c></row>`, ``)
	f.Add(`<row><c t="d"><v>x</v></c></row><row r="1"><c/></row>`, ``)
	f.Fuzz(func(t *testing.T, rows, texts string) {
		file := replacePart(t, good, "xl/worksheets/sheet1.xml", func(s string) string {
			return strings.Replace(s, "</sheetData>", rows+"</sheetData>", 1)
		})
		if texts != "" {
			file = replacePart(t, file, "xl/sharedStrings.xml", func(string) string { return texts })
		}
		drain(t, file)
	})
}
