package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// windowWaits explains what waits for its window, by zone set. Those whose window
// is open wait for their turn like the others.
type windowWaits map[string]campaign.ZoneSet

// windowWaits finds the zone sets that the counters name, before the status is
// explained: until when they wait goes into due. from is when the campaign runs.
func (s *Store) windowWaits(ctx context.Context, db querier, id campaign.ID, from time.Time, pending, deferred map[string]int64, due map[string]time.Time) (windowWaits, error) {
	waits := windowWaits{}
	for _, counts := range []map[string]int64{pending, deferred} {
		for detail, n := range counts {
			set, ok := campaign.WindowDetail(detail)
			if !ok {
				continue
			}
			if err := s.times.learn(ctx, db, []campaign.ID{id}, []campaign.ZoneSetID{set}); err != nil {
				return nil, err
			}
			hours := s.times.hoursOf(id, set)
			if hours.Open(from) {
				delete(counts, detail)
				pending[""] += n
				continue
			}
			waits[detail], _ = s.times.set(set)
			if opens, ok := hours.Next(from); ok {
				due[detail] = opens
			}
		}
	}
	return waits, nil
}

// name gives the entries of a status their words: the reason, and the zones. What
// opens first comes first.
func (w windowWaits) name(st *campaign.Status) {
	for i := range st.Waiting {
		x := &st.Waiting[i]
		if set, ok := w[x.Reason]; ok {
			x.Reason, x.Zones = campaign.ReasonWindow, set.Zones
		}
	}
	slices.SortStableFunc(st.Waiting, func(a, b campaign.Waiting) int {
		if a.Reason != campaign.ReasonWindow || b.Reason != campaign.ReasonWindow {
			return cmp.Compare(b2i(a.Reason == campaign.ReasonWindow), b2i(b.Reason == campaign.ReasonWindow))
		}
		return cmp.Or(compareUntil(a.Until, b.Until), cmp.Compare(b.Messages, a.Messages))
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// compareUntil puts what nobody knows last.
func compareUntil(a, b *time.Time) int {
	switch {
	case a == nil || b == nil:
		return cmp.Compare(b2i(a == nil), b2i(b == nil))
	}
	return a.Compare(*b)
}
