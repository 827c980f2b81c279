package sender

import (
	"slices"
	"testing"
)

// Who lifts the hold without mending the template gets it back before the list
// is burned.
func TestRepeatedFailuresHoldTheTemplateAgain(t *testing.T) {
	t.Parallel()
	var s streaks
	var held []int
	for n := range 3 * repeatLimit {
		if s.failed(1, "132000") {
			held = append(held, n+1)
		}
	}
	if want := []int{repeatLimit, 2 * repeatLimit, 3 * repeatLimit}; !slices.Equal(held, want) {
		t.Errorf("held after %v, want %v", held, want)
	}
}
