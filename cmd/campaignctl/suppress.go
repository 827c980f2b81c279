package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
)

func suppressCommand(p *program) *cli.Command {
	block := func(usage string) cli.Flag { return &cli.StringSliceFlag{Name: "block", Usage: usage} }
	return &cli.Command{
		Name:  "suppress",
		Usage: "keep people and countries from being written to",
		Description: `Whoever is on the suppression list gets nothing, marketing or not, from any campaign
or service. An opt-out ("contact opt-out") stops marketing only.`,
		Subcommands: []*cli.Command{
			{
				Name:      "add",
				Usage:     "put people and countries on the list",
				ArgsUsage: "[NUMBER…]",
				Description: text(
					`When the command returns, no further message to them is handed to the provider,
whatever is queued. All forms of a number count (Brazil, Mexico, Argentina). "-"
reads numbers from standard input, one a line.`,
					examples(`suppress add +491701234567 --reason "asked by letter"`, `suppress add --block RU --block KP`)),
				Flags: []cli.Flag{block("a whole country, as `CODE` such as RU; may be repeated"),
					&cli.StringFlag{Name: "reason", Usage: "`TEXT` that the list keeps"}, countryFlag(), jsonFlag()},
				Action: func(c *cli.Context) error { return p.suppress(c, true) },
			},
			{
				Name:      "remove",
				Usage:     "take people and countries from the list",
				ArgsUsage: "[NUMBER…]",
				Description: text(`Also lets somebody be written to again who was forgotten. An opt-out stays.`,
					examples(`suppress remove +491701234567`, `suppress remove --block RU`)),
				Flags:  []cli.Flag{block("a whole country, as `CODE` such as RU; may be repeated"), countryFlag(), jsonFlag()},
				Action: func(c *cli.Context) error { return p.suppress(c, false) },
			},
			{
				Name:  "list",
				Usage: "show or export the list",
				Description: text(
					`Shows countries and people with the reason and the time. People who were forgotten
stand on the list without a number: they are counted. What --format csv writes,
"suppress import" reads.`,
					examples(`suppress list`, `suppress list --format csv > suppressed.csv`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "format", Value: "text", Usage: "`text|csv|jsonl`"},
					jsonFlag(),
				},
				Action: p.suppressList,
			},
			{
				Name:      "import",
				Usage:     "put the people of a file on the list",
				ArgsUsage: "FILE|-",
				Description: text(
					`Reads a CSV or XLSX file, or standard input for "-". Columns: "phone", and where
there are any "country" (a row without a phone blocks the country) and "reason".
A row that cannot be used is refused and written, with line, column and reason, to
FILE.errors.csv; all others are stored. Imported twice it changes nothing.`,
					`Exit codes: 0 when every row was stored, 6 when rows were refused.`,
					examples(`suppress import robinson.csv --country DE --reason "Robinson list"`)),
				Flags: []cli.Flag{
					countryFlag(),
					&cli.StringFlag{Name: "phone-column", Usage: "the `COLUMN` that holds the number (default: phone)"},
					&cli.StringFlag{Name: "reason", Usage: "`TEXT` for rows that give none"},
					&cli.StringFlag{Name: "errors", Usage: "write refused rows to `PATH` (default: FILE.errors.csv, of - ./suppressions.errors.csv)"},
					jsonFlag(),
				},
				Action: p.suppressImport,
			},
			wordsCommand(p),
		},
	}
}

type suppressedView struct {
	Entries int   `json:"entries"`
	Changed int64 `json:"changed"`
}

func (p *program) suppress(c *cli.Context, add bool) error {
	var entries []campaign.Suppression
	if c.NArg() > 0 {
		for _, arg := range c.Args().Slice() {
			if region, err := phone.CheckCountry(arg); err == nil {
				return usage(fmt.Sprintf("--block %s names the whole country", region), "%q is no phone number", arg)
			}
		}
		people, err := p.people(c)
		if err != nil {
			return err
		}
		for _, who := range people {
			entries = append(entries, campaign.Suppression{Phone: who.Phone, MatchKey: who.MatchKey, Reason: c.String("reason")})
		}
	}
	for _, code := range c.StringSlice("block") {
		region, err := phone.CheckCountry(code)
		if err != nil {
			return usage("two letters, as in --block RU", "--block: %s", err)
		}
		entries = append(entries, campaign.Suppression{Country: region, Reason: c.String("reason")})
	}
	if len(entries) == 0 {
		return usage("give a number, or a country with --block CODE", "there is nobody to name")
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	change, words := s.Unsuppress, "taken from the suppression list"
	if add {
		change, words = s.Suppress, "put on the suppression list"
	}
	changed, err := change(c.Context, entries)
	if err != nil {
		return err
	}
	return p.result(c, suppressedView{len(entries), changed}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s\n", map[bool]string{true: "1 entry was", false: count(changed) + " entries were"}[changed == 1], words)
		return err
	})
}

type suppressionList struct {
	Countries []campaign.Suppression `json:"countries"`
	People    []campaign.Suppression `json:"people"`
	Forgotten int64                  `json:"forgotten"` // people without a number
}

func (p *program) suppressList(c *cli.Context) error {
	format := c.String("format")
	if !slices.Contains([]string{"text", "csv", "jsonl"}, format) {
		return usage("text, csv or jsonl", "--format %q is not known", format)
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	switch {
	case c.Bool("json"):
		list := suppressionList{Countries: []campaign.Suppression{}, People: []campaign.Suppression{}}
		list.Forgotten, err = s.Suppressions(c.Context, func(e campaign.Suppression) error {
			e.CreatedAt = e.CreatedAt.UTC()
			if e.Country != "" {
				list.Countries = append(list.Countries, e)
			} else {
				list.People = append(list.People, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return printJSON(p.stdout, list)
	case format == "csv":
		return p.exportSuppressions(c, s)
	case format == "jsonl":
		out := json.NewEncoder(p.stdout)
		_, err = s.Suppressions(c.Context, func(e campaign.Suppression) error {
			e.CreatedAt = e.CreatedAt.UTC()
			return out.Encode(e)
		})
		return err
	}
	return p.result(c, nil, func(w io.Writer) error {
		t := newTable(w)
		row(t, "WHO", "REASON", "SINCE")
		n := 0
		forgotten, err := s.Suppressions(c.Context, func(e campaign.Suppression) error {
			who := e.Phone
			if e.Country != "" {
				who = "country " + e.Country
			}
			row(t, who, dash(e.Reason), when(&e.CreatedAt))
			n++
			return nil
		})
		if err != nil {
			return err
		}
		if forgotten > 0 {
			row(t, people(forgotten)+" without a number", "forgotten", "")
		} else if n == 0 {
			p.note("nobody is on the suppression list")
			return nil
		}
		return t.Flush()
	})
}

// exportSuppressions writes what suppress import reads. Reasons are made harmless
// for spreadsheets; numbers are bare E.164.
func (p *program) exportSuppressions(c *cli.Context, s *postgres.Store) error {
	out := csv.NewWriter(p.stdout)
	if err := out.Write([]string{"phone", "country", "reason", "created_at"}); err != nil {
		return err
	}
	_, err := s.Suppressions(c.Context, func(e campaign.Suppression) error {
		return out.Write([]string{e.Phone, e.Country, campaign.SafeCell(e.Reason), e.CreatedAt.UTC().Format(time.RFC3339)})
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

type suppressImportView struct {
	Rows       int64  `json:"rows"`
	Added      int64  `json:"added"`
	Unchanged  int64  `json:"unchanged"`
	Refused    int64  `json:"refused"`
	ErrorsFile string `json:"errors_file"`
}

func (p *program) suppressImport(c *cli.Context) error {
	file := c.Args().First()
	region, err := country(c)
	if err != nil {
		return err
	}
	input, closeFile, err := p.open(file)
	if err != nil {
		return err
	}
	defer closeFile()
	reader, err := audience.Open(input, file)
	if err != nil {
		return badFile(file, err)
	}
	defer reader.Close()
	rows, err := newSuppressionRows(reader.Columns(), c.String("phone-column"), region, c.String("reason"))
	if err != nil {
		return badFile(file, err)
	}
	errorsFile := c.String("errors")
	if errorsFile == "" && file == "-" {
		errorsFile = "suppressions.errors.csv"
	}
	refused, err := audience.NewErrorsFile(errorsPath(file, errorsFile))
	if err != nil {
		return failed("", "%s", err)
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()

	view, err := rows.store(c, s, reader, refused)
	if closeErr := refused.Close(); err == nil && closeErr != nil {
		err = failed("", "%s", closeErr)
	}
	view.ErrorsFile = refused.Path()
	if err != nil {
		return err
	}
	view.Unchanged = view.Rows - view.Added - view.Refused
	err = p.result(c, view, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s read: %s added, %s unchanged, %s refused\n", plural(view.Rows, "row"), count(view.Added), count(view.Unchanged), count(view.Refused))
		return err
	})
	if err == nil && view.Refused > 0 {
		return findings("%s refused, see %s", map[bool]string{true: "1 row was", false: count(view.Refused) + " rows were"}[view.Refused == 1], view.ErrorsFile)
	}
	return err
}

// suppressionRows reads rows of a suppression file.
type suppressionRows struct {
	columns                       []string
	phone, country, reason        int // indexes, -1 where there is no such column
	defaultCountry, defaultReason string
}

func newSuppressionRows(columns []string, phoneColumn, region, reason string) (suppressionRows, error) {
	find := func(name string) int {
		return slices.IndexFunc(columns, func(c string) bool { return strings.EqualFold(strings.TrimSpace(c), name) })
	}
	r := suppressionRows{columns: columns, country: find("country"), reason: find("reason"), defaultCountry: region, defaultReason: reason}
	if phoneColumn == "" {
		phoneColumn = "phone"
	}
	if r.phone = find(phoneColumn); r.phone < 0 && (phoneColumn != "phone" || r.country < 0) {
		return r, fmt.Errorf("the file has no column %q; it has %s: name the one with the numbers with --phone-column", phoneColumn, strings.Join(columns, ", "))
	}
	return r, nil
}

func (r suppressionRows) cell(row audience.Row, index int) string {
	if index < 0 || index >= len(row.Cells) {
		return ""
	}
	return strings.TrimSpace(row.Cells[index])
}

func (r suppressionRows) entry(row audience.Row) (campaign.Suppression, *audience.RowError) {
	e := campaign.Suppression{Reason: r.cell(row, r.reason)}
	if e.Reason == "" {
		e.Reason = r.defaultReason
	}
	number, code := r.cell(row, r.phone), r.cell(row, r.country)
	if number == "" && code != "" {
		region, err := phone.CheckCountry(code)
		if err != nil {
			return e, &audience.RowError{Line: row.Line, Column: r.columns[r.country], Reason: err.Error(), Value: code}
		}
		e.Country = region
		return e, nil
	}
	n, err := phone.Parse(number, r.defaultCountry)
	if err != nil {
		column := "phone"
		if r.phone >= 0 {
			column = r.columns[r.phone]
		}
		return e, &audience.RowError{Line: row.Line, Column: column, Reason: err.Error(), Value: number}
	}
	e.Phone, e.MatchKey = n.E164, phone.MatchKey(n.E164)
	return e, nil
}

func (r suppressionRows) store(c *cli.Context, s *postgres.Store, reader *audience.Reader, refused *audience.ErrorsFile) (suppressImportView, error) {
	var view suppressImportView
	const chunk = 5000
	entries := make([]campaign.Suppression, 0, chunk)
	flush := func() error {
		n, err := s.Suppress(c.Context, entries)
		view.Added += n
		entries = entries[:0]
		return err
	}
	for {
		raw, err := reader.Next()
		var bad *audience.RowError
		switch {
		case errors.Is(err, io.EOF):
			return view, flush()
		case errors.As(err, &bad):
		case err != nil:
			return view, errors.Join(err, flush())
		default:
			var e campaign.Suppression
			if e, bad = r.entry(raw); bad == nil {
				entries = append(entries, e)
			}
		}
		view.Rows++
		if bad != nil {
			view.Refused++
			if err := refused.Write(bad); err != nil {
				return view, err
			}
		}
		if len(entries) == chunk {
			if err := flush(); err != nil {
				return view, err
			}
		}
	}
}
