package audience

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
)

// sampleSize is how much of a file decides over its kind, encoding, line ends
// and delimiter.
const sampleSize = 64 << 10

// kind is what the first bytes of a file say it is.
type kind string

const (
	kindText kind = "text"
	kindZip  kind = "a zip archive" // XLSX, or something else in a zip
	kindOLE  kind = "an OLE file"   // old .xls, or an encrypted .xlsx
	// Everything else is refused under its name.
	kindUnknown kind = "a binary file"
)

// magics are the file types that are likely to be picked by mistake.
var magics = []struct {
	prefix string
	kind   kind
}{
	{"PK\x03\x04", kindZip},
	{"PK\x05\x06", kindZip}, // an empty archive
	{"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", kindOLE},
	{"%PDF", "a PDF"},
	{"\x89PNG", "a PNG image"},
	{"\xFF\xD8\xFF", "a JPEG image"},
	{"GIF8", "a GIF image"},
	{"\x1F\x8B", "compressed with gzip"},
	{"BZh", "compressed with bzip2"},
	{"\xFD7zXZ", "compressed with xz"},
	{"\x28\xB5\x2F\xFD", "compressed with zstd"},
	{"7z\xBC\xAF", "a 7z archive"},
	{"Rar!", "a RAR archive"},
	{"SQLite format 3", "an SQLite database"},
	{"{\\rtf", "an RTF document"},
	{"\xFF\xFE\x00\x00", "UTF-32 text"},
	{"\x00\x00\xFE\xFF", "UTF-32 text"},
}

// markups are texts that are no tables of cells. Programs like to call an
// HTML page .xls.
var markups = []struct {
	prefix string
	kind   kind
}{
	{"<!doctype html", "an HTML page"},
	{"<html", "an HTML page"},
	{"<table", "an HTML page"},
	{"<?xml", "an XML file"},
	{"[{", "a JSON file"},
	{"{", "a JSON file"},
	{"begin:vcard", "a vCard file"},
}

func sniff(sample []byte) kind {
	for _, m := range magics {
		if bytes.HasPrefix(sample, []byte(m.prefix)) {
			return m.kind
		}
	}
	if wideOrder(sample) != narrow {
		return kindText
	}
	if bytes.IndexByte(sample, 0) >= 0 || controls(sample)*20 > len(sample) {
		return kindUnknown
	}
	start := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(sample[:min(len(sample), 256)], utf8BOM), " \t\r\n"))
	for _, m := range markups {
		if bytes.HasPrefix(start, []byte(m.prefix)) {
			return m.kind
		}
	}
	return kindText
}

// refusal is the error for a file that holds no rows.
func (k kind) refusal() error {
	if bytes.HasPrefix([]byte(k), []byte("compressed")) {
		return fmt.Errorf("the file is %s: unpack it first", string(k))
	}
	return fmt.Errorf("the file is not a spreadsheet but %s: give a CSV or XLSX file", string(k))
}

// controls counts bytes that no text contains.
func controls(sample []byte) int {
	n := 0
	for _, b := range sample {
		if b < ' ' && b != '\t' && b != '\n' && b != '\r' && b != '\f' && b != 0x1A {
			n++
		}
	}
	return n
}

// byteOrder is how wide the characters of a text are.
type byteOrder int

const (
	narrow byteOrder = iota
	littleEndian
	bigEndian
)

var utf8BOM = []byte("\xEF\xBB\xBF")

// wideOrder recognises UTF-16: by its byte order mark, or without one by NULs
// that stand in every other place only, as they do beside the ASCII that
// delimiters, digits and line ends are.
func wideOrder(sample []byte) byteOrder {
	switch {
	case bytes.HasPrefix(sample, []byte("\xFF\xFE")):
		return littleEndian
	case bytes.HasPrefix(sample, []byte("\xFE\xFF")):
		return bigEndian
	}
	var nul [2]int
	for i, b := range sample {
		if b == 0 {
			nul[i%2]++
		}
	}
	enough := len(sample) / 10
	switch {
	case nul[0] == 0 && nul[1] > 0 && nul[1] >= enough:
		return littleEndian
	case nul[1] == 0 && nul[0] > 0 && nul[0] >= enough:
		return bigEndian
	}
	return narrow
}

// explainOLE tells an encrypted .xlsx from an old .xls: both are OLE
// containers, and only the first has a stream of this name.
func explainOLE(r io.Reader) error {
	var stream []byte
	for _, unit := range utf16.Encode([]rune("EncryptedPackage")) {
		stream = append(stream, byte(unit), byte(unit>>8))
	}
	window := make([]byte, 0, 2*sampleSize)
	chunk := make([]byte, sampleSize)
	for {
		n, err := r.Read(chunk)
		window = append(window, chunk[:n]...)
		if bytes.Contains(window, stream) {
			return errors.New("the file is an encrypted workbook: remove its password in Excel and save it again")
		}
		if len(window) > len(stream) {
			window = append(window[:0], window[len(window)-len(stream):]...)
		}
		if errors.Is(err, io.EOF) {
			return errors.New("the file is an old Excel .xls: save it as .xlsx or CSV")
		}
		if err != nil {
			return fmt.Errorf("read the file: %w", err)
		}
	}
}
