package campaign_test

import (
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestConfirmationIsTriedAgainOnlyWhenNothingWasWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		try  int
		kind campaign.AnswerKind
		want campaign.ConfirmationState
		wait time.Duration
	}{
		{1, campaign.AnswerAccepted, campaign.ConfirmationSent, 0},
		{1, campaign.AnswerHeld, campaign.ConfirmationSent, 0},
		{1, campaign.AnswerFailed, campaign.ConfirmationFailed, 0},
		{1, campaign.AnswerInDoubt, campaign.ConfirmationUnknown, 0},
		{1, "", campaign.ConfirmationUnknown, 0},
		{1, campaign.AnswerUnreachable, campaign.ConfirmationWaiting, 2 * time.Second},
		{4, campaign.AnswerAbandoned, campaign.ConfirmationWaiting, 16 * time.Second},
		{5, campaign.AnswerUnreachable, campaign.ConfirmationFailed, 0},
	} {
		state, wait := campaign.Confirmation{Try: c.try}.After(campaign.Answer{Kind: c.kind})
		if state != c.want || wait != c.wait {
			t.Errorf("try %d, %q: %s in %v, want %s in %v", c.try, c.kind, state, wait, c.want, c.wait)
		}
	}
}
