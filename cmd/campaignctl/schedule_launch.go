package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/planning"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/schedule"
)

// launchedSchedule is what launching a file with schedule.cron prints with --json.
type launchedSchedule struct {
	scheduleView
	Next    []moment `json:"next"`
	Created bool     `json:"created"` // false: the same schedule was there
}

// launchSchedule makes a schedule of a campaign file. Everything that a daemon
// will need is checked as if the first moment had come.
func (p *program) launchSchedule(c *cli.Context, spec campaign.Spec, file document, expect expectation) error {
	if wait, ok := c.Generic("wait").(*waitFor); ok && *wait != "" {
		return usage("campaignctl schedule show says what became of its moments", "--wait is for one campaign, and the file has schedule.cron")
	}
	s, closeStore, err := p.store(c.Context)
	if err != nil {
		return err
	}
	defer closeStore()
	now, err := s.Now(c.Context)
	if err != nil {
		return err
	}
	t, list, err := p.timetable(c.Context, s, spec, file, now)
	if err != nil {
		return err
	}
	if expect.given {
		t.Expect = campaign.Expectation{Least: &expect.least, Most: &expect.most}
		t.Hash = hashOf(t.Hash, fmt.Sprint(expect.least, expect.most))
	}
	cron, err := schedule.Of(t)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("%s is launched at %s and again, to whoever is then on list %s (%s today). Type the name of the schedule",
		t.Name, clock(cron, t.NextAt), list.Name, plural(list.Contacts, "contact"))
	if err := p.confirm(c, question, t.Name); err != nil {
		return err
	}
	stored, created, err := s.CreateSchedule(c.Context, t, c.Bool("replace"))
	if err != nil {
		return err
	}
	if !created {
		p.note("schedule %s was there before; nothing changed", stored.Name)
	}
	next := upcoming(stored, cron, 3)
	return p.result(c, launchedSchedule{viewOf(stored), moments(cron, next), created}, func(w io.Writer) error {
		fmt.Fprintf(w, "schedule %s is %s; it comes\n", stored.Name, stored.State())
		t := newTable(w)
		for _, at := range next {
			row(t, "  "+clock(cron, &at), at.UTC().Format("2006-01-02T15:04Z"))
		}
		return t.Flush()
	})
}

func (p *program) timetable(ctx context.Context, s *postgres.Store, spec campaign.Spec, file document, now time.Time) (campaign.Timetable, campaign.List, error) {
	none := campaign.Timetable{}
	if spec.Key != "" {
		return none, campaign.List{}, usage("leave key out", "schedule.cron gives each campaign its moment as key")
	}
	if spec.Audience.File != "" {
		return none, campaign.List{}, usage("campaignctl contact import "+spec.Audience.File+" --list NAME, and then audience: {list: NAME}",
			"audience.file: a schedule reads a list, as it is at each moment")
	}
	if plain, err := audience.ParseSpecAt(file.data, file.dir, now.AddDate(-1, -1, -1)); err != nil || plain.Name != spec.Name {
		return none, campaign.List{}, usage("the key of each campaign is its moment", "name: a schedule's name has no {date} in it")
	}
	cron, err := schedule.Parse(spec.Schedule.Cron, spec.Schedule.TimeZone)
	if err != nil {
		return none, campaign.List{}, err
	}
	if spec.Schedule.End != nil {
		cron = cron.Until(*spec.Schedule.End)
	}
	first := cron.Next(now)
	if first.IsZero() {
		return none, campaign.List{}, campaign.ErrGuard.With("schedule.end: no moment of schedule.cron is left before it", "choose a later end")
	}
	t := campaign.Timetable{
		Name: spec.Name, Channel: spec.Channel, Document: file.data, Hash: documentHash(file.data), Files: map[string]string{}, Cron: spec.Schedule.Cron,
		TimeZone: cron.Zone().String(), Late: spec.Schedule.Late, EndsAt: spec.Schedule.End, NextAt: &first,
	}
	if t.Late == 0 {
		t.Late = campaign.DefaultLate
	}
	t.Late = max(t.Late.Truncate(time.Second), time.Second)
	list, err := p.rehearse(ctx, s, &t, file.dir)
	return t, list, err
}

// rehearse plans the first moment without storing anything, and keeps the bytes
// of the local header files, which a daemon does not have.
func (p *program) rehearse(ctx context.Context, s *postgres.Store, t *campaign.Timetable, dir string) (campaign.List, error) {
	spec, err := planning.SpecOf(campaign.LaunchRequest{Name: t.Name, Key: "-", Document: t.Document, AsOf: t.NextAt})
	if err != nil {
		return campaign.List{}, err
	}
	_, list, err := planning.Prepare(ctx, s, planning.Input{
		Spec: spec, Now: *t.NextAt,
		Upload: func(_ context.Context, _ campaign.Channel, m *campaign.Media) (string, error) {
			here := *m
			if !filepath.IsAbs(here.File) {
				here.File = filepath.Join(dir, here.File)
			}
			data, contentType, err := readMedium(&here)
			if err != nil {
				return "", err
			}
			sum, err := s.SaveFile(ctx, postgres.File{Name: filepath.Base(m.File), ContentType: contentType, Content: data})
			t.Files[m.File] = sum
			t.Hash = hashOf(t.Hash, m.File, sum)
			return "uploaded at each moment", err
		},
	})
	return list, err
}

// documentHash is over what a file says, whatever its layout and comments.
func documentHash(data []byte) string {
	var content any
	if err := yaml.Unmarshal(data, &content); err == nil {
		if plain, err := json.Marshal(content); err == nil { // maps come sorted
			return hashOf(string(plain))
		}
	}
	return hashOf(string(data))
}

func hashOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
