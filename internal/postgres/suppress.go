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

// suppressChunk is how many numbers one transaction of Suppress takes: claims
// wait for it.
const suppressChunk = 5000

// Suppress puts people on the suppression list: they get nothing, of whatever
// category, under any form of their number. When it returns no further message
// to them is claimed. It returns how many were not on it before. Repeating it
// changes nothing.
func (s *Store) Suppress(ctx context.Context, people []campaign.ContactRow, reason string) (int64, error) {
	byHash := make(map[string]bool, len(people))
	entries := make([]campaign.Suppression, 0, len(people))
	for _, p := range people {
		hash := s.people.of(p.MatchKey)
		if byHash[string(hash)] {
			continue
		}
		byHash[string(hash)] = true
		entries = append(entries, campaign.Suppression{Phone: p.Phone, Hash: hash})
	}
	slices.SortFunc(entries, func(a, b campaign.Suppression) int { return slices.Compare(a.Hash, b.Hash) })
	var added int64
	for chunk := range slices.Chunk(entries, suppressChunk) {
		phones, hashes := make([]string, len(chunk)), make([][]byte, len(chunk))
		for i, e := range chunk {
			phones[i], hashes[i] = e.Phone, e.Hash
		}
		n, err := s.changePeople(ctx, suppressAddSQL, pgx.StrictNamedArgs{"hashes": hashes, "phones": phones, "reason": plainText(reason)})
		if err != nil {
			return added, fmt.Errorf("suppress %d people: %w", len(people), err)
		}
		added += n
	}
	return added, nil
}

// Unsuppress takes people from the suppression list, those who were forgotten
// too, and returns how many were on it. An opt-out stays.
func (s *Store) Unsuppress(ctx context.Context, people []campaign.ContactRow) (int64, error) {
	hashes := make([][]byte, len(people))
	for i, p := range people {
		hashes[i] = s.people.of(p.MatchKey)
	}
	n, err := s.changePeople(ctx, `DELETE FROM campaign.suppressions WHERE scope = 'all' AND hash = ANY($1::bytea[])`, hashes)
	if err != nil {
		return 0, fmt.Errorf("take %d people from the suppression list: %w", len(people), err)
	}
	return n, nil
}

// SuppressCountries blocks whole countries by their ISO 3166-1 codes. When it
// returns nothing more to them is claimed. It returns how many were not blocked
// before.
func (s *Store) SuppressCountries(ctx context.Context, codes []string, reason string) (int64, error) {
	n, err := s.changePeople(ctx, `INSERT INTO campaign.suppressed_countries (country, reason)
		SELECT DISTINCT c, $2 FROM unnest($1::text[]) AS c ON CONFLICT (country) DO NOTHING`, codes, plainText(reason))
	if err != nil {
		return 0, fmt.Errorf("block %d countries: %w", len(codes), err)
	}
	return n, nil
}

// UnsuppressCountries lets messages go to countries again, and returns how many
// were blocked.
func (s *Store) UnsuppressCountries(ctx context.Context, codes []string) (int64, error) {
	n, err := s.changePeople(ctx, `DELETE FROM campaign.suppressed_countries WHERE country = ANY($1::text[])`, codes)
	if err != nil {
		return 0, fmt.Errorf("unblock %d countries: %w", len(codes), err)
	}
	return n, nil
}

// changePeople runs a statement that claims must see: it waits for claims under
// way and binds every later one.
func (s *Store) changePeople(ctx context.Context, statement string, args ...any) (int64, error) {
	var n int64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, peopleKey()); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, statement, args...)
		n = tag.RowsAffected()
		return err
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
