package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/simulator"
)

func (p *program) campaignExport(c *cli.Context) error {
	var format func(io.Writer) campaign.ExportWriter
	switch c.String("format") {
	case "csv":
		format = campaign.NewCSVExport
	case "jsonl":
		format = campaign.NewJSONLExport
	default:
		return usage("csv or jsonl", "--format %q is not known", c.String("format"))
	}
	s, found, closeStore, err := p.campaignOf(c)
	if err != nil {
		return err
	}
	defer closeStore()
	write := func(w io.Writer) error {
		out := format(w)
		if err := s.Export(c.Context, found.ID, out.Write); err != nil {
			return err
		}
		return out.Flush()
	}
	if name := c.String("output"); name != "" && name != "-" {
		return writeWhole(name, write)
	}
	return write(p.stdout)
}

// writeWhole makes a file appear only when all of it is written, readable by its
// owner only: it holds phone numbers.
func writeWhole(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fileError(name, err)
	}
	defer os.Remove(f.Name()) // gone after the rename
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return fileError(name, err)
	}
	if err := f.Close(); err != nil {
		return fileError(name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fileError(name, err)
	}
	return nil
}

// readLedger reads what the simulator wrote.
func readLedger(name string) ([]campaign.LedgerEntry, error) {
	if _, err := os.Stat(name); err != nil {
		return nil, fileError(name, err)
	}
	entries, err := simulator.ReadLedger(name)
	if err != nil {
		return nil, usage("--ledger wants what campaignctl simulator --ledger wrote", "%s: %s", name, err)
	}
	ledger := make([]campaign.LedgerEntry, len(entries))
	for i, e := range entries {
		ledger[i] = campaign.LedgerEntry(e)
	}
	return ledger, nil
}

// confirm asks for a word before something that cannot be undone. Without a
// terminal there is nobody to ask, and --yes is needed.
func (p *program) confirm(c *cli.Context, question, answer string) error {
	if c.Bool("yes") {
		return nil
	}
	if !terminal(p.stdin) {
		return campaign.ErrGuard.With("this has to be confirmed, and there is no terminal to ask at", "--yes does without the question")
	}
	fmt.Fprintf(p.stderr, "%s: ", question)
	typed, err := readLine(c.Context, p.stdin)
	if err != nil {
		return err
	}
	if typed != answer {
		return campaign.ErrGuard.With(fmt.Sprintf("%q is not %q: nothing was done", typed, answer), "")
	}
	return nil
}
