package campaign

import (
	"math"
	"time"
)

// HoursGroup is how many messages wait for the same hours.
type HoursGroup struct {
	Hours *OpenHours
	N     int64
}

// forecastSteps bounds a forecast: openings and closings that it looks at. A
// list that takes longer than so many windows needs no date.
const forecastSteps = 5000

// Forecast says when the first and the last message of a campaign leave at a
// rate, in messages per second (0: none limits it), and how many do not leave
// before end, if there is one. Messages leave in the order in which their windows
// open, as fan-out takes them. last is nil when it is too far away to be told.
func Forecast(groups []HoursGroup, rate float64, start time.Time, end *time.Time) (first, last *time.Time, late int64) {
	type waiting struct {
		HoursGroup
		due time.Time
	}
	var queue []*waiting
	for _, g := range groups {
		if due, ok := g.Hours.Next(start); ok && g.N > 0 {
			queue = append(queue, &waiting{g, due})
		}
	}
	done := func(t time.Time) bool { return end != nil && !t.Before(*end) }
	now := start
	for range forecastSteps {
		// Whose window opened first has the turn.
		var next *waiting
		for _, w := range queue {
			if w.N > 0 && (next == nil || w.due.Before(next.due)) {
				next = w
			}
		}
		if next == nil {
			return first, last, late
		}
		if next.due.After(now) {
			now = next.due
		}
		if done(now) {
			break
		}
		if !next.Hours.Open(now) {
			due, ok := next.Hours.Next(now)
			if !ok {
				next.N = 0
				continue
			}
			next.due = due
			continue
		}
		if first == nil {
			at := now
			first = &at
		}
		n := next.N
		if rate > 0 {
			until := next.Hours.Closes(now).Add(-windowMargin)
			if end != nil && end.Before(until) {
				until = *end
			}
			n = min(n, max(int64(math.Ceil(until.Sub(now).Seconds()*rate)), 1))
		}
		at := now
		if rate > 0 {
			// Not time.Duration(float × Second): a rate of 1/h must not overflow.
			at = now.Add(time.Duration(min(float64(n-1)/rate, 1e9) * float64(time.Second)))
			now = now.Add(time.Duration(min(float64(n)/rate, 1e9) * float64(time.Second)))
		}
		last = &at
		if next.N -= n; next.N > 0 && next.Hours.Open(now) {
			now = next.Hours.Closes(now)
		}
	}
	for _, w := range queue {
		late += w.N
	}
	if late > 0 && end == nil {
		return first, nil, late
	}
	return first, last, late
}
