package audience_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/phone"
)

func TestMapperReadsContacts(t *testing.T) {
	t.Parallel()

	columns := []string{"Phone", "OPT_IN", "opt_in_source", "opt_in_at", "Language", "time_zone", "first_name", "", "Stadt"}
	m, err := audience.NewMapper(columns, audience.Options{Country: "de", Map: map[string]string{"stadt": "city"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Contact(audience.Row{Line: 7, Cells: []string{"0151 23456789", "Yes", " web form ", "2026-03-01", "en-us", "Europe/Berlin", " Ann\x00\xff ", "", "Köln"}})
	if err != nil {
		t.Fatal(err)
	}
	yes, at := true, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	want := audience.Contact{
		Line: 7, MatchKey: "+4915123456789", Language: "en_US", TimeZone: "Europe/Berlin",
		Number: phone.Number{E164: "+4915123456789", Country: "DE", CallingCode: 49, TimeZones: []string{"Europe/Berlin"}},
		OptIn:  &yes, OptInSource: "web form", OptInAt: &at,
		Attributes: map[string]string{"first_name": "Ann", "city": "Köln"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}

	c, err = m.Contact(audience.Row{Line: 8, Cells: []string{"+55 85 9654-1234", "", "", "", "", "", "", "note", ""}})
	if err != nil {
		t.Fatal(err)
	}
	if c.OptIn != nil || c.OptInAt != nil || c.Language != "" || c.TimeZone != "" || c.MatchKey != "+5585996541234" {
		t.Errorf("empty cells became %+v", c)
	}
	if want := map[string]string{"first_name": "", "city": "", "column 8": "note"}; !reflect.DeepEqual(c.Attributes, want) {
		t.Errorf("attributes %q", c.Attributes)
	}
}

func TestMapperRefusesCells(t *testing.T) {
	t.Parallel()

	columns := []string{"Handy", "opt_in", "opt_in_at", "language", "time_zone"}
	m, err := audience.NewMapper(columns, audience.Options{PhoneColumn: "handy"})
	if err != nil {
		t.Fatal(err)
	}
	good := []string{"+4915123456789", "", "", "", ""}
	for _, c := range []struct {
		column        int
		value, reason string
	}{
		{0, "0151 23456789", "national number without a country: give --country"},
		{0, "", "the phone number is empty"},
		{0, "4.91512E+11", "scientific notation"},
		{1, "maybe", "neither yes nor no"},
		{1, "01.02.2026", "neither yes nor no"},
		{2, "03/04/2026", "not a time: write 2026-04-01"},
		{2, "0001-01-01", "not a time"},
		{3, "english", "not a language code"},
		{3, "qq", "not a language code"},
		{3, "en_XQ", "not a language code"},
		{3, "en; drop", "not a language code"},
		{4, "Berlin", "not a time zone: write its IANA name"},
		{4, "Local", "not a time zone"},
		{4, "../../etc/passwd", "not a time zone"},
		{4, "posixrules", "not a time zone"},
		{4, "Factory", "not a time zone"},
		{4, "localtime", "not a time zone"},
		{4, "right/Europe/Berlin", "not a time zone"},
	} {
		row := audience.Row{Line: 3, Cells: append([]string(nil), good...)}
		row.Cells[c.column] = c.value
		_, err := m.Contact(row)
		var refused *audience.RowError
		if !errors.As(err, &refused) {
			t.Errorf("%s %q: error %v", columns[c.column], c.value, err)
			continue
		}
		if refused.Line != 3 || refused.Column != columns[c.column] || refused.Value != c.value || !strings.Contains(refused.Reason, c.reason) {
			t.Errorf("%s %q: %+v", columns[c.column], c.value, refused)
		}
		if c.column == 0 && c.value != "" && strings.Contains(err.Error(), c.value) {
			t.Errorf("error %q tells the number", err)
		}
	}
}

func TestOptInForms(t *testing.T) {
	t.Parallel()

	m, err := audience.NewMapper([]string{"phone", "opt_in", "opt_in_at"}, audience.Options{})
	if err != nil {
		t.Fatal(err)
	}
	march := "2026-03-01 00:00:00 +0000 UTC"
	for _, c := range []struct{ optIn, optInAt, want string }{
		{"true", "", "yes at never"}, {"YES", "", "yes at never"}, {"1", "", "yes at never"}, {"X", "", "yes at never"}, {"TRUE", "", "yes at never"},
		{"false", "", "no at never"}, {"No", "", "no at never"}, {"0", "", "no at never"},
		{"", "", "unknown at never"}, {" ", "2026-03-01", "unknown at " + march},
		{"2026-03-01", "", "yes at " + march},
		{"2026-03-01T01:00:00+01:00", "", "yes at " + march},
		{"2026-03-01 00:00:00", "", "yes at " + march}, // as dates come from XLSX
		{"2025-01-01", "2026-03-01", "yes at " + march},
	} {
		contact, err := m.Contact(audience.Row{Line: 2, Cells: []string{"+4915123456789", c.optIn, c.optInAt}})
		if err != nil {
			t.Errorf("%q: %v", c.optIn, err)
			continue
		}
		got, at := "unknown", "never"
		if contact.OptIn != nil {
			got = map[bool]string{true: "yes", false: "no"}[*contact.OptIn]
		}
		if contact.OptInAt != nil {
			at = contact.OptInAt.String()
		}
		if got+" at "+at != c.want {
			t.Errorf("%q, %q: %s at %s, want %s", c.optIn, c.optInAt, got, at, c.want)
		}
	}
}

func TestLanguagesOfTemplatesAreAccepted(t *testing.T) {
	t.Parallel()

	m, err := audience.NewMapper([]string{"phone", "language"}, audience.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// What WhatsApp templates can be written in.
	for _, code := range strings.Fields(`af sq ar ar_EG ar_AE az be_BY bn bn_IN bg ca zh_CN zh_HK zh_TW hr cs da prs_AF nl nl_BE en en_GB en_US en_ZA et fil fi fr
		fr_CA ka de de_AT de_CH el gu ha he hi hu id ga it ja kn kk rw_RW ko ky_KG lo lv lt mk ms ml mr nb ps_AF fa pl pt_BR pt_PT pa ro ru sr si_LK sk sl es
		es_AR es_CL es_CO es_MX es_ES sw sv ta te th tr uk ur uz vi zu`) {
		for _, written := range []string{code, strings.ReplaceAll(code, "_", "-"), strings.ToLower(code)} {
			contact, err := m.Contact(audience.Row{Cells: []string{"+4915123456789", written}})
			if err != nil || contact.Language != code {
				t.Errorf("%s: %q, %v", written, contact.Language, err)
			}
		}
	}
}

func TestMapperOptions(t *testing.T) {
	t.Parallel()

	t.Run("AColumnMappedToAnImportColumnIsOne", func(t *testing.T) {
		t.Parallel()
		m, err := audience.NewMapper([]string{"Handy", "Sprache"}, audience.Options{Map: map[string]string{"Handy": "phone", "sprache": "Language"}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := m.Contact(audience.Row{Cells: []string{"+4915123456789", "de"}})
		if err != nil || c.Language != "de" || len(c.Attributes) != 0 {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("ThePhoneColumnGivenWins", func(t *testing.T) {
		t.Parallel()
		m, err := audience.NewMapper([]string{"phone", "whatsapp"}, audience.Options{PhoneColumn: "whatsapp"})
		if err != nil {
			t.Fatal(err)
		}
		c, err := m.Contact(audience.Row{Cells: []string{"office", "+4915123456789"}})
		if err != nil || c.Number.E164 != "+4915123456789" || c.Attributes["phone"] != "office" {
			t.Errorf("%+v, %v", c, err)
		}
	})
	for _, c := range []struct {
		name    string
		columns []string
		options audience.Options
		want    []string
	}{
		{"no phone column", []string{"name", "Telefon privat", ""}, audience.Options{},
			[]string{`no column is named "phone"`, `"name", "Telefon privat"`, `--phone-column "Telefon privat"`}},
		{"no hint", []string{"a", "b"}, audience.Options{}, []string{`the columns "a", "b"`, "--phone-column"}},
		{"no names at all", []string{"", ""}, audience.Options{}, []string{"no named columns"}},
		{"phone column not there", []string{"phone"}, audience.Options{PhoneColumn: "mobile"}, []string{"--phone-column", `no column "mobile"`, `"phone"`}},
		{"mapped column not there", []string{"phone"}, audience.Options{Map: map[string]string{"x": "y"}}, []string{"--map x", `no column "x"`}},
		{"two to one attribute", []string{"phone", "a", "b"}, audience.Options{Map: map[string]string{"a": "c", "b": "c"}}, []string{`"c"`, `"a" (column 2)`, `"b" (column 3)`}},
		{"mapped onto a column", []string{"phone", "a", "b"}, audience.Options{Map: map[string]string{"a": "b"}}, []string{`two columns are both "b"`}},
		{"two phones", []string{"phone", "Phone"}, audience.Options{}, []string{`two columns are both "phone"`}},
		{"case decides", []string{"phone", "a", "A"}, audience.Options{Map: map[string]string{"á": "x"}}, []string{`no column "á"`}},
		{"empty attribute", []string{"phone", "a"}, audience.Options{Map: map[string]string{"a": " "}}, []string{"has no name"}},
		{"bad country", []string{"phone"}, audience.Options{Country: "Germany"}, []string{"--country", "two letters"}},
		{"UK", []string{"phone"}, audience.Options{Country: "uk"}, []string{"GB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := audience.NewMapper(c.columns, c.options)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestErrorsFile(t *testing.T) {
	t.Parallel()

	path := filepath.Join(t.TempDir(), "contacts.csv.errors.csv")
	write := func(t *testing.T, refused ...*audience.RowError) *audience.ErrorsFile {
		t.Helper()
		f, err := audience.NewErrorsFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range refused {
			if err := f.Write(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return f
	}

	f := write(t, &audience.RowError{Line: 3, Column: "phone", Reason: "too short", Value: "+49 151"},
		&audience.RowError{Line: 9, Column: "=cmd()", Reason: "a, b", Value: "-1\n@"})
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "line,column,reason,value\n3,phone,too short,'+49 151\n9,'=cmd(),\"a, b\",\"'-1\n@\"\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if f.Count() != 2 || f.Path() != path {
		t.Errorf("count %d, path %q", f.Count(), f.Path())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if c, err := phone.Parse("'+49 151 23456789", ""); err != nil || c.E164 != "+4915123456789" {
		t.Errorf("a number copied from the file is not read again: %v", err)
	}

	if f := write(t); f.Path() != "" || f.Count() != 0 {
		t.Errorf("count %d, path %q without errors", f.Count(), f.Path())
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the errors of an earlier run are still there: %v", err)
	}

	if err := os.WriteFile(path, []byte("phone\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audience.NewErrorsFile(path); err == nil || !strings.Contains(err.Error(), "not an errors file") {
		t.Errorf("somebody's file would be lost: %v", err)
	}
}

func TestErrorsFileWithoutAPathCounts(t *testing.T) {
	t.Parallel()

	f, err := audience.NewErrorsFile("")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(&audience.RowError{Line: 1}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil || f.Count() != 1 || f.Path() != "" {
		t.Errorf("%v, count %d, path %q", err, f.Count(), f.Path())
	}
}

func Example() {
	file := "phone;first_name;opt_in\n0151 23456789;Ann;yes\n12;Bob;yes\n"
	r, err := audience.Open(strings.NewReader(file), "contacts.csv")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	m, err := audience.NewMapper(r.Columns(), audience.Options{Country: "DE"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		row, err := r.Next()
		if err != nil {
			break // io.EOF, or a *RowError to note before going on
		}
		c, err := m.Contact(row)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(c.Number.E164, c.Attributes["first_name"])
	}
	// Output:
	// +4915123456789 Ann
	// line 3, column "phone": too short for a phone number of DE (+49): is the area code missing?
}
