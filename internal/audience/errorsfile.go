package audience

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// errorsHeader is the first line of an errors file, by which one is known
// again.
var errorsHeader = []string{"line", "column", "reason", "value"}

// ErrorsFile writes refused rows as CSV: line, column, reason and the refused
// cell. The file is created with the first error, readable by its owner only
// because it holds phone numbers.
type ErrorsFile struct {
	path  string
	file  *os.File
	out   *csv.Writer
	count int
}

// NewErrorsFile removes the errors file of an earlier run, so that what lies at
// path afterwards belongs to this run. A file at path that is not an errors
// file is an error and left alone. An empty path only counts.
func NewErrorsFile(path string) (*ErrorsFile, error) {
	if path != "" {
		if err := removeStale(path); err != nil {
			return nil, err
		}
	}
	return &ErrorsFile{path: path}, nil
}

func removeStale(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("errors file: %w", err)
	}
	if !info.Mode().IsRegular() {
		if info.IsDir() {
			return fmt.Errorf("errors file %s: is a directory", path)
		}
		return nil // a device or pipe
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("errors file: %w", err)
	}
	first, _, err := bufio.NewReaderSize(file, 256).ReadLine()
	_ = file.Close()
	if info.Size() > 0 && (err != nil || string(first) != strings.Join(errorsHeader, ",")) {
		return fmt.Errorf("errors file %s: exists and is not an errors file: move it, or choose another with --errors", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("errors file of an earlier run: %w", err)
	}
	return nil
}

// Write adds one refused row.
func (f *ErrorsFile) Write(e *RowError) error {
	f.count++
	if f.path == "" {
		return nil
	}
	if f.out == nil {
		file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("errors file: %w", err)
		}
		f.file, f.out = file, csv.NewWriter(bufio.NewWriterSize(file, 64<<10))
		if err := f.write(errorsHeader); err != nil {
			return err
		}
	}
	return f.write([]string{strconv.Itoa(e.Line), harmless(e.Column), harmless(e.Reason), harmless(e.Value)})
}

func (f *ErrorsFile) write(record []string) error {
	if err := f.out.Write(record); err != nil {
		return fmt.Errorf("errors file %s: %w", f.path, err)
	}
	return nil
}

// Count is the number of rows written.
func (f *ErrorsFile) Count() int { return f.count }

// Path is where the errors are, and empty when there are none.
func (f *ErrorsFile) Path() string {
	if f.out == nil {
		return ""
	}
	return f.path
}

// Close completes the file. Only after it is everything written.
func (f *ErrorsFile) Close() error {
	if f.file == nil {
		return nil
	}
	f.out.Flush()
	err := errors.Join(f.out.Error(), f.file.Close())
	f.file = nil
	if err != nil {
		return fmt.Errorf("errors file %s: %w", f.path, err)
	}
	return nil
}

// harmless keeps spreadsheets from running a cell as a formula. The leading
// apostrophe is what Excel itself uses for text, and phone.Parse drops it, so
// a number copied back from the file is read again.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
