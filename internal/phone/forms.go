package phone

import (
	"slices"
	"strings"
)

// Forms returns every E.164 form whose match key is that of e164, e164 itself
// first: what Aliases gives, and of an Argentine number also the mobile form of
// what may be a landline. They are for finding a person in what is stored, never
// for writing to.
func Forms(e164 string) []string {
	forms := Aliases(e164)
	for _, form := range Aliases(MatchKey(e164)) {
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	if digits, ok := strings.CutPrefix(MatchKey(e164), "+54"); ok && len(digits) == 10 {
		if mobile := "+549" + digits; !slices.Contains(forms, mobile) {
			forms = append(forms, mobile)
		}
	}
	return forms
}
