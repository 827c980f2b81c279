package campaign

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"time"
)

// ExportRow is one message of "campaign export"; the names and their order are
// the contract of design §11.
type ExportRow struct {
	MessageID   MessageID    `json:"message_id"`
	Phone       string       `json:"phone"`
	State       MessageState `json:"state"`
	Reason      string       `json:"reason"`
	ErrorCode   string       `json:"error_code"`
	ProviderID  string       `json:"provider_id"`
	Attempts    int          `json:"attempts"` // POSTs: claims that were not released
	CreatedAt   time.Time    `json:"created_at"`
	SentAt      *time.Time   `json:"sent_at"`
	DeliveredAt *time.Time   `json:"delivered_at"`
	ReadAt      *time.Time   `json:"read_at"`
	FailedAt    *time.Time   `json:"failed_at"`
}

// exportColumns are the columns of a CSV export.
var exportColumns = [...]string{"message_id", "phone", "state", "reason", "error_code", "provider_id", "attempts",
	"created_at", "sent_at", "delivered_at", "read_at", "failed_at"}

// ExportWriter writes messages one by one. Flush must be called at the end; it
// returns the first error of all writes.
type ExportWriter interface {
	Write(ExportRow) error
	Flush() error
}

// NewCSVExport writes a header and one line per message. phone is the bare
// number; any other text cell that a spreadsheet would run as a formula is made
// harmless. Times are RFC 3339 in UTC.
func NewCSVExport(w io.Writer) ExportWriter {
	e := &csvExport{out: csv.NewWriter(w)}
	e.err = e.out.Write(exportColumns[:])
	return e
}

type csvExport struct {
	out    *csv.Writer
	record [len(exportColumns)]string
	err    error // of the header
}

func (e *csvExport) Write(r ExportRow) error {
	if e.err != nil {
		return e.err
	}
	e.record = [...]string{
		strconv.FormatInt(int64(r.MessageID), 10), r.Phone,
		SafeCell(string(r.State)), SafeCell(r.Reason), SafeCell(r.ErrorCode), SafeCell(r.ProviderID), strconv.Itoa(r.Attempts),
		exportTime(&r.CreatedAt), exportTime(r.SentAt), exportTime(r.DeliveredAt), exportTime(r.ReadAt), exportTime(r.FailedAt),
	}
	return e.out.Write(e.record[:])
}

func (e *csvExport) Flush() error {
	e.out.Flush()
	return e.out.Error()
}

func exportTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// SafeCell makes a text harmless for spreadsheets, which run a cell that begins
// with = + - or @ (also behind a tab or CR) as a formula. The apostrophe is what
// they themselves write before a text.
func SafeCell(text string) string {
	if text == "" {
		return ""
	}
	switch text[0] {
	case '=', '+', '-', '@', '\t', '\r':
		return "'" + text
	}
	return text
}

// NewJSONLExport writes one JSON object per message and line, values as they
// are: no spreadsheet reads it.
func NewJSONLExport(w io.Writer) ExportWriter {
	buffered := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	return &jsonlExport{out: buffered, encoder: encoder}
}

type jsonlExport struct {
	out     *bufio.Writer
	encoder *json.Encoder
}

func (e *jsonlExport) Write(r ExportRow) error {
	r.CreatedAt = r.CreatedAt.UTC()
	for _, t := range []**time.Time{&r.SentAt, &r.DeliveredAt, &r.ReadAt, &r.FailedAt} {
		if *t != nil {
			utc := (*t).UTC()
			*t = &utc
		}
	}
	return e.encoder.Encode(r)
}

func (e *jsonlExport) Flush() error { return e.out.Flush() }
