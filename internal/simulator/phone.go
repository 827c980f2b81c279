package simulator

import "strings"

// digitsOf keeps the digits of a phone number.
func digitsOf(s string) string {
	if only(s, func(b byte) bool { return b >= '0' && b <= '9' }) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// twoDigitCodes are the country calling codes of two digits; besides 1 and 7 all
// others have three.
const twoDigitCodes = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "

// callingCode returns the country calling code a number in E.164 begins with.
func callingCode(digits string) string {
	switch {
	case digits == "":
		return ""
	case digits[0] == '1' || digits[0] == '7':
		return digits[:1]
	case len(digits) >= 2 && strings.Contains(twoDigitCodes, " "+digits[:2]+" "):
		return digits[:2]
	default:
		return digits[:min(3, len(digits))]
	}
}

// notUnitedStates lists the +1 area codes that are not of the United States:
// Canada, the Caribbean and Atlantic, and the US territories, which the pause of
// marketing to US numbers is taken not to cover (whatsapp-facts §7.2).
const notUnitedStates = " 204 226 236 249 250 257 263 273 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 468 474 506 514 519 548 579" +
	" 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905 942 600 622 633" +
	" 787 939 340 671 684 670" +
	" 242 246 264 268 284 345 441 473 649 658 876 664 721 758 767 784 809 829 849 868 869 "

func isUnitedStates(digits string) bool {
	return len(digits) == 11 && digits[0] == '1' && !strings.Contains(notUnitedStates, " "+digits[1:4]+" ")
}

// uncappedCodes are the calling codes of the EEA, the United Kingdom, Japan and
// South Korea, where the limit of marketing messages per person is not in force
// (whatsapp-facts §5).
const uncappedCodes = " 43 32 359 385 357 420 45 372 358 33 49 30 36 353 39 371 370 352 356 31 48 351 40 421 386 34 46 354 423 47 44 81 82 "

func isUncapped(digits string) bool {
	return strings.Contains(uncappedCodes, " "+callingCode(digits)+" ")
}

// canonical is the number a send goes to: digits with the calling code. A number
// without a plus sign gets the code of the sender put before it, even when it
// has one already (whatsapp-facts §0, trap 5); a simulator that was not told the
// sender's number cannot know it and takes the number as complete.
func canonical(to, senderCode string) string {
	digits := digitsOf(to)
	if strings.HasPrefix(strings.TrimSpace(to), "+") {
		return digits
	}
	return senderCode + digits
}

// whatsAppID is what the provider calls the number, which for some Brazilian,
// Mexican and Argentine numbers is not the number itself (whatsapp-facts §7.1).
func whatsAppID(digits string) string {
	switch {
	case len(digits) == 13 && digits[:2] == "55" && digits[4] == '9' && digits[5] >= '6' && !keepsNinthDigit(digits[2:4]):
		return digits[:4] + digits[5:]
	case len(digits) == 12 && digits[:2] == "52":
		return "521" + digits[2:]
	default:
		return digits
	}
}

func keepsNinthDigit(area string) bool {
	return area >= "11" && area <= "19" || strings.Contains(" 21 22 24 27 28 ", " "+area+" ")
}
