package audience

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones in files must be known on machines without a zone database

	"golang.org/x/text/language"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
)

// The import columns with a meaning (design §9), matched without regard to
// case. Every other column is an attribute.
const (
	columnPhone       = "phone"
	columnOptIn       = "opt_in"
	columnOptInSource = "opt_in_source"
	columnOptInAt     = "opt_in_at"
	columnLanguage    = "language"
	columnTimeZone    = "time_zone"
)

var specialColumns = []string{columnPhone, columnOptIn, columnOptInSource, columnOptInAt, columnLanguage, columnTimeZone}

// Contact is what one row says.
type Contact struct {
	Line        int
	Number      phone.Number
	MatchKey    string            // the same for all forms of the number, see phone.MatchKey
	Language    string            // as templates write it, such as en_US; empty when not given
	TimeZone    string            // IANA name; empty when not given
	OptIn       *bool             // nil when the file says nothing
	OptInSource string            // where consent was given
	OptInAt     *time.Time        // when, in UTC; nil when not given
	Attributes  map[string]string // every other column, empty cells included
}

// Options say how columns become contacts.
type Options struct {
	PhoneColumn string            // name of the phone column; empty means "phone"
	Country     string            // ISO 3166-1 alpha-2, for national numbers; empty refuses them
	Map         map[string]string // column → attribute, or one of the import columns
}

// Mapper turns rows into contacts. It is safe for concurrent use.
type Mapper struct {
	country string
	names   []string       // header name per column, for messages
	special map[string]int // import column → index
	attrs   []attribute
	zones   sync.Map // time zone names that are known; loading one reads a file
	// languages are the few spellings of a file, normalised: reading one takes as
	// long as everything else of a row.
	languages sync.Map
}

type attribute struct {
	name    string
	index   int
	unnamed bool // no name in the header: kept only where cells are filled
}

// NewMapper checks the options against a header. Its errors name the column
// and the flag that helps.
func NewMapper(columns []string, o Options) (*Mapper, error) {
	m := &Mapper{special: make(map[string]int)}
	if o.Country != "" {
		country, err := phone.CheckCountry(o.Country)
		if err != nil {
			return nil, fmt.Errorf("--country: %w", err)
		}
		m.country = country
	}
	targets := make([]string, len(columns))
	for _, column := range slices.Sorted(maps.Keys(o.Map)) {
		index, err := findColumn(columns, column)
		if err != nil {
			return nil, fmt.Errorf("--map %s: %w", column, err)
		}
		target := cleanValue(o.Map[column])
		if target == "" {
			return nil, fmt.Errorf("--map %s: the attribute has no name", column)
		}
		if targets[index] != "" && targets[index] != target {
			return nil, fmt.Errorf("--map %s: the column is mapped twice, to %q and %q", column, targets[index], target)
		}
		targets[index] = target
	}
	phoneIndex := -1
	if o.PhoneColumn != "" {
		index, err := findColumn(columns, o.PhoneColumn)
		if err != nil {
			return nil, fmt.Errorf("--phone-column: %w", err)
		}
		phoneIndex = index
	}
	taken := make(map[string]int)
	for i, column := range columns {
		name := column
		if column == "" {
			name = "column " + strconv.Itoa(i+1)
			if slices.Contains(columns, name) {
				name += " (unnamed)"
			}
		}
		m.names = append(m.names, name)
		target, special := targets[i], ""
		if i == phoneIndex {
			special = columnPhone
		} else if special = specialName(target, column); special == columnPhone && phoneIndex >= 0 {
			special = "" // another column is the phone; this one is data
		}
		if target == "" {
			target = name
		}
		key := target // an attribute and an import column may share a name
		if special != "" {
			target, key = special, "\x00"+special
		}
		if first, ok := taken[key]; ok {
			return nil, fmt.Errorf("two columns are both %q: %q (column %d) and %q (column %d); rename one, or give one another name with --map", target, m.names[first], first+1, name, i+1)
		}
		taken[key] = i
		if special != "" {
			m.special[special] = i
		} else {
			m.attrs = append(m.attrs, attribute{name: target, index: i, unnamed: column == "" && targets[i] == ""})
		}
	}
	if _, ok := m.special[columnPhone]; !ok {
		return nil, noPhoneColumn(columns)
	}
	return m, nil
}

// specialName returns the import column that a column is, if any: the one it
// is mapped to, or without a mapping the one it is called.
func specialName(target, column string) string {
	if target == "" {
		target = column
	}
	for _, special := range specialColumns {
		if strings.EqualFold(target, special) {
			return special
		}
	}
	return ""
}

// findColumn finds a column by its exact name, or else without regard to case.
func findColumn(columns []string, name string) (int, error) {
	name = cleanValue(name)
	if i := slices.Index(columns, name); i >= 0 && name != "" {
		return i, nil
	}
	found := -1
	for i, column := range columns {
		if name == "" || !strings.EqualFold(column, name) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("the columns %q and %q differ only in case: write the name as it is", columns[found], column)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("the file has no column %q; it has %s", name, listColumns(columns))
	}
	return found, nil
}

func listColumns(columns []string) string {
	var names []string
	for _, column := range columns {
		if column == "" {
			continue
		}
		if len(names) == 30 {
			names = append(names, "…")
			break
		}
		names = append(names, strconv.Quote(shorten(column, 60)))
	}
	if len(names) == 0 {
		return "no named columns"
	}
	return "the columns " + strings.Join(names, ", ")
}

func shorten(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes]) + "…"
	}
	return s
}

// phoneWords are parts of column names that tell of phone numbers, most
// telling first.
var phoneWords = []string{"whatsapp", "msisdn", "phone", "mobile", "mobil", "handy", "telefon", "teléfono", "téléphone", "celular", "portable", "cell", "wa_id", "gsm", "tel", "nummer", "numero", "número", "number"}

func noPhoneColumn(columns []string) error {
	remedy := "name the one with the numbers with --phone-column"
	for _, word := range phoneWords {
		for _, column := range columns {
			if strings.Contains(strings.ToLower(column), word) {
				return fmt.Errorf("no column is named \"phone\"; the file has %s: %s, perhaps --phone-column %q", listColumns(columns), remedy, column)
			}
		}
	}
	return fmt.Errorf("no column is named \"phone\"; the file has %s: %s", listColumns(columns), remedy)
}

// Contact reads one row. The error is always a *RowError that names the
// column.
func (m *Mapper) Contact(row Row) (Contact, error) {
	c := Contact{Line: row.Line, Attributes: make(map[string]string, len(m.attrs))}
	refuse := func(special, reason string) (Contact, error) {
		index := m.special[special]
		return Contact{}, &RowError{Line: row.Line, Column: m.names[index], Reason: reason, Value: cell(row, index)}
	}
	number, err := phone.Parse(m.cell(row, columnPhone), m.country)
	if err != nil {
		return refuse(columnPhone, err.Error())
	}
	c.Number, c.MatchKey = number, phone.MatchKey(number.E164)

	if c.OptIn, c.OptInAt, err = parseOptIn(m.cell(row, columnOptIn)); err != nil {
		return refuse(columnOptIn, err.Error())
	}
	c.OptInSource = m.cell(row, columnOptInSource)
	if text := m.cell(row, columnOptInAt); text != "" {
		at, ok := parseTime(text)
		if !ok {
			return refuse(columnOptInAt, "not a time: write 2026-04-01 or 2026-04-01T09:00:00+02:00")
		}
		c.OptInAt = &at
	}
	if text := m.cell(row, columnLanguage); text != "" {
		if c.Language, err = m.language(text); err != nil {
			return refuse(columnLanguage, err.Error())
		}
	}
	if text := m.cell(row, columnTimeZone); text != "" {
		if !m.knownZone(text) {
			return refuse(columnTimeZone, "not a time zone: write its IANA name, such as Europe/Berlin")
		}
		c.TimeZone = text
	}
	for _, attribute := range m.attrs {
		value := cell(row, attribute.index)
		if value != "" || !attribute.unnamed {
			c.Attributes[attribute.name] = value
		}
	}
	return c, nil
}

func (m *Mapper) cell(row Row, special string) string {
	index, ok := m.special[special]
	if !ok {
		return ""
	}
	return cell(row, index)
}

func cell(row Row, index int) string {
	if index >= len(row.Cells) {
		return ""
	}
	return cleanValue(row.Cells[index])
}

// cleanValue removes what Postgres cannot store as text (NUL, invalid UTF-8)
// and white space around.
func cleanValue(s string) string {
	s = strings.ToValidUTF8(s, "")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.TrimSpace(strings.Trim(s, "\uFEFF"))
}

// parseOptIn reads a yes, a no, or the time at which yes was said.
func parseOptIn(text string) (*bool, *time.Time, error) {
	yes, no := true, false
	switch strings.ToLower(text) {
	case "":
		return nil, nil, nil
	case "true", "yes", "1", "x":
		return &yes, nil, nil
	case "false", "no", "0":
		return &no, nil, nil
	}
	if at, ok := parseTime(text); ok {
		return &yes, &at, nil
	}
	return nil, nil, errors.New("neither yes nor no: write true, yes, 1, x or the time of consent, or false, no, 0 or nothing")
}

// timeLayouts are the forms that mean the same to everybody. What names no
// zone is UTC.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 Z0700", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

func parseTime(text string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 1970 && at.Year() < 10000 {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

var languagePattern = regexp.MustCompile(`^([A-Za-z]{2,3})(?:[-_]([A-Za-z]{2}))?$`)

// parseLanguage normalises a template language: en-us becomes en_US
// (whatsapp-facts §0.16).
func parseLanguage(text string) (string, error) {
	refused := errors.New("not a language code: write it as the template does, such as de or en_US")
	parts := languagePattern.FindStringSubmatch(text)
	if parts == nil {
		return "", refused
	}
	code := strings.ToLower(parts[1])
	if _, err := language.ParseBase(code); err != nil {
		return "", refused
	}
	if parts[2] == "" {
		return code, nil
	}
	region := strings.ToUpper(parts[2])
	if parsed, err := language.ParseRegion(region); err != nil || !parsed.IsCountry() {
		return "", refused
	}
	return code + "_" + region, nil
}

// language is parseLanguage with a memory.
func (m *Mapper) language(text string) (string, error) {
	if known, ok := m.languages.Load(text); ok {
		return known.(string), nil
	}
	code, err := parseLanguage(text)
	if err == nil {
		m.languages.Store(strings.Clone(text), code)
	}
	return code, err
}

// knownZone accepts IANA names.
func (m *Mapper) knownZone(name string) bool {
	if _, ok := m.zones.Load(name); ok {
		return true
	}
	if _, ok := campaign.ZoneNamed(name); !ok {
		return false
	}
	m.zones.Store(name, struct{}{})
	return true
}
