package campaign

import "strings"

// closest gives the candidate that was most likely meant by a word that is none
// of them, or "" when none is close: the same letters in another case or with
// other separators, the last part of a candidate ("first_name" for
// "body.first_name"), or at most two slips of the finger.
func closest(word string, candidates []string) string {
	plain := letters(word)
	best, least := "", 3
	for _, c := range candidates {
		if letters(c) == plain {
			return c
		}
		if _, last, ok := strings.Cut(c, "."); ok && last == word {
			return c
		}
		// Two slips in a word of three letters would be another word.
		if d := distance(word, c); d < least && d*2 < len(c) {
			best, least = c, d
		}
	}
	return best
}

// letters keeps the letters and digits of a word, in lower case.
func letters(word string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, word)
}

// distance is the number of insertions, deletions and replacements that turn a
// into b. Words of more than 64 bytes are far from everything: the input may be
// a stranger's.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
