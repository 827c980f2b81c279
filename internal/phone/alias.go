package phone

import "strings"

// Aliases returns every E.164 form under which WhatsApp may report the person
// behind e164, e164 itself first (whatsapp-facts §7.1). The provider rewrites
// numbers of three countries, so wa_id, recipient_id and from can differ from
// what was sent:
//
//   - Brazil: mobile numbers with and without the ninth digit, when the eight
//     digits begin with 6 to 9 (others are landlines).
//   - Mexico: with and without the 1 after 52.
//   - Argentina: 54 9 X also as 54 X. Not the other way round: 54 X alone may
//     be a landline, and gets no mobile form.
func Aliases(e164 string) []string {
	digits, ok := strings.CutPrefix(e164, "+")
	if !ok {
		return []string{e164}
	}
	switch {
	case brazilianMobile(digits):
		if len(digits) == 13 {
			return []string{e164, "+" + digits[:4] + digits[5:]}
		}
		return []string{e164, "+" + digits[:4] + "9" + digits[4:]}
	case strings.HasPrefix(digits, "521") && len(digits) == 13:
		return []string{e164, "+52" + digits[3:]}
	case strings.HasPrefix(digits, "52") && len(digits) == 12:
		return []string{e164, "+521" + digits[2:]}
	case strings.HasPrefix(digits, "549") && len(digits) == 13:
		return []string{e164, "+54" + digits[3:]}
	}
	return []string{e164}
}

// MatchKey returns one string for all forms of a person's number: two numbers
// have the same key exactly when one is among the other's aliases. It finds
// repeats on a list, and the contact that a webhook speaks of. It is a key and
// not a number to write to.
//
// In Argentina the key of 54 9 X is that of 54 X. Two landlines never share a
// key, because their X differ, and no X belongs to a mobile and a landline at
// once: 9 and 15 are prefixes for dialling a mobile, not part of its number.
func MatchKey(e164 string) string {
	digits, ok := strings.CutPrefix(e164, "+")
	if !ok {
		return e164
	}
	switch {
	case brazilianMobile(digits) && len(digits) == 12:
		return "+" + digits[:4] + "9" + digits[4:]
	case strings.HasPrefix(digits, "521") && len(digits) == 13:
		return "+52" + digits[3:]
	case strings.HasPrefix(digits, "549") && len(digits) == 13:
		return "+54" + digits[3:]
	}
	return e164
}

// FromWaID turns the digits of a webhook's wa_id, recipient_id or from into
// E.164, in the form in which we store numbers (a Mexican 521… becomes +52…).
// It reports false for anything that is not such a number, above all for
// BSUIDs: stripped to its digits, US.1349… would be somebody's number.
func FromWaID(digits string) (string, bool) {
	digits = strings.TrimPrefix(digits, "+")
	if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' {
		return "", false
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return "", false
		}
	}
	if strings.HasPrefix(digits, "521") && len(digits) == 13 {
		return "+52" + digits[3:], true
	}
	return "+" + digits, true
}

// brazilianMobile recognises 55 DD 9XXXXXXXX and 55 DD XXXXXXXX whose X part
// begins with 6 to 9.
func brazilianMobile(digits string) bool {
	if !strings.HasPrefix(digits, "55") {
		return false
	}
	switch len(digits) {
	case 12:
		return digits[4] >= '6' && digits[4] <= '9'
	case 13:
		return digits[4] == '9' && digits[5] >= '6' && digits[5] <= '9'
	}
	return false
}
