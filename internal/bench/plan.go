package bench

import (
	"cmp"
	"context"
	"fmt"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

func planBench() Bench {
	return Bench{
		Name: "plan", Summary: "freezing who gets what, with two parameters",
		Takes: []string{"messages"},
		Suite: []Options{{}},
		Quick: []Options{{Messages: 20_000}},
		Run:   runPlan,
	}
}

const (
	planMessages   = 1_000_000
	goalPlan       = 30  // seconds for planMessages
	goalPlanMemory = 200 // MB
)

const twoParametersJSON = `{"waba_templates":[{"id":"2","name":"bench_two","language":"en_US","status":"approved","category":"MARKETING",
"components":[{"type":"BODY","text":"Hello {{1}}, your voucher is {{2}} until Sunday.","example":{"body_text":[["Ann","SPRING-1"]]}}]}]}`

func runPlan(ctx context.Context, s *Session, o Options) (*Result, error) {
	line := o.line("plan")
	o.Messages = cmp.Or(o.Messages, planMessages)
	db, err := s.database(ctx)
	if err != nil {
		return nil, err
	}
	channel, err := db.channel(ctx, "bench", "http://127.0.0.1:1", 80)
	if err != nil {
		return nil, err
	}
	templates, err := dialog360.ParseTemplates([]byte(twoParametersJSON))
	if err != nil {
		return nil, err
	}
	if _, err := db.SyncTemplates(ctx, channel.ID, templates); err != nil {
		return nil, err
	}
	s.progress("inventing %d people", o.Messages)
	if err := db.InventContacts(ctx, "everybody", 1, o.Messages, o.Messages); err != nil {
		return nil, err
	}
	if err := db.Settle(ctx); err != nil {
		return nil, err
	}
	s.progress("planning")
	m, err := db.measure(ctx, nil)
	if err != nil {
		return nil, err
	}
	var planned campaign.Launched
	r, err := db.program(ctx, s, &planned, "campaign", "plan", "--name", "bench", "--channel", channel.Name, "--template", "bench_two", "--language", "en_US",
		"--list", "everybody", "-p", "body.1=column:first_name", "-p", "body.2=column:voucher", "--json", "--quiet")
	if err != nil {
		return nil, err
	}
	c, err := m.stop(ctx, o.Messages)
	if err != nil {
		return nil, err
	}
	if planned.Eligible != o.Messages {
		return nil, fmt.Errorf("%d of %d people are in the plan: %v", planned.Eligible, o.Messages, planned.Skipped)
	}
	most := goalPlan * float64(o.Messages) / planMessages
	result := &Result{Bench: line, Machine: db.machine, Goal: fmt.Sprintf("%d recipients in <= %s s, memory <= %d MB", o.Messages, number(most), goalPlanMemory)}
	result.AtMost("plan", r.elapsed.Seconds(), "s", most)
	result.Add("recipients", float64(o.Messages)/r.elapsed.Seconds(), "/s")
	if r.memory > 0 {
		result.AtMost("peak memory", float64(r.memory)/1e6, "MB", goalPlanMemory)
	}
	result.Add("CPU of campaignctl per 1,000", r.cpu.Seconds()*1000/float64(o.Messages), "s")
	if c.CPU[1] >= 0 {
		result.Add("CPU of postgres per 1,000", c.CPU[1], "s")
	}
	result.Add("WAL per 1,000", c.WAL/1000, "kB")
	s.progress("measuring INSERT … SELECT of the same messages into a bare table")
	rows, elapsed, err := db.InsertBare(ctx, planned.ID)
	if err != nil {
		return nil, err
	}
	result.Add("INSERT … SELECT into a bare table", float64(rows)/elapsed.Seconds(), "/s")
	result.Ratio("plan / INSERT … SELECT", elapsed.Seconds()/r.elapsed.Seconds(), 0)
	return result, nil
}
