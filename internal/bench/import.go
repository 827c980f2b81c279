package bench

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func importBench() Bench {
	return Bench{
		Name: "import", Summary: "a file of people of many countries, and the same file again",
		Takes: []string{"messages"},
		Suite: []Options{{}},
		Quick: []Options{{Messages: 20_000}},
		Run:   runImport,
	}
}

const (
	importRows = 1_000_000
	goalImport = 100_000 // rows per second: numbers are decided by a table of ours
	goalMemory = 150     // MB
)

func runImport(ctx context.Context, s *Session, o Options) (_ *Result, err error) {
	line := o.line("import")
	o.Messages = cmp.Or(o.Messages, importRows)
	if most := int64(len(stems())) * numbersOfStem; o.Messages > most {
		return nil, campaign.ErrInvalid.With(fmt.Sprintf("the file of an import has %d rows at most", most), "give fewer with --messages")
	}
	db, err := s.database(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "campaign-bench-import-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the file: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "people.csv")
	s.progress("writing a file of %d rows", o.Messages)
	if err := writePeople(file, o.Messages); err != nil {
		return nil, err
	}
	result := &Result{Bench: line, Machine: db.machine, Goal: fmt.Sprintf("%d rows at >= %d/s each time, memory <= %d MB", o.Messages, goalImport, goalMemory)}
	var speeds [2]float64
	for i, name := range []string{"first import", "the same file again"} {
		s.progress("%s", name)
		m, err := db.measure(ctx, nil)
		if err != nil {
			return nil, err
		}
		var done campaign.ImportResult
		r, err := db.program(ctx, s, &done, "contact", "import", file, "--list", "everybody", "--json", "--quiet")
		if err != nil {
			return nil, err
		}
		c, err := m.stop(ctx, o.Messages)
		if err != nil {
			return nil, err
		}
		if done.Created+done.Unchanged != o.Messages || done.Created != map[int]int64{0: o.Messages}[i] {
			return nil, fmt.Errorf("%s of %d rows: %d created, %d updated, %d unchanged, %d refused",
				name, o.Messages, done.Created, done.Updated, done.Unchanged, done.Refused)
		}
		speeds[i] = float64(o.Messages) / r.elapsed.Seconds()
		result.AtLeast(name, speeds[i], "rows/s", goalImport)
		result.Add(name+": CPU of campaignctl per 1,000", r.cpu.Seconds()*1000/float64(o.Messages), "s")
		if c.CPU[1] >= 0 {
			result.Add(name+": CPU of postgres per 1,000", c.CPU[1], "s")
		}
		result.Add(name+": WAL per 1,000", c.WAL/1000, "kB")
		if r.memory > 0 {
			result.AtMost(name+": peak memory", float64(r.memory)/1e6, "MB", goalMemory)
		}
	}
	s.progress("measuring COPY of the same rows into a bare table")
	rows, elapsed, err := db.CopyBare(ctx, folder)
	if err != nil {
		return nil, err
	}
	ceiling := float64(rows) / elapsed.Seconds()
	result.Add("COPY into a bare table", ceiling, "rows/s")
	result.Ratio("first import / COPY", speeds[0]/ceiling, 0)
	result.Ratio("the same file again / COPY", speeds[1]/ceiling, 0)
	return result, nil
}

// writePeople writes a contact file: every number once, neighbours of different
// countries, as a list that grew over years has them.
func writePeople(path string, rows int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintln(w, "phone,first_name,voucher,language,opt_in")
	of := stems()
	languages := []string{"de", "en_US", "fr"}
	agreed := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC).Format(time.RFC3339)
	consents := []string{"yes", agreed}
	const spread = 7919 // prime: of each country, neighbours are far from each other
	for i := range rows {
		n := i / int64(len(of)) * spread % numbersOfStem
		fmt.Fprintf(w, "%s%0*d,Name %d,V%07d,%s,%s\n", of[i%int64(len(of))], digitsOfStem, n, i%5000, i, languages[i%3], consents[i%2])
	}
	return w.Flush()
}
