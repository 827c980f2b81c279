package postgres

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// personHash makes the keyed hash by which people stand on the suppression list:
// HMAC-SHA256 (RFC 2104) of a match key or of a business-scoped user id. The two
// pads are what SQL needs to make the same.
type personHash struct {
	key          []byte
	inner, outer []byte
}

func newPersonHash(hexKey string) (personHash, error) {
	key, err := hex.DecodeString(hexKey)
	if err != nil || len(key) < 16 || len(key) > sha256.BlockSize {
		return personHash{}, fmt.Errorf("the setting person_key is not a key of 16 to %d bytes in hexadecimal digits", sha256.BlockSize)
	}
	h := personHash{key: key, inner: make([]byte, sha256.BlockSize), outer: make([]byte, sha256.BlockSize)}
	copy(h.inner, key)
	copy(h.outer, key)
	for i := range sha256.BlockSize {
		h.inner[i] ^= 0x36
		h.outer[i] ^= 0x5c
	}
	return h, nil
}

// known is false for a role that may not see the key.
func (h personHash) known() bool { return h.key != nil }

// of hashes a match key or a user id.
func (h personHash) of(person string) []byte {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(person))
	return mac.Sum(nil)
}

var (
	//go:embed sql/suppress_add.sql
	suppressAddSQL string
	//go:embed sql/suppress_list.sql
	suppressListSQL string
)

// suppressChunk is how many entries one transaction of Suppress takes: claims
// wait for it.
const suppressChunk = 5000

// Suppress puts people and countries on the suppression list: they get nothing,
// of whatever category, under any form of their number. When it returns no
// further message to them is claimed. It returns how many were not on it before;
// repeating it changes nothing.
func (s *Store) Suppress(ctx context.Context, entries []campaign.Suppression) (int64, error) {
	var added int64
	for chunk := range slices.Chunk(entries, suppressChunk) {
		columns := s.suppressionColumns(chunk)
		n, err := s.changePeople(ctx, act{action: "suppress", object: "people"}, suppressAddSQL, columns.hashes, columns.phones, columns.reasons)
		if err == nil && len(columns.countries) > 0 {
			added += n
			n, err = s.changePeople(ctx, act{action: "suppress", object: "countries", detail: strings.Join(columns.countries, " ")}, `INSERT INTO campaign.suppressed_countries (country, reason)
				SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT (country) DO NOTHING`, columns.countries, columns.countryReasons)
		}
		added += n
		if err != nil {
			return added, fmt.Errorf("suppress %d people and countries: %w", len(entries), err)
		}
	}
	return added, nil
}

// Unsuppress takes people, those who were forgotten too, and countries from the
// suppression list, and returns how many were on it. An opt-out stays.
func (s *Store) Unsuppress(ctx context.Context, entries []campaign.Suppression) (int64, error) {
	columns := s.suppressionColumns(entries)
	n, err := s.changePeople(ctx, act{action: "unsuppress", object: "people"}, `DELETE FROM campaign.suppressions WHERE scope = 'all' AND hash = ANY($1::bytea[])`, columns.hashes)
	if err == nil && len(columns.countries) > 0 {
		var countries int64
		countries, err = s.changePeople(ctx, act{action: "unsuppress", object: "countries", detail: strings.Join(columns.countries, " ")}, `DELETE FROM campaign.suppressed_countries WHERE country = ANY($1::text[])`, columns.countries)
		n += countries
	}
	if err != nil {
		return n, fmt.Errorf("take %d people and countries from the suppression list: %w", len(entries), err)
	}
	return n, nil
}

// suppressionColumns are entries by column, as unnest wants them.
type suppressionColumns struct {
	hashes                    [][]byte
	phones, reasons           []string
	countries, countryReasons []string
}

func (s *Store) suppressionColumns(entries []campaign.Suppression) suppressionColumns {
	c := suppressionColumns{hashes: [][]byte{}}
	for _, e := range entries {
		if e.Country != "" && e.Phone == "" {
			c.countries, c.countryReasons = append(c.countries, e.Country), append(c.countryReasons, plainText(e.Reason))
			continue
		}
		c.hashes, c.phones, c.reasons = append(c.hashes, s.people.of(e.MatchKey)), append(c.phones, e.Phone), append(c.reasons, plainText(e.Reason))
	}
	return c
}

// changePeople runs a statement that claims must see: it waits for claims under
// way and binds every later one.
func (s *Store) changePeople(ctx context.Context, what act, statement string, args ...any) (int64, error) {
	var n int64
	err := s.inPeopleTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, statement, args...)
		if n = tag.RowsAffected(); err != nil || n == 0 {
			return err
		}
		what.count = n
		return s.audit(ctx, tx, what)
	})
	return n, translate(err)
}

// Suppressions gives the suppression list, countries first, to yield, whose
// error it returns. People who were forgotten are counted and not named.
func (s *Store) Suppressions(ctx context.Context, yield func(campaign.Suppression) error) (forgotten int64, err error) {
	rows, err := s.pool.Query(ctx, suppressListSQL)
	if err != nil {
		return 0, fmt.Errorf("read the suppression list: %w", translate(err))
	}
	defer rows.Close()
	for rows.Next() {
		var e campaign.Suppression
		var unnamed int64
		if err := rows.Scan(&e.Phone, &e.Country, &e.Reason, &e.CreatedAt, &unnamed); err != nil {
			return 0, err
		}
		forgotten += unnamed
		if cmp.Or(e.Phone, e.Country) == "" {
			continue
		}
		if err := yield(e); err != nil {
			return forgotten, err
		}
	}
	return forgotten, translate(rows.Err())
}
