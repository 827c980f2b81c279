package campaign

import (
	"encoding/json"
	"maps"
	"testing"
)

// What is read the short way must be read the same by the decoder, and what the
// decoder refuses must be refused.
func FuzzPlainTexts(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"body.1": "Ann", "body.2": "50 %"}`, `{"body.1":"Ann"}`, `{"a": ""}`, `{"a": "ä"}`, "{\"a\": \"\xff\"}", `{"a": "b\"c"}`, `{"a": "b",}`,
		`{"a": 5}`, `{"a": "b" "c": "d"}`, `{"a": "b"}}`, `{"a": "b", "a": "c"}`, `{ "a": "b"}`, `{"a" : "b"}`, "{\"a\": \"\n\"}", `{"a": "b", }`, `[]`, `null`, `}`, `{`, `{"a"}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, ok := plainTexts(data)
		if !ok {
			return
		}
		var texts map[string]string
		if err := json.Unmarshal(data, &texts); err != nil {
			t.Fatalf("%q was read as %v, but %v", data, plain, err)
		}
		want := Parameters{}
		for k, v := range texts {
			want[k] = Value{Text: v}
		}
		if !maps.Equal(want, plain) {
			t.Fatalf("%q was read as %v, want %v", data, plain, want)
		}
	})
}

func BenchmarkParameters(b *testing.B) {
	for name, data := range map[string]string{"Plain": `{"body.1": "Ann", "body.2": "SPRING20"}`, "Decoder": `{"body.1": "Ann", "body.2": "SPRING\u0032"}`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var p Parameters
				if err := p.UnmarshalJSON([]byte(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
