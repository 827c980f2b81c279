package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
)

func phoneCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "phone",
		Usage: "explain phone numbers",
		Subcommands: []*cli.Command{{
			Name:      "inspect",
			Usage:     "say what a number is and how it would be stored",
			ArgsUsage: "NUMBER…",
			Description: text(
				`Reads each NUMBER as "contact import" would and says whether it is valid, its
E.164 form, country and time zones, and whether Meta's pause of marketing
messages to US numbers covers it. "-" reads numbers from standard input, one a
line. Needs no database. An invalid number is a result, not a failure: the exit
code is 0.`,
				examples(`phone inspect "+1 787 555 0100"`, `phone inspect 030/1234567 --country DE --json`, `phone inspect - --json < numbers.txt`)),
			Flags:  []cli.Flag{countryFlag(), jsonFlag()},
			Action: p.phoneInspect,
		}},
	}
}

// countryFlag is the country of numbers that are written without one.
func countryFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "country", EnvVars: []string{"CAMPAIGN_COUNTRY"},
		Usage: "read national numbers as numbers of this `COUNTRY`, such as DE; without it they are errors",
	}
}

// country gives the checked --country, "" when there is none.
func country(c *cli.Context) (string, error) {
	if c.String("country") == "" {
		return "", nil
	}
	code, err := phone.CheckCountry(c.String("country"))
	if err != nil {
		return "", campaign.ErrInvalid.With("--country: "+err.Error(), "two letters, as in DE or BR")
	}
	return code, nil
}

func (p *program) phoneInspect(c *cli.Context) error {
	region, err := country(c)
	if err != nil {
		return err
	}
	numbers := make([]phone.Info, 0, c.NArg())
	for _, input := range c.Args().Slice() {
		if input != "-" {
			numbers = append(numbers, phone.Inspect(input, region))
			continue
		}
		data, err := p.read("-")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
				numbers = append(numbers, phone.Inspect(line, region))
			}
		}
	}
	return p.result(c, numbers, func(w io.Writer) error {
		for i, n := range numbers {
			if i > 0 {
				fmt.Fprintln(w)
			}
			printNumber(w, n)
		}
		return nil
	})
}

func printNumber(w io.Writer, n phone.Info) {
	t := newTable(w)
	defer t.Flush()
	row(t, "number", n.Input)
	if !n.Valid {
		row(t, "valid", "no: "+n.Error)
		return
	}
	row(t, "valid", "yes")
	row(t, "stored as", n.E164)
	if n.Country != "" {
		row(t, "country", fmt.Sprintf("%s (+%d)", n.Country, n.CallingCode))
	}
	if n.NANP != "" {
		row(t, "+1 group", n.NANP)
	}
	row(t, "US marketing", map[bool]string{
		true:  "covered by Meta's pause: marketing templates are not delivered",
		false: "not covered by Meta's pause",
	}[n.USMarketing])
	if len(n.TimeZones) > 0 {
		row(t, "time zones", strings.Join(n.TimeZones, ", "))
	}
}
