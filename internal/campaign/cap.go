package campaign

import "time"

// FrequencyCap bounds how much marketing one person gets: at most Messages in
// any stretch of Per, over all campaigns, channels and forms of the number.
// Counted is what was posted and may have arrived: not what failed.
type FrequencyCap struct {
	Messages int           `json:"messages"`
	Per      time.Duration `json:"per"`
	Then     string        `json:"then"` // what becomes of one message too many: CapSkip or CapDefer
}

// What becomes of a message that a frequency cap stops.
const (
	CapSkip  = "skip"  // it is skipped, frequency_cap
	CapDefer = "defer" // it waits until the person may get another one
)

// MaxCapMessages bounds FrequencyCap.Messages: more than that in a period is no
// cap.
const MaxCapMessages = 1000

// FreeAt gives the first moment, not before at, at which one more message keeps
// within the cap. posts are the times of earlier ones, the newest first; more
// than MaxCapMessages of them are not looked at.
func (f FrequencyCap) FreeAt(posts []time.Time, at time.Time) time.Time {
	if f.Messages < 1 || len(posts) < f.Messages {
		return at
	}
	if free := posts[f.Messages-1].Add(f.Per); free.After(at) {
		return free
	}
	return at
}

// Caps are the caps that hold for a message: the installation's and its
// campaign's own, either of which may be nil.
type Caps struct {
	Installation, Own *FrequencyCap
}

// None reports whether there is no cap.
func (c Caps) None() bool { return c.Installation == nil && c.Own == nil }

// Longest gives the longest period of the caps.
func (c Caps) Longest() time.Duration {
	var longest time.Duration
	for _, f := range [...]*FrequencyCap{c.Installation, c.Own} {
		if f != nil {
			longest = max(longest, f.Per)
		}
	}
	return longest
}

// FreeAt gives the first moment, not before at, at which one more message keeps
// within all caps, and what becomes of a message until then: the campaign's word
// counts before the installation's.
func (c Caps) FreeAt(posts []time.Time, at time.Time) (free time.Time, then string) {
	free = at
	for _, f := range [...]*FrequencyCap{c.Installation, c.Own} {
		if f == nil {
			continue
		}
		then = f.Then
		if t := f.FreeAt(posts, at); t.After(free) {
			free = t
		}
	}
	return free, then
}
