package keyword_test

import (
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/keyword"
)

func TestWordsAreComparedWithoutCaseAccentsAndPunctuation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"STOP": "stop", " Stop. ": "stop", "stop!!! 🙏": "stop", "S.T.O.P": "", "\u200eSTOP\u200f": "stop",
		"Stop   Promotions": "stop", "stop-all": "stop", "Ｓｔｏｐ": "stop",
		"¡Parar!": "stop", "Arrêt": "stop", "arrêt": "stop", "ARRET": "stop", "DÉSABONNER": "stop",
		"İPTAL": "stop", "iptal": "stop", "IPTAL": "stop", "Çık": "",
		"СТОП": "stop", "إيقاف": "stop", "ايقاف": "stop", "बंद करें": "stop", "退订": "stop", "수신거부": "stop",
		// Opt-out buttons of templates: those of the simulator, and what people write
		// where the word is borrowed or another form of it is usual.
		"No more offers": "stop", "Keine Angebote mehr": "stop", "ストップ": "stop", "ｽﾄｯﾌﾟ": "stop", "أوقف": "stop", "اوقف": "stop",
		"no more": "", "offers": "", "no more offers?! when": "", "keine": "", "angebote": "",
		"START": "start", "s’abonner": "start",
		"please stop by tomorrow": "", "I will not stop": "", "stopped": "", "cancel": "", "": "", "👍": "",
		strings.Repeat("stop ", 50): "", "stop\x00": "stop", "stop\xff": "stop",
	} {
		if got := keyword.Meaning(keyword.Normalise(text)); got != want {
			t.Errorf("%q means %q, want %q (normal form %q)", text, got, want, keyword.Normalise(text))
		}
	}
}

func TestBuiltInWordsAreWhole(t *testing.T) {
	t.Parallel()
	meanings := map[string]string{}
	languages := map[string]bool{}
	for _, w := range keyword.Words() {
		normal := keyword.Normalise(w.Word)
		if normal == "" || len(w.Language) != 2 || w.Meaning != keyword.Stop && w.Meaning != keyword.Start {
			t.Errorf("%+v", w)
		}
		if known, ok := meanings[normal]; ok && known != w.Meaning {
			t.Errorf("%q means two things", w.Word)
		}
		if keyword.Normalise(normal) != normal {
			t.Errorf("the normal form of %q is not one: %q", w.Word, normal)
		}
		meanings[normal], languages[w.Language] = w.Meaning, true
	}
	if len(languages) < 20 {
		t.Errorf("%d languages", len(languages))
	}
}
