package campaign

import "time"

// Reading is what the clock on the wall shows at a time, as if it were UTC: such
// readings can be counted as if no clock ever changed.
func Reading(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// MomentOf gives the moment at which a zone's clock shows a reading: the first of
// two, and for one that it leaves out the end of the gap.
func MomentOf(wall time.Time, zone *time.Location) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone)
	start, end := at.ZoneBounds()
	switch shown := Reading(at); {
	case shown.After(wall): // left out; the library took the offset before the gap
		return start
	case shown.Before(wall): // ... or the one after it
		return end
	}
	if !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		if first := wall.Add(-time.Duration(before) * time.Second); first.Before(start) {
			return first.In(zone)
		}
	}
	return at
}
