package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
)

func contactCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "contact",
		Usage: "import and look up people",
		Subcommands: []*cli.Command{
			{
				Name:      "import",
				Usage:     "read people from a CSV or Excel file",
				ArgsUsage: "FILE|-",
				Description: text(
					`Reads a CSV or XLSX file, or standard input for "-", and stores each person by
phone number. Columns: "phone", "opt_in" (true, yes, 1, x or a time),
"opt_in_source", "opt_in_at", "language", "time_zone"; every other column becomes
an attribute that a campaign can use. The same file imported twice changes
nothing; a file with new values updates. Of a number that comes twice the last row
wins; where the two rows differ and are thousands of rows apart, importing again
writes both in turn and counts them as updated, with the same end.`,
					`Marketing goes only to people who agreed to it. Where the file has no "opt_in"
column, --opted-in says that all of them did, and where; a row that has a word of
its own in that column keeps it.`,
					`Numbers have to begin with + or 00, unless --country says whose national numbers
they are. A row that cannot be used is refused and written, with line, column and
reason, to FILE.errors.csv (from standard input to ./contacts.errors.csv); all
others are kept.`,
					`Exit codes: 0 when every row was stored, 6 when rows were refused.`,
					examples(`contact import vips.csv --list vips --country DE`,
						`contact import crm.xlsx --list vips --phone-column Mobile \
              --map "First name=first_name"`,
						`contact import - --list vips --json < vips.csv`)),
				Flags: []cli.Flag{
					optedInFlag(),
					&cli.StringFlag{Name: "list", Required: true, EnvVars: []string{"CAMPAIGN_LIST"}, Usage: "put the people on the list `NAME`, made when there is none"},
					countryFlag(),
					&cli.StringFlag{Name: "phone-column", Usage: "the `COLUMN` that holds the number (default: phone)"},
					&cli.StringSliceFlag{Name: "map", Usage: "read a column as another name: `COLUMN=ATTRIBUTE`; may be repeated"},
					&cli.StringFlag{Name: "errors", Usage: "write refused rows to `PATH` (default: FILE.errors.csv, of - ./contacts.errors.csv)"},
					jsonFlag(),
				},
				Action: p.contactImport,
			},
			{
				Name:      "show",
				Usage:     "show what is known of a person",
				ArgsUsage: "NUMBER",
				Description: text(`Shows everything known of a person, by any form of the number: consent, lists,
service windows, the newest messages, and why a campaign would skip them now.`, examples(`contact show +491701234567`, `contact show 0170/1234567 --country DE --json`)),
				Flags:  []cli.Flag{countryFlag(), jsonFlag()},
				Action: p.contactShow,
			},
			{
				Name:      "opt-in",
				Usage:     "note that people agreed to get marketing",
				ArgsUsage: "NUMBER…",
				Description: text(
					`Notes the consent of each NUMBER with its source and the time, and takes an
earlier opt-out back. "-" reads numbers from standard input, one a line.`,
					examples(`contact opt-in +491701234567 --source "shop checkout"`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "source", Value: "campaignctl", Usage: "where the consent was given, as `TEXT`"},
					countryFlag(), jsonFlag(),
				},
				Action: func(c *cli.Context) error { return p.consent(c, true) },
			},
			{
				Name:      "opt-out",
				Usage:     "note that people want no more marketing",
				ArgsUsage: "NUMBER…",
				Description: text(
					`Notes that nobody may send marketing to each NUMBER, known or not. When the
command returns, no further message to them is handed to the provider. "-" reads
numbers from standard input, one a line.`,
					examples(`contact opt-out +491701234567`, `contact opt-out - --country DE < stop.txt`)),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "source", Value: "campaignctl", Usage: "how they told us, as `TEXT`"},
					countryFlag(), jsonFlag(),
				},
				Action: func(c *cli.Context) error { return p.consent(c, false) },
			},
			contactForgetCommand(p),
		},
	}
}

func (p *program) contactImport(c *cli.Context) error {
	file := c.Args().First()
	options, err := importOptions(c)
	if err != nil {
		return err
	}
	if strings.TrimSpace(c.String("list")) == "" {
		return usage("as in --list vips", "--list is empty")
	}
	input, closeFile, err := p.open(file)
	if err != nil {
		return err
	}
	defer closeFile()
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()

	im := importer{program: p, store: s, list: c.String("list"), optedIn: strings.TrimSpace(c.String("opted-in")), options: options, errorsPath: errorsPath(file, c.String("errors"))}
	result, err := im.run(c.Context, input, file)
	if err != nil {
		if result.Rows > 0 {
			p.note("%s were read and stored before that; the same file imported again goes on", plural(result.Rows-result.Refused, "row"))
		}
		return err
	}
	err = p.result(c, result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s read: %s created, %s updated, %s unchanged, %s refused\n",
			plural(result.Rows, "row"), count(result.Created), count(result.Updated), count(result.Unchanged), count(result.Refused))
		return err
	})
	if err == nil && result.Refused > 0 {
		return findings("%s refused, see %s", map[bool]string{true: "1 row was", false: count(result.Refused) + " rows were"}[result.Refused == 1], result.ErrorsFile)
	}
	return err
}

func importOptions(c *cli.Context) (audience.Options, error) {
	region, err := country(c)
	if err != nil {
		return audience.Options{}, err
	}
	o := audience.Options{PhoneColumn: c.String("phone-column"), Country: region, Map: map[string]string{}}
	for _, pair := range c.StringSlice("map") {
		column, attribute, found := strings.Cut(pair, "=")
		if !found || column == "" || attribute == "" {
			return o, usage(`as in --map "First name=first_name"`, "--map %q is not COLUMN=ATTRIBUTE", pair)
		}
		if _, twice := o.Map[column]; twice {
			return o, usage("", "--map names column %q twice", column)
		}
		o.Map[column] = attribute
	}
	return o, nil
}

func errorsPath(file, asked string) string {
	switch {
	case asked != "":
		return asked
	case file == "-":
		return "contacts.errors.csv"
	}
	return file + ".errors.csv"
}

// importer reads one contact file into the database.
type importer struct {
	*program
	store      *postgres.Store
	list       string
	optedIn    string // where everybody agreed whose row does not say; empty: nobody did
	options    audience.Options
	errorsPath string

	refused int64
}

func (im *importer) run(ctx context.Context, input io.Reader, file string) (campaign.ImportResult, error) {
	reader, err := audience.Open(input, file)
	if err != nil {
		return campaign.ImportResult{}, badFile(file, err)
	}
	defer reader.Close()
	mapper, err := audience.NewMapper(reader.Columns(), im.options)
	if err != nil {
		return campaign.ImportResult{}, badFile(file, err)
	}
	refused, err := audience.NewErrorsFile(im.errorsPath)
	if err != nil {
		return campaign.ImportResult{}, failed("", "%s", err)
	}

	source := "import"
	if file != "-" {
		source = "import of " + filepath.Base(file)
	}
	progress := im.counter("rows read")
	result, err := im.store.ImportContacts(ctx, postgres.ImportOptions{List: im.list, Source: source},
		im.rows(ctx, reader, mapper, refused, progress))
	progress.finish()
	if closeErr := refused.Close(); err == nil && closeErr != nil {
		err = failed("", "%s", closeErr)
	}
	result.Refused = im.refused
	result.Rows += im.refused
	result.ErrorsFile = refused.Path()
	if err == nil && result.Rows == 0 {
		im.warn("warning: %s has a header and no rows", label(file))
	}
	return result, err
}

// badFile is a file that cannot be imported as it is.
func badFile(file string, err error) error {
	var known *campaign.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", label(file), err)
	}
	return usage("", "%s: %s", label(file), err)
}

// rows reads ahead of the database: on a machine with two cores the numbers of
// the next rows are looked at while the former ones are written.
func (im *importer) rows(ctx context.Context, reader *audience.Reader, mapper *audience.Mapper, refused *audience.ErrorsFile, progress *counter) iter.Seq2[campaign.ContactRow, error] {
	type item struct {
		row campaign.ContactRow
		err error
	}
	return func(yield func(campaign.ContactRow, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		items := make(chan item, 4096)
		ended := make(chan struct{})
		defer func() { cancel(); <-ended }() // nobody reads the file after us
		go func() {
			defer close(ended)
			defer close(items)
			for {
				row, err := nextContact(reader, mapper)
				var bad *audience.RowError
				if errors.As(err, &bad) {
					im.refused++
					err = refused.Write(bad)
					if err == nil {
						continue
					}
				}
				if errors.Is(err, io.EOF) {
					return
				}
				im.consent(&row)
				select {
				case items <- item{row, err}:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}()
		for it := range items {
			progress.add(1)
			if !yield(it.row, it.err) || it.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(campaign.ContactRow{}, err)
		}
	}
}

// consent notes the opt-in that --opted-in speaks of.
func (im *importer) consent(row *campaign.ContactRow) {
	if im.optedIn == "" || row.OptIn != nil {
		return
	}
	yes := true
	row.OptIn = &yes
	if row.OptInSource == "" {
		row.OptInSource = im.optedIn
	}
}

// optedInFlag is the word of whoever imports a list for everybody on it.
func optedInFlag() cli.Flag {
	return &cli.StringFlag{Name: "opted-in", Usage: "everybody in the file agreed to marketing; `SOURCE` says where"}
}

func nextContact(reader *audience.Reader, mapper *audience.Mapper) (campaign.ContactRow, error) {
	raw, err := reader.Next()
	if err != nil {
		return campaign.ContactRow{}, err
	}
	who, err := mapper.Contact(raw)
	if err != nil {
		return campaign.ContactRow{}, err
	}
	return who.Row(), nil
}

// parseNumber reads a number that a person typed.
func parseNumber(c *cli.Context, input string) (phone.Number, error) {
	region, err := country(c)
	if err != nil {
		return phone.Number{}, err
	}
	n, err := phone.Parse(input, region)
	if err != nil {
		return phone.Number{}, campaign.ErrInvalid.With(fmt.Sprintf("%q: %s", input, err), "")
	}
	return n, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

type consentView struct {
	Numbers int   `json:"numbers"`
	Changed int64 `json:"changed"` // contacts: several forms of a number may be stored
}

func (p *program) consent(c *cli.Context, optIn bool) error {
	people, err := p.people(c)
	if err != nil {
		return err
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	set, words := s.SetOptOut, "opted out"
	if optIn {
		set, words = s.SetOptIn, "opted in"
	}
	changed, err := set(c.Context, people, c.String("source"))
	if err != nil {
		return err
	}
	return p.result(c, consentView{len(people), changed}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s\n", plural(changed, "contact"), words)
		return err
	})
}

// people reads the numbers of the arguments. One that is wrong refuses all:
// whoever opts out a list must not think that it is done.
func (p *program) people(c *cli.Context) ([]campaign.ContactRow, error) {
	var people []campaign.ContactRow
	take := func(input, where string) error {
		n, err := parseNumber(c, input)
		if err != nil {
			return fmt.Errorf("%s%w", where, err)
		}
		people = append(people, campaign.ContactRow{Phone: n.E164, MatchKey: phone.MatchKey(n.E164), Country: n.Country, NANP: n.NANP})
		return nil
	}
	for _, input := range c.Args().Slice() {
		if input != "-" {
			if err := take(input, ""); err != nil {
				return nil, err
			}
			continue
		}
		data, err := p.read("-")
		if err != nil {
			return nil, err
		}
		line := 0
		for text := range strings.Lines(string(data)) {
			line++
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			if err := take(text, fmt.Sprintf("line %d: ", line)); err != nil {
				return nil, err
			}
		}
	}
	if len(people) == 0 {
		return nil, usage("", "there is no number on standard input")
	}
	return people, nil
}
