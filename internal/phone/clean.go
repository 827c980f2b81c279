package phone

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxInput bounds what is looked at, in bytes. The longest number has 15
// digits; the rest is room for decoration.
const maxInput = 128

// text is an input reduced to what matters.
type text struct {
	plus   bool   // began with + (or a full-width plus)
	digits string // ASCII digits, never empty
}

var (
	// BSUIDs name WhatsApp users without a phone number (whatsapp-facts §7.1).
	bsuidPattern = regexp.MustCompile(`^[A-Za-z]{2}\.(?:[Ee][Nn][Tt]\.)?[A-Za-z0-9]{1,128}$`)
	// 4.91512E+11 or 4,91512E+11: what Excel writes for a long number when the
	// column is narrow and the file is saved as text. The digits are lost.
	scientificPattern = regexp.MustCompile(`^[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+$`)
	// 491512345678.0: a number that went through a floating point column. Fewer
	// digits before the point may be a number written with points.
	floatPattern     = regexp.MustCompile(`^\+?[0-9]{8,}[.,]0{1,6}$`)
	extensionPattern = regexp.MustCompile(`(?i)[0-9)][\s,.;:/-]*(?:;ext=|\bext(?:ension)?\b|ext|x|#|доб|anexo|ramal|poste|durchwahl|\bdw\b|\bint\b)[\s.:=-]*[0-9]{1,7}\s*$`)
	schemePattern    = regexp.MustCompile(`(?i)^(?:tel|whatsapp|sms|phone):(?://)?`)
)

// clean strips decoration and names what cannot be a single phone number. It
// is the only place that sees the raw input.
func clean(input string) (text, *Error) {
	s := trim(input)
	if t, ok := plainDigits(s); ok {
		return t, nil
	}
	s = trim(strings.TrimLeft(s, "'’`\""))
	s = trim(strings.TrimRight(s, "\"'"))
	s = trim(schemePattern.ReplaceAllString(s, ""))
	if s == "" {
		return text{}, &Error{CodeEmpty, "the phone number is empty"}
	}
	// The BSUID check comes before the length: its 128 characters are allowed.
	if bsuidPattern.MatchString(s) {
		return text{}, &Error{CodeBSUID, "a WhatsApp user id (BSUID) is not a phone number"}
	}
	if len(s) > maxInput {
		return text{}, &Error{CodeTooLong, "too long for a phone number"}
	}
	s = asciiDigits(s)
	if scientificPattern.MatchString(s) {
		return text{}, &Error{CodeScientific, "Excel turned the number into scientific notation (like 4.9E+11) and lost its digits: format the column as text and save again"}
	}
	if floatPattern.MatchString(s) {
		s = s[:strings.LastIndexAny(s, ".,")]
	}
	if extensionPattern.MatchString(s) {
		return text{}, extensionError()
	}
	if several(s) {
		return text{}, &Error{CodeSeveral, "several numbers in one cell: keep one, or give each its own row"}
	}
	return strip(s)
}

func extensionError() *Error {
	return &Error{CodeExtension, "a number with an extension cannot be reached by WhatsApp: remove the extension"}
}

// plainDigits recognises what needs no cleaning: + and digits, or digits.
func plainDigits(s string) (text, bool) {
	digits, plus := strings.CutPrefix(s, "+")
	if digits == "" || len(digits) > 32 {
		return text{}, false
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return text{}, false
		}
	}
	return trimInternational(text{plus: plus, digits: digits}), true
}

// trimInternational reads +00… as +…, a slip of converting 00 to +.
func trimInternational(t text) text {
	if rest, ok := strings.CutPrefix(t.digits, "00"); ok && t.plus && rest != "" {
		t.digits = rest
	}
	return t
}

// strip drops separators and refuses everything else.
func strip(s string) (text, *Error) {
	var t text
	digits := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits = append(digits, byte(r))
		case r == '+' && len(digits) == 0:
			t.plus = true
		case separator(r):
		case unicode.IsLetter(r):
			return text{}, &Error{CodeLetters, "a phone number cannot contain letters"}
		default:
			return text{}, &Error{CodeCharacters, "contains a character that does not belong in a phone number"}
		}
	}
	if len(digits) == 0 {
		return text{}, &Error{CodeEmpty, "the phone number has no digits"}
	}
	t.digits = string(digits)
	return trimInternational(t), nil
}

// separator reports whether people put r between the digits of a number.
func separator(r rune) bool {
	switch r {
	case '-', '.', '(', ')', '/', '[', ']', '（', '）', '．', '／', '−', '·', '・', 'ー', '\t':
		return true
	}
	return unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Pd, r) || invisible(r)
}

// invisible reports characters without ink that address books and chat
// programs leave around copied numbers: direction marks, zero-width spaces,
// byte order marks.
func invisible(r rune) bool {
	return unicode.Is(unicode.Cf, r)
}

// several reports whether s holds more than one number, or one with a second
// ending: another plus sign after digits, or a list separator after what is
// already long enough for a number. A slash behind an area code (030/123456)
// separates nothing; "0301234567/68" is two numbers in short.
func several(s string) bool {
	if plus := strings.LastIndexByte(s, '+'); plus > 0 && countDigits(s[:plus]) > 0 {
		return true
	}
	const separators = ",;|&/\r\n"
	for i := strings.IndexAny(s, separators); i >= 0; {
		rest := s[i+1:]
		next := strings.IndexAny(rest, separators)
		part := rest
		if next >= 0 {
			part = rest[:next]
		}
		digits := countDigits(part)
		if countDigits(s[:i]) >= 7 && digits > 0 && (s[i] != '/' || digits >= 7 || digits <= 3) {
			return true
		}
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

func countDigits(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || invisible(r) || r == 0 })
}

// asciiDigits turns the decimal digits of any script, and full-width plus
// signs, into ASCII.
func asciiDigits(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf:
			return r
		case r == '＋' || r == '﹢' || r == '⁺':
			return '+'
		case unicode.Is(unicode.Nd, r):
			return '0' + digitValue(r)
		}
		return r
	}, s)
}

// digitValue gives the value of a decimal digit of any script. Unicode keeps
// the digits 0 to 9 of a script side by side in ranges whose length is a
// multiple of ten.
func digitValue(r rune) rune {
	for _, rng := range unicode.Nd.R16 {
		if rune(rng.Lo) <= r && r <= rune(rng.Hi) {
			return (r - rune(rng.Lo)) % 10
		}
	}
	for _, rng := range unicode.Nd.R32 {
		if rune(rng.Lo) <= r && r <= rune(rng.Hi) {
			return (r - rune(rng.Lo)) % 10
		}
	}
	return 0
}
