package postgres_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/pgtest"
)

// What the table of contacts takes as a number is what this expression says.
func TestContactsTakeNumbersAlone(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	number := regexp.MustCompile(`^\+[1-9][0-9]{4,16}$`)
	takes := func(phone string) bool {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(t.Context())
		_, err = tx.Exec(t.Context(), `INSERT INTO campaign.contacts (phone, match_key) VALUES ($1, '')`, phone)
		return err == nil
	}
	for _, phone := range []string{"", "+", "+1", "+12345", "+1234", "+02345", "12345", "+1234567890123456", "+12345678901234567", "+123456789012345678",
		"+12345\n", "+12 345", "+1234a", "+a2345", "+:2345", "++2345", "+123+45", "+12345+", "-12345", "+1234٣", `+1234\`, `+123\x34`, `\x2b3132333435`} {
		if got, want := takes(phone), number.MatchString(phone); got != want {
			t.Errorf("%q: taken %v, want %v", phone, got, want)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		phone := rapid.StringMatching(`[+0]?[0-9+a:\\]{0,2}[0-9]{2,18}[0-9+ \\x]?`).Draw(r, "phone")
		if got, want := takes(phone), number.MatchString(phone); got != want {
			r.Errorf("%q: taken %v, want %v", phone, got, want)
		}
	})
}
