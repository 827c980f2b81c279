package phone

import (
	"testing"
	"unicode"
)

func TestDigitRangesAreMultiplesOfTen(t *testing.T) {
	t.Parallel()

	// What digitValue relies on.
	for _, r := range unicode.Nd.R16 {
		if r.Stride != 1 || (r.Hi-r.Lo+1)%10 != 0 {
			t.Errorf("range %U to %U", r.Lo, r.Hi)
		}
	}
	for _, r := range unicode.Nd.R32 {
		if r.Stride != 1 || (r.Hi-r.Lo+1)%10 != 0 {
			t.Errorf("range %U to %U", r.Lo, r.Hi)
		}
	}
}
