package campaign

import (
	"math"
	"testing"
	"time"
)

func TestSlowdown(t *testing.T) {
	t.Parallel()
	type step struct {
		at    float64 // seconds
		begun float64 // of the POST that was refused; negative: only look
		sent  float64
		cut   bool
		want  float64 // allowed afterwards
	}
	const look = -1
	for name, test := range map[string]struct {
		limit float64
		steps []step
	}{
		"HalvesAtMostOnceInTenSeconds": {80, []step{{10, 9, 0, true, 40}, {19.999, 19, 0, false, 40}, {20, 19.5, 0, true, 20}}},
		"AnswersToPostsBegunBeforeTheLastCutAreItsEchoes": {80, []step{{10, 9, 0, true, 40},
			{20, 9, 0, false, 44}, // nor do they hold up recovery
			{20, 10, 0, false, 44}, {20, 10.001, 0, true, 22}}},
		"TwoNodesThatAreRefusedAtOnceCutOnce":       {80, []step{{10, 9, 0, true, 40}, {10.01, 9.5, 0, false, 40}, {10.02, 10.005, 0, false, 40}}},
		"NeverBelowOnePerSecond":                    {1.5, []step{{10, 9, 0, true, 1}, {20, 19, 0, true, 1}}},
		"ALimitBelowOnePerSecondIsNotRaised":        {0.5, []step{{10, 9, 0, false, 0.5}, {20, 19, 0, false, 0.5}}},
		"RecoversTenPercentEveryTenQuietSeconds":    {80, []step{{10, 9, 0, true, 40}, {19.999, look, 0, false, 40}, {20, look, 0, false, 44}, {40, look, 0, false, 53.24}, {80, look, 0, false, 40 * math.Pow(1.1, 7)}, {90, look, 0, false, 80}, {91, 90, 0, true, 40}}},
		"AnAnswerThatCutsNothingPutsOffRecovery":    {80, []step{{10, 9, 0, true, 40}, {19, 18, 0, false, 40}, {28, look, 0, false, 40}, {29, look, 0, false, 44}}},
		"WithoutALimitStartsFromTheLastSecond":      {0, []step{{10, 9, 500, true, 250}, {150, look, 0, false, 250 * math.Pow(1.1, 14)}, {160, look, 0, false, 0}}},
		"WithoutALimitASecondCutStartsFromTheLast":  {0, []step{{10, 9, 500, true, 250}, {20, 19, 250, true, 137.5}}},
		"WithoutTrafficStartsFromOnePerSecond":      {0, []step{{10, 9, 0, true, 1}, {89, look, 0, false, math.Pow(1.1, 7)}, {90, look, 0, false, 0}}},
		"ABusyClockThatStoodStillRecoversAllAtOnce": {80, []step{{10, 9, 0, true, 40}, {10_000, look, 0, false, 80}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(seconds float64) time.Time {
				return time.Unix(1_800_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
			}
			var s Slowdown
			for _, step := range test.steps {
				cut := false
				if step.begun == look {
					s = s.At(at(step.at), test.limit)
				} else {
					s, cut = s.Note(at(step.at), at(step.begun), test.limit, step.sent)
				}
				if got := s.Allowed(test.limit); cut != step.cut || math.Abs(got-step.want) > 1e-9 {
					t.Fatalf("at %v s: cut %v and %v/s, want %v and %v/s", step.at, cut, got, step.cut, step.want)
				}
			}
		})
	}

	t.Run("AChangedLimitHoldsDuringIt", func(t *testing.T) {
		t.Parallel()
		s := Slowdown{Rate: 40, Refused: 80}
		for limit, want := range map[float64]float64{30: 30, 80: 40, 0: 40} {
			if got := s.Allowed(limit); got != want {
				t.Errorf("of %v/s: %v/s, want %v/s", limit, got, want)
			}
		}
	})
}
