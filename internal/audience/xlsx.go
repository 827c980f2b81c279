package audience

import (
	"archive/zip"
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/xuri/excelize/v2"
)

const (
	// unzipLimit bounds a workbook unpacked, in bytes; a full sheet of a
	// million rows and thirty columns has about 1.5 GB of XML. It ends on disk,
	// not in memory.
	unzipLimit = 2 << 30
	// partLimit bounds the parts that the library keeps in memory (styles,
	// pictures), all together.
	partLimit = 256 << 20
	// inMemory is up to where a sheet or the string table stays in memory.
	inMemory = 4 << 20
)

// xlsxSource reads the first visible sheet of a workbook that has cells.
type xlsxSource struct {
	dir      string // temporary files: the copy of the input, unpacked sheets
	workbook *excelize.File
	rows     *excelize.Rows
	path     string // the workbook as a file
	sheet    string
	row      int
	done     bool
}

// openXLSX opens the workbook behind r, of which buffered holds what was
// already looked at. A regular file is opened by its name again; anything else
// is copied first.
func openXLSX(r io.Reader, buffered *bufio.Reader) (source, error) {
	dir, err := os.MkdirTemp("", "campaign-xlsx-")
	if err != nil {
		return nil, fmt.Errorf("make room for the workbook: %w", err)
	}
	s := &xlsxSource{dir: dir}
	if err := s.open(r, buffered); err != nil {
		_ = s.Close() // the first error is the one to tell
		return nil, err
	}
	return s, nil
}

func (s *xlsxSource) open(r io.Reader, buffered *bufio.Reader) (err error) {
	var known bool
	if s.path, known = regularFile(r); !known {
		if s.path, err = spool(s.dir, buffered); err != nil {
			return err
		}
	}
	if err := checkArchive(s.path); err != nil {
		return err
	}
	// The library is not meant for hostile files; what it panics over is a
	// damaged workbook.
	defer recoverDamage(&err)
	s.workbook, err = excelize.OpenFile(s.path, excelize.Options{
		UnzipSizeLimit: unzipLimit, UnzipXMLSizeLimit: inMemory, TmpDir: s.dir,
	})
	if err != nil {
		return fmt.Errorf("the workbook is damaged: open it in Excel and save it again (%w)", err)
	}
	if err := plainFormats(s.workbook); err != nil {
		return err
	}
	return s.openSheet()
}

// regularFile returns the name of the file that r reads, when it is one that
// can be opened again and r stood at its beginning.
func regularFile(r io.Reader) (string, bool) {
	file, ok := r.(*os.File)
	if !ok {
		return "", false
	}
	open, err := file.Stat()
	if err != nil || !open.Mode().IsRegular() {
		return "", false
	}
	named, err := os.Stat(file.Name())
	if err != nil || !os.SameFile(open, named) {
		return "", false
	}
	// What Open has looked at is at most the sample; a reader that had been
	// moved further before is copied from where it stands.
	if at, err := file.Seek(0, io.SeekCurrent); err != nil || at > sampleSize || at > open.Size() {
		return "", false
	}
	return file.Name(), true
}

func spool(dir string, r io.Reader) (string, error) {
	file, err := os.Create(filepath.Join(dir, "workbook.xlsx"))
	if err != nil {
		return "", fmt.Errorf("make room for the workbook: %w", err)
	}
	if _, err := io.Copy(file, r); err != nil {
		_ = file.Close()
		return "", fmt.Errorf("copy the workbook: %w", err)
	}
	return file.Name(), file.Close()
}

// checkArchive names archives that are no workbook, and refuses bombs before
// anything is unpacked.
func checkArchive(path string) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return errors.New("the file is a damaged zip archive: was it copied completely?")
	}
	defer archive.Close()

	var total, memory uint64
	parts := make(map[string]bool, len(archive.File))
	for _, part := range archive.File {
		name := partName(part)
		parts[name] = true
		total += part.UncompressedSize64
		if !strings.HasPrefix(name, "xl/worksheets/sheet") && name != "xl/sharedstrings.xml" {
			memory += part.UncompressedSize64
		}
		if total > unzipLimit || memory > partLimit {
			return fmt.Errorf("the workbook unpacks to more than we read (%d MiB): save the sheet as CSV", unzipLimit>>20)
		}
	}
	switch {
	case parts["xl/workbook.xml"]:
		return checkParts(archive)
	case parts["xl/workbook.bin"]:
		return errors.New("the file is a binary workbook (.xlsb): save it as .xlsx or CSV")
	case parts["word/document.xml"]:
		return errors.New("the file is not a spreadsheet but a Word document: give a CSV or XLSX file")
	case parts["ppt/presentation.xml"]:
		return errors.New("the file is not a spreadsheet but a presentation: give a CSV or XLSX file")
	case parts["mimetype"] && parts["content.xml"]:
		return errors.New("the file is an OpenDocument file: save it as .xlsx or CSV")
	case parts["index/document.iwa"] || parts["index.zip"]:
		return errors.New("the file is an Apple Numbers document: export it as .xlsx or CSV")
	}
	return errors.New("the file is not a spreadsheet but a zip archive without a workbook: unpack it, or give a CSV or XLSX file")
}

// openSheet finds the first visible sheet with a cell in it and stands before
// its first row.
func (s *xlsxSource) openSheet() error {
	for _, sheet := range s.workbook.GetSheetList() {
		if visible, err := s.workbook.GetSheetVisible(sheet); err != nil || !visible {
			continue
		}
		if !s.filled(sheet) {
			continue
		}
		rows, err := s.workbook.Rows(sheet)
		if err != nil {
			return fmt.Errorf("read sheet %q: %w", sheet, err)
		}
		s.rows, s.sheet = rows, sheet
		return nil
	}
	return errors.New("the file is empty: no visible sheet has cells")
}

// filled reports whether a sheet has a cell with a value. Sheets that are
// charts have no rows at all.
func (s *xlsxSource) filled(sheet string) bool {
	rows, err := s.workbook.Rows(sheet)
	if err != nil {
		return false
	}
	defer rows.Close()
	for rows.Next() {
		cells, err := rows.Columns()
		if err != nil || !blank(cells) {
			return true // a damaged sheet is reported when it is read
		}
	}
	return false
}

func (s *xlsxSource) next() (row Row, err error) {
	defer recoverDamage(&err)
	for !s.done {
		if !s.rows.Next() {
			s.done = true
			if err := s.rows.Error(); err != nil {
				return Row{}, fmt.Errorf("read sheet %q after row %d: %w", s.sheet, s.row, err)
			}
			break
		}
		if s.row++; s.row > excelize.TotalRows {
			// Row numbers jump as they like in a broken file, and the library
			// counts up to them.
			s.done = true
			return Row{}, fmt.Errorf("read sheet %q: more than %d rows, which Excel does not allow", s.sheet, excelize.TotalRows)
		}
		cells, err := s.rows.Columns()
		if err != nil {
			s.done = true
			return Row{}, fmt.Errorf("read sheet %q, row %d: %w", s.sheet, s.row, err)
		}
		if blank(cells) {
			continue
		}
		for i, cell := range cells {
			if len(cell) > maxCell {
				return Row{}, &RowError{Line: s.row, Reason: fmt.Sprintf("cell %d: longer than %d MiB", i+1, maxCell>>20)}
			}
		}
		return Row{Line: s.row, Cells: cells}, nil
	}
	return Row{}, io.EOF
}

// recoverDamage turns a panic of the library into an error.
func recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = errors.New("the workbook is damaged: open it in Excel and save it again")
	}
}

// checkParts makes sure that sheets and strings are whole before a row is
// read from them. The library takes broken XML for the end of a sheet, which
// would lose the rows behind it without a word, and answers with numbers for
// strings that it cannot find. Reading everything once more costs about half
// of what the library takes for it.
func checkParts(archive *zip.ReadCloser) error {
	for _, part := range archive.File {
		name := partName(part)
		sheet := strings.HasPrefix(name, "xl/worksheets/") && strings.HasSuffix(name, ".xml")
		if !sheet && name != "xl/sharedstrings.xml" {
			continue
		}
		if err := wellFormed(part); err != nil {
			return fmt.Errorf("the workbook is damaged in its part %s: open it in Excel and save it again", part.Name)
		}
	}
	return nil
}

func partName(part *zip.File) string {
	return strings.ToLower(strings.ReplaceAll(part.Name, "\\", "/"))
}

// wellFormed parses one part.
func wellFormed(part *zip.File) error {
	in, err := part.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	decoder := xml.NewDecoder(bufio.NewReaderSize(in, sampleSize))
	decoder.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (s *xlsxSource) Close() error {
	var errs []error
	if s.rows != nil {
		errs = append(errs, s.rows.Close())
	}
	if s.workbook != nil {
		errs = append(errs, s.workbook.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// noFormat is a number format that does not exist: the value is given as it
// is stored.
const noFormat = -1

// plainFormats rewrites the workbook's number formats, in memory, so that
// cells come back as data and not as a picture of it: dates in ISO form
// instead of 04-01-26; numbers with all their digits, so that a phone number
// stored as a number is 491512345678 and not 4.91512E+11 or 491,512,345,678.
// Formats whose result means the same everywhere (leading zeros, a fixed
// number of decimals, percent, a + in front) stay.
func plainFormats(workbook *excelize.File) error {
	iso := make(map[string]int)
	for _, code := range []string{"yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss"} {
		style, err := workbook.NewStyle(&excelize.Style{CustomNumFmt: &code})
		if err != nil {
			return fmt.Errorf("read the workbook's formats: %w", err)
		}
		iso[code] = *workbook.Styles.CellXfs.Xf[style].NumFmtID
	}
	codes := make(map[int]string)
	if workbook.Styles.NumFmts != nil {
		for _, format := range workbook.Styles.NumFmts.NumFmt {
			codes[format.NumFmtID] = format.FormatCode
		}
	}
	for i := range workbook.Styles.CellXfs.Xf {
		format := &workbook.Styles.CellXfs.Xf[i].NumFmtID
		if *format == nil {
			continue
		}
		code, custom := codes[**format]
		if !custom {
			code = builtinFormat(**format)
		}
		replacement := noFormat
		switch kind := dateKind(code); {
		case kind != "":
			replacement = iso[kind]
		case portableFormat.MatchString(code) || strings.Contains(code, "[h") || strings.Contains(code, "[m") || strings.Contains(code, "[s"):
			replacement = **format
		}
		*format = &replacement
	}
	return nil
}

// portableFormat is a number format without scientific notation, thousands
// separators, currencies or conditions.
var portableFormat = regexp.MustCompile(`^[0#+()\-\s\\"]*[0#](?:\.0+)?%?$`)

var (
	quotedText  = regexp.MustCompile(`"[^"]*"|\\.|_.|\*.`)
	bracketText = regexp.MustCompile(`\[[^\]]*\]`)
)

// dateKind returns the ISO format that shows what a date or time format
// shows, or nothing for other formats. Elapsed times ([h]:mm) are no dates.
func dateKind(code string) string {
	code = strings.ToLower(quotedText.ReplaceAllString(code, ""))
	code, _, _ = strings.Cut(code, ";") // the form for positive values
	if strings.Contains(code, "general") || strings.Contains(code, "[h") || strings.Contains(code, "[m") || strings.Contains(code, "[s") {
		return ""
	}
	code = bracketText.ReplaceAllString(code, "")
	clock := strings.ContainsAny(code, "hs")
	date := strings.ContainsAny(code, "yd") || strings.Contains(code, "m") && !clock
	switch {
	case date && clock:
		return "yyyy-mm-dd hh:mm:ss"
	case date:
		return "yyyy-mm-dd"
	case clock:
		return "hh:mm:ss"
	}
	return ""
}

// builtinFormat returns a format code that stands for one of the built-in
// formats, which files name by number only (ECMA-376 part 1, 18.8.30).
func builtinFormat(id int) string {
	switch {
	case id == 1:
		return "0"
	case id == 2:
		return "0.00"
	case id == 9:
		return "0%"
	case id == 10:
		return "0.00%"
	case id == 22:
		return "yyyy-mm-dd hh:mm:ss"
	case id >= 18 && id <= 21, id >= 32 && id <= 35, id == 45, id == 47, id == 55, id == 56:
		return "hh:mm:ss"
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
		return "yyyy-mm-dd"
	case id == 46:
		return "[h]:mm:ss"
	}
	return "General"
}
