package phone_test

import (
	"fmt"
	"testing"

	"github.com/campaignd/campaignd/internal/phone"
)

func TestFormsShareAMatchKey(t *testing.T) {
	t.Parallel()
	for number, want := range map[string][]string{
		"+491701234567":  {"+491701234567"},
		"+5541987654321": {"+5541987654321", "+554187654321"},
		"+554187654321":  {"+554187654321", "+5541987654321"},
		"+525512345678":  {"+525512345678", "+5215512345678"},
		"+5215512345678": {"+5215512345678", "+525512345678"},
		"+5491123456789": {"+5491123456789", "+541123456789"},
		"+541123456789":  {"+541123456789", "+5491123456789"},
	} {
		got := phone.Forms(number)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", number, got, want)
		}
		for _, form := range got {
			if phone.MatchKey(form) != phone.MatchKey(number) {
				t.Errorf("%s and %s have two match keys", number, form)
			}
		}
	}
}
