// Package keyword knows the words by which people stop and start marketing, in
// many languages, and the form in which words are compared. It must not know
// messages, people or the database.
package keyword

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The meanings of a word.
const (
	Stop  = "stop"
	Start = "start"
)

// longest bounds a keyword, in bytes: whoever writes more writes a sentence.
const longest = 100

// Normalise gives the form in which words are compared: lower case, without
// accents and other marks, punctuation and symbols, and with single spaces.
// "¡Parar!" and "PARAR" are one word. What is too long to be a keyword, or
// nothing but punctuation, gives "".
func Normalise(text string) string {
	if len(text) > longest {
		return ""
	}
	var b strings.Builder
	space := false
	for _, r := range norm.NFKD.String(strings.ToLower(strings.ToValidUTF8(text, ""))) {
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r):
			continue
		case r == 'ı': // what "I" is in Turkish
			r = 'i'
		case !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r):
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return norm.NFC.String(b.String())
}

//go:embed words.csv
var wordsCSV string

// builtIn are the words of words.csv in their normal form.
//
//nolint:gochecknoglobals // made once, never changed
var builtIn = sync.OnceValue(func() map[string]string {
	words := map[string]string{}
	for _, w := range Words() {
		words[Normalise(w.Word)] = w.Meaning
	}
	return words
})

// Word is one built-in word.
type Word struct {
	Language string `json:"language"` // ISO 639-1
	Meaning  string `json:"meaning"`  // Stop or Start
	Word     string `json:"word"`
}

// Words lists the built-in words.
func Words() []Word {
	var words []Word
	for line := range strings.Lines(wordsCSV) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		language, rest, _ := strings.Cut(line, ",")
		meaning, word, _ := strings.Cut(rest, ",")
		words = append(words, Word{Language: language, Meaning: meaning, Word: word})
	}
	return words
}

// Meaning gives what a word in its normal form means to us without being told:
// Stop, Start or "".
func Meaning(normal string) string { return builtIn()[normal] }
