package bench

import (
	"context"
	"time"

	"github.com/campaignd/campaignd/internal/postgres"
)

// meter measures what a stretch of work costs.
type meter struct {
	db      *database
	nodes   []*process
	sink    *process // or nil
	written postgres.Written
	cpu     [3]cpuTime // of the nodes, Postgres and the sink
}

type cpuTime struct {
	used  time.Duration
	known bool
}

func (d *database) measure(ctx context.Context, sink *process, nodes ...*process) (*meter, error) {
	m := &meter{db: d, nodes: nodes, sink: sink}
	var err error
	if m.written, err = d.Written(ctx); err != nil {
		return nil, err
	}
	m.cpu = m.read()
	return m, nil
}

func (m *meter) read() (c [3]cpuTime) {
	c[0].known = true
	for _, n := range m.nodes {
		used, ok := cpuOf(n.pid())
		c[0].used += used
		c[0].known = c[0].known && ok
	}
	if m.db.postmaster > 0 {
		c[1].used, c[1].known = cpuOfServer(m.db.postmaster)
	}
	if m.sink != nil {
		c[2].used, c[2].known = cpuOf(m.sink.pid())
	}
	return c
}

// cost is what a number of messages cost, per 1,000 of them where it says so.
type cost struct {
	CPU    [3]float64 // seconds per 1,000; negative where unknown
	WAL    float64    // bytes per 1,000
	HOT    float64    // share of the updates of messages; negative where there were none
	Memory int64      // bytes, the most that a node had; 0 where unknown
}

// statsDelay is how late a server's sessions report what they did.
const statsDelay = 1100 * time.Millisecond

// stop reads the meter.
func (m *meter) stop(ctx context.Context, messages int64) (cost, error) {
	now := m.read()
	wal, err := m.db.Written(ctx)
	if err != nil {
		return cost{}, err
	}
	time.Sleep(statsDelay)
	hot, err := m.db.Written(ctx)
	if err != nil {
		return cost{}, err
	}
	thousands := float64(messages) / 1000
	c := cost{WAL: float64(wal.WAL-m.written.WAL) / thousands, HOT: -1}
	for i := range c.CPU {
		c.CPU[i] = -1
		if now[i].known {
			c.CPU[i] = (now[i].used - m.cpu[i].used).Seconds() / thousands
		}
	}
	if updates := hot.Updates - m.written.Updates; updates > 0 {
		c.HOT = float64(hot.HOT-m.written.HOT) / float64(updates)
	}
	for _, n := range m.nodes {
		if bytes, ok := peakMemory(n.pid()); ok {
			c.Memory = max(c.Memory, bytes)
		}
	}
	return c, nil
}

// addCost notes what is known of a cost.
func (r *Result) addCost(c cost) {
	total := 0.0
	for i, name := range []string{"campaignd", "postgres", "sink"} {
		if c.CPU[i] >= 0 {
			r.Add("CPU of "+name+" per 1,000", c.CPU[i], "s")
			total += c.CPU[i]
		}
	}
	r.Add("CPU of all that is known per 1,000", total, "s")
	r.Add("WAL per 1,000", c.WAL/1000, "kB")
	if c.HOT >= 0 {
		r.Add("HOT share of updates of messages", c.HOT, "")
	}
	if c.Memory > 0 {
		r.Add("peak memory of campaignd", float64(c.Memory)/1e6, "MB")
	}
}
