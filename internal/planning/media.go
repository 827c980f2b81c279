package planning

import (
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

const (
	// MediaLife is how long the provider keeps an upload (whatsapp-facts §2.4).
	MediaLife = 30 * 24 * time.Hour
	// MediaSpare is what must be left of that for a message that is sent now: the
	// provider may hold it for an hour, and the person's phone may be off.
	MediaSpare = 24 * time.Hour
)

// MediaNeed is how long an uploaded file must live for a campaign: a week for
// somebody to launch it, or until its deadline.
func MediaNeed(spec campaign.Spec, now time.Time) time.Duration {
	need := 7 * 24 * time.Hour
	if at := spec.Schedule.At; at != nil {
		need = max(need, at.Sub(now)+MediaSpare)
	}
	if end := spec.Schedule.NotAfter; end != nil {
		need = max(need, end.Sub(now)+MediaSpare)
	}
	return min(need, MediaLife-MediaSpare)
}
