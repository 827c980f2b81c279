package postgres

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/campaignd/campaignd/internal/campaign"
)

// messageColumn is a column of messages that transitions change.
type messageColumn struct {
	name, array string
	differs     func(*lockedMessage) bool
	values      func([]*lockedMessage) any
}

func column[T comparable](name, array string, get func(*campaign.Message) T) messageColumn {
	return messageColumn{name: name, array: array,
		differs: func(m *lockedMessage) bool { return get(&m.Message) != get(&m.before) },
		values: func(rows []*lockedMessage) any {
			values := make([]T, len(rows))
			for i, m := range rows {
				values[i] = get(&m.Message)
			}
			return values
		}}
}

func messageColumns() []messageColumn {
	type message = campaign.Message
	at := func(name string, get func(*message) *time.Time) messageColumn {
		return column(name, "timestamptz[]", get)
	}
	return []messageColumn{
		column("state", "text[]", func(m *message) string { return string(m.State) }),
		column("reason", "text[]", func(m *message) string { return m.Reason }),
		column("error_code", "text[]", func(m *message) string { return m.ErrorCode }),
		column("raw_status", "text[]", func(m *message) string { return m.RawStatus }),
		column("provider_id", "text[]", func(m *message) string { return m.ProviderID }),
		column("attempt", "int[]", func(m *message) int32 { return int32(m.Attempt) }),
		column("posted", "int[]", func(m *message) int32 { return int32(m.Posted) }),
		column("posts", "int[]", func(m *message) int32 { return int32(m.Posts) }),
		column("proof", "smallint[]", func(m *message) int16 { return int16(m.Proof) }),
		column("resends", "smallint[]", func(m *message) int16 { return int16(m.Resends) }),
		column("resend", "boolean[]", func(m *message) bool { return m.Resend }),
		column("claim_id", "uuid[]", func(m *message) pgtype.UUID { return pgtype.UUID{Bytes: m.ClaimID, Valid: !m.ClaimID.IsZero()} }),
		at("claimed_at", func(m *message) *time.Time { return m.ClaimedAt }),
		at("due_at", func(m *message) *time.Time { return m.DueAt }),
		at("sent_at", func(m *message) *time.Time { return m.SentAt }),
		at("delivered_at", func(m *message) *time.Time { return m.DeliveredAt }),
		at("read_at", func(m *message) *time.Time { return m.ReadAt }),
		at("failed_at", func(m *message) *time.Time { return m.FailedAt }),
	}
}

// queueMessages writes changed messages back, and of their columns only those that
// changed in any of them: a claim changes 7 of 18, an answer 4, a status 3. due_at
// is the only column here that an index names; where nobody's changed the update is
// HOT.
//
// rows are in the order of their ids. They are locked, so each is still where it
// was read, and no index is asked where that is. Where one was not written the
// transaction fails (elsewhere): a claim that only we believe in would be posted
// and then claimed again.
func (s *Store) queueMessages(b *pgx.Batch, rows []*lockedMessage) {
	var sets, arrays, names strings.Builder
	args := []any{rows[0].ID, rows[len(rows)-1].ID, ids(rows), places(rows)}
	for _, c := range s.columns {
		changed := false
		for _, m := range rows {
			if changed = c.differs(m); changed {
				break
			}
		}
		if !changed {
			continue
		}
		args = append(args, c.values(rows))
		fmt.Fprintf(&sets, "%[1]s = c.%[1]s, ", c.name)
		fmt.Fprintf(&arrays, ", $%d::%s", len(args), c.array)
		fmt.Fprintf(&names, ", %s", c.name)
	}
	b.Queue(fmt.Sprintf(`WITH written AS (
		UPDATE campaign.messages AS m SET %supdated_at = now() FROM unnest($3::bigint[], $4::tid[]%s) AS c(id, place%s)
		 WHERE m.ctid = c.place AND m.id = c.id AND m.id BETWEEN $1 AND $2 RETURNING 1)
		SELECT 1 / (count(*) = cardinality($3::bigint[]))::int FROM written`, sets.String(), arrays.String(), names.String()), args...)
}

func places(rows []*lockedMessage) []pgtype.TID {
	places := make([]pgtype.TID, len(rows))
	for i, m := range rows {
		places[i] = m.place
	}
	return places
}

func ids(rows []*lockedMessage) []int64 {
	ids := make([]int64, len(rows))
	for i, m := range rows {
		ids[i] = int64(m.ID)
	}
	return ids
}
