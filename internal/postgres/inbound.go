package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/inbound_person.sql
	inboundPersonSQL string
	//go:embed sql/inbound_reply.sql
	inboundReplySQL string
	//go:embed sql/inbound_window.sql
	inboundWindowSQL string
	//go:embed sql/inbound_waiting.sql
	inboundWaitingSQL string
	//go:embed sql/inbound_user_ids.sql
	inboundUserIDsSQL string
	//go:embed sql/preference_set.sql
	preferenceSetSQL string
	//go:embed sql/preference_lift.sql
	preferenceLiftSQL string
	//go:embed sql/wish_stop.sql
	wishStopSQL string
	//go:embed sql/wish_start.sql
	wishStartSQL string
)

// inbound reports whether an event is something that a person told us.
func inbound(e campaign.Event) bool {
	return e.Messages && e.Kind == campaign.EventMessage || e.Kind == campaign.EventUserPreference
}

// ownWords reads the keywords of this installation, where somebody wrote at all.
func (s *Store) ownWords(ctx context.Context, ds []campaign.Parsed) (map[string]string, error) {
	for _, d := range ds {
		for _, e := range d.Events {
			if len(e.Words) > 0 {
				return s.Keywords(ctx)
			}
		}
	}
	return nil, nil
}

// Keywords gives the words that this installation added to the built-in ones, in
// their normal form, with what they mean: stop, start, or none for a built-in
// word that means nothing here.
func (s *Store) Keywords(ctx context.Context) (map[string]string, error) {
	own := map[string]string{}
	rows, err := s.pool.Query(ctx, `SELECT word, meaning FROM campaign.keywords`)
	if err != nil {
		return nil, fmt.Errorf("read the keywords: %w", translate(err))
	}
	var word, meaning string
	_, err = pgx.ForEachRow(rows, []any{&word, &meaning}, func() error {
		own[word] = meaning
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the keywords: %w", translate(err))
	}
	return own, nil
}

// SetKeyword gives a word, in its normal form, a meaning: stop, start or none. An
// empty meaning leaves the word to the built-in list again. Daemons take it up
// with the next message that somebody writes.
func (s *Store) SetKeyword(ctx context.Context, word, meaning string) error {
	var err error
	if meaning == "" {
		_, err = s.execNoted(ctx, act{action: "remove", object: "keyword", name: word}, `DELETE FROM campaign.keywords WHERE word = $1`, word)
	} else {
		_, err = s.execNoted(ctx, act{action: "set", object: "keyword", name: word, detail: meaning}, `INSERT INTO campaign.keywords AS k (word, meaning) VALUES ($1, $2)
			ON CONFLICT (word) DO UPDATE SET meaning = excluded.meaning WHERE k.meaning <> excluded.meaning`, word, meaning)
	}
	if err != nil {
		return fmt.Errorf("set keyword %q: %w", word, translate(err))
	}
	return nil
}

// Heed records the wishes among the events of a delivery that was just stored,
// and nothing else: when it returns, no further marketing message to somebody who
// said stop is claimed. The delivery is applied as a whole later; a wish that is
// recorded twice counts once.
func (s *Store) Heed(ctx context.Context, channel campaign.ChannelID, events []campaign.Event) error {
	own, err := s.ownWords(ctx, []campaign.Parsed{{Events: events}})
	if err != nil {
		return err
	}
	var kept error
	for _, e := range events {
		wish, source := e.WishOf(own)
		if wish == campaign.WishNone {
			continue
		}
		err := s.inPeopleTx(ctx, func(tx pgx.Tx) error {
			who, err := s.personOf(ctx, tx, channel, e)
			if err != nil || who.forgotten {
				return err
			}
			return s.wish(ctx, tx, channel, who, wish, source, e)
		})
		switch {
		case err == nil, badData(err): // what the database refuses, the applier notes
		case keptByOthers(err):
			kept = fmt.Errorf("record a wish: %w", translate(err)) // and the others' wishes first
		default:
			return fmt.Errorf("record a wish: %w", translate(err))
		}
	}
	return kept
}

// writer is the person behind an inbound event: a contact, or as much as is known
// of somebody who is none.
type writer struct {
	contact   campaign.ContactID
	matchKey  string
	forgotten bool // and must not be brought back
}

// personOf finds who wrote, and makes a contact of somebody who is none yet and
// whose number is known: an opt-out of a stranger must hold when the stranger is
// imported a day later.
func (s *Store) personOf(ctx context.Context, tx pgx.Tx, channel campaign.ChannelID, e campaign.Event) (writer, error) {
	var forgotten bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM campaign.suppressions WHERE forgotten AND hash = ANY($1::bytea[]))`,
		[][]byte{s.people.of(e.MatchKey), s.people.of(e.UserID)}).Scan(&forgotten)
	if err != nil || forgotten {
		return writer{forgotten: forgotten}, err
	}
	args := pgx.StrictNamedArgs{"match_key": plainText(e.MatchKey), "user_id": plainText(e.UserID), "context": plainText(e.ContextID), "channel": channel}
	for try := 0; ; try++ {
		var w writer
		err := tx.QueryRow(ctx, inboundPersonSQL, args).Scan(&w.contact, &w.matchKey)
		if err == nil && e.UserID != "" {
			_, err = tx.Exec(ctx, inboundUserIDsSQL, s.userIDArgs(pgx.StrictNamedArgs{"match_key": w.matchKey, "user_id": plainText(e.UserID)}))
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return w, err
		}
		if e.Person.Phone == "" || try > 0 {
			return writer{}, nil
		}
		p := e.Person
		_, err = tx.Exec(ctx, contactKnowSQL, pgx.StrictNamedArgs{"phones": []string{p.Phone}, "match_keys": []string{p.MatchKey},
			"countries": []string{p.Country}, "nanps": []string{p.NANP}})
		if err != nil {
			return writer{}, err
		}
	}
}

// applyInbound notes what a person told us: the message and the one it answers,
// the service window that it opens, and a wish about marketing. Repeating it
// changes nothing.
func (s *Store) applyInbound(ctx context.Context, channel campaign.ChannelID, e campaign.Event, own map[string]string) error {
	wish, source := e.WishOf(own)
	var who writer
	opened := false
	in := s.inTx
	if wish != campaign.WishNone {
		// It was heeded when it came: what is kept now is applied with a later pass.
		in = func(ctx context.Context, fn func(pgx.Tx) error) error { return s.inPeopleTxFor(ctx, 0, fn) }
	}
	err := in(ctx, func(tx pgx.Tx) error {
		opened = false
		var err error
		if who, err = s.personOf(ctx, tx, channel, e); err != nil || who.forgotten {
			return err
		}
		if e.Kind == campaign.EventMessage {
			if opened, err = s.noteMessage(ctx, tx, channel, who, e); err != nil {
				return err
			}
		}
		if wish == campaign.WishNone {
			return nil
		}
		return s.wish(ctx, tx, channel, who, wish, source, e)
	})
	if err != nil {
		return fmt.Errorf("note what a person told us: %w", translate(err))
	}
	if opened && wish != campaign.WishStop {
		return s.windowOpened(ctx, channel, who)
	}
	return nil
}

// noteMessage stores an inbound message, without its text, and reports whether it
// opened a service window. Events of the system are about a person and open none.
// A repeated one says the same again: what follows from it comes after the commit,
// and may not have been done.
func (s *Store) noteMessage(ctx context.Context, tx pgx.Tx, channel campaign.ChannelID, who writer, e campaign.Event) (bool, error) {
	if e.ID == "" {
		return false, nil
	}
	payload := ""
	if e.Type == "button" || e.Type == "interactive" {
		payload = truncate(plainText(e.Payload), 256)
	}
	var at *time.Time
	if !e.At.IsZero() {
		at = &e.At
	}
	_, err := tx.Exec(ctx, inboundReplySQL, pgx.StrictNamedArgs{"channel": channel, "provider": plainText(e.ID), "context": plainText(e.ContextID),
		"type": plainText(e.Type), "contact": who.contact, "payload": payload})
	if err != nil || who.matchKey == "" || e.Type == "system" || e.Type == "request_welcome" {
		return false, err
	}
	var opened bool
	err = tx.QueryRow(ctx, inboundWindowSQL, pgx.StrictNamedArgs{"match_key": who.matchKey, "channel": channel, "at": at}).Scan(&opened)
	return opened, err
}

func truncate(text string, runes int) string {
	if r := []rune(text); len(r) > runes {
		return string(r[:runes])
	}
	return text
}

// liftable are the sources of an opt-out that WhatsApp's resume lifts: what it
// stopped itself (whatsapp-facts §6.5).
var liftable = []string{campaign.SourcePreference, campaign.SourceProvider} //nolint:gochecknoglobals // never written to

// wish records what a person wants of marketing, on whichever channel they said
// it. An older word that comes later changes nothing; what WhatsApp tells has an
// order of its own, for each channel. The caller holds the people lock.
func (s *Store) wish(ctx context.Context, tx pgx.Tx, channel campaign.ChannelID, who writer, wish campaign.Wish, source string, e campaign.Event) error {
	var at *time.Time
	if !e.At.IsZero() {
		at = &e.At
	}
	if who.matchKey == "" {
		return s.wishOfStranger(ctx, tx, wish, source, e)
	}
	if source == campaign.SourcePreference {
		tag, err := tx.Exec(ctx, preferenceSetSQL, pgx.StrictNamedArgs{"match_key": who.matchKey, "channel": channel,
			"stopped": wish == campaign.WishStop, "at": at})
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
	}
	if wish == campaign.WishStop {
		var news bool
		err := tx.QueryRow(ctx, wishStopSQL, pgx.StrictNamedArgs{"match_key": who.matchKey, "source": source, "at": at, "liftable": liftable}).Scan(&news)
		if err != nil || !news {
			return err
		}
		return s.oweConfirmation(ctx, tx, channel, who, e)
	}
	if _, err := tx.Exec(ctx, `SELECT id FROM campaign.contacts WHERE match_key = $1 ORDER BY phone COLLATE "C" FOR NO KEY UPDATE`, who.matchKey); err != nil {
		return err
	}
	if wish == campaign.WishStart {
		if _, err := tx.Exec(ctx, preferenceLiftSQL, pgx.StrictNamedArgs{"match_key": who.matchKey, "at": at}); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, wishStartSQL, pgx.StrictNamedArgs{"match_key": who.matchKey, "source": source, "at": at,
		"only": wish != campaign.WishStart, "liftable": liftable, "consents": wish != campaign.WishResume})
	if err != nil {
		return err
	}
	return s.wishOfStranger(ctx, tx, wish, source, e)
}

// wishOfStranger keeps the opt-out of somebody of whom we know a business-scoped
// user id and no number: it binds as soon as a contact gets that id.
func (s *Store) wishOfStranger(ctx context.Context, tx pgx.Tx, wish campaign.Wish, source string, e campaign.Event) error {
	if e.UserID == "" {
		return nil
	}
	hash, at := s.people.of(plainText(e.UserID)), time.Now()
	if !e.At.IsZero() && e.At.Before(at) {
		at = e.At
	}
	var err error
	if wish == campaign.WishStop {
		_, err = tx.Exec(ctx, `INSERT INTO campaign.suppressions AS s (hash, scope, reason, created_at) VALUES ($1, 'marketing', $2, $3)
			ON CONFLICT (hash, scope) DO UPDATE SET created_at = greatest(s.created_at, excluded.created_at),
			       reason = CASE WHEN s.reason = ANY($4::text[]) THEN excluded.reason ELSE s.reason END`, hash, source, at, liftable)
	} else {
		_, err = tx.Exec(ctx, `DELETE FROM campaign.suppressions WHERE hash = $1 AND scope = 'marketing' AND created_at < $2 AND ($3 OR reason = ANY($4::text[]))`,
			hash, at, wish == campaign.WishStart, liftable)
	}
	return err
}

// windowOpened makes what waits for a service window of a person due.
func (s *Store) windowOpened(ctx context.Context, channel campaign.ChannelID, who writer) error {
	rows, err := s.pool.Query(ctx, inboundWaitingSQL, pgx.StrictNamedArgs{"match_key": who.matchKey, "channel": channel, "code": campaign.CodeExperiment})
	if err != nil {
		return fmt.Errorf("look for what waits for a service window: %w", translate(err))
	}
	posts := map[campaign.MessageID]int{}
	var ids []campaign.MessageID
	var id campaign.MessageID
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		ids, posts[id] = append(ids, id), n
		return nil
	})
	if err != nil || len(ids) == 0 {
		return translate(err)
	}
	_, err = s.change(ctx, ids, func(m *lockedMessage, c campaign.Circumstances) {
		// Whoever claimed it meanwhile has used the once.
		if m.Posts == posts[m.ID] {
			m.Message.WindowOpened(c)
		}
	})
	if err != nil {
		return fmt.Errorf("make due what waited for a service window: %w", err)
	}
	return nil
}

// userIDs collects what statuses tell of the business-scoped user ids of our
// recipients.
type userIDs struct {
	messages []int64
	ids      []string
}

// add takes the id that a report of an arrival tells: nobody answers what never
// arrived.
func (u *userIDs) add(message campaign.MessageID, e campaign.Event) {
	if e.UserID == "" || e.Status != "delivered" && e.Status != "read" {
		return
	}
	u.messages, u.ids = append(u.messages, int64(message)), append(u.ids, plainText(e.UserID))
}

func (u *userIDs) queue(b *pgx.Batch, s *Store, channel campaign.ChannelID) {
	if len(u.messages) == 0 {
		return
	}
	b.Queue(inboundUserIDsSQL, s.userIDArgs(pgx.StrictNamedArgs{"messages": u.messages, "user_ids": u.ids, "channel": channel,
		"least": slices.Min(u.messages), "greatest": slices.Max(u.messages)}))
}

// userIDArgs completes the arguments of inbound_user_ids.sql: who is told of by
// messages, or a person.
func (s *Store) userIDArgs(some pgx.StrictNamedArgs) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{"messages": []int64{}, "user_ids": []string{}, "channel": campaign.ChannelID(0), "least": 0, "greatest": 0,
		"match_key": "", "user_id": "", "inner": s.people.inner, "outer": s.people.outer}
	maps.Copy(args, some)
	return args
}
