package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/confirmation_add.sql
	confirmationAddSQL string
	//go:embed sql/confirmation_take.sql
	confirmationTakeSQL string
	//go:embed sql/confirmation_end.sql
	confirmationEndSQL string
)

// SetConfirmation sets the text that people get who stop marketing by a word or a
// button on a channel; an empty one takes it away, and what waits is dropped.
// ErrInvalid: the text is longer than campaign.MaxConfirmation.
func (s *Store) SetConfirmation(ctx context.Context, ch campaign.Channel, text string) error {
	text = strings.TrimSpace(plainText(text))
	if n := utf8.RuneCountInString(text); n > campaign.MaxConfirmation {
		return campaign.ErrInvalid.With(fmt.Sprintf("the text has %d characters, %d at most", n, campaign.MaxConfirmation), "shorten it")
	}
	var err error
	if text == "" {
		_, err = s.execNoted(ctx, act{action: "remove", object: "confirmation", id: int64(ch.ID), name: ch.Name},
			`DELETE FROM campaign.confirmation_texts WHERE channel_id = $1`, ch.ID)
	} else {
		_, err = s.execNoted(ctx, act{action: "set", object: "confirmation", id: int64(ch.ID), name: ch.Name, detail: truncate(text, 200)},
			`INSERT INTO campaign.confirmation_texts AS t (channel_id, body) VALUES ($1, $2)
			ON CONFLICT (channel_id) DO UPDATE SET body = excluded.body, updated_at = clock_timestamp() WHERE t.body <> excluded.body`, ch.ID, text)
	}
	if err != nil {
		return fmt.Errorf("set the confirmation of channel %d: %w", ch.ID, translate(err))
	}
	return nil
}

// ConfirmationText gives the text of a channel, empty where nobody is told.
func (s *Store) ConfirmationText(ctx context.Context, channel campaign.ChannelID) (string, error) {
	var text string
	err := s.pool.QueryRow(ctx, `SELECT body FROM campaign.confirmation_texts WHERE channel_id = $1`, channel).Scan(&text)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("read the confirmation of channel %d: %w", channel, translate(err))
	}
	return text, nil
}

// oweConfirmation notes that a stop which was news is to be confirmed, in the
// transaction of the opt-out. Only what the person wrote or pressed opens a
// service window, and only of a message with an id and a time is known that it is
// not told again, and that the window is open.
func (s *Store) oweConfirmation(ctx context.Context, tx pgx.Tx, channel campaign.ChannelID, who writer, e campaign.Event) error {
	if e.Kind != campaign.EventMessage || e.ID == "" || e.At.IsZero() || who.contact == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, confirmationAddSQL, pgx.StrictNamedArgs{"channel": channel, "contact": who.contact, "stop": s.people.of(e.ID), "at": e.At,
		"life": campaign.ConfirmationLife.Seconds()})
	return err
}

// ConfirmationsDue lists the channels that have a confirmation to send.
func (s *Store) ConfirmationsDue(ctx context.Context) ([]campaign.ChannelID, error) {
	ids, err := collect[campaign.ChannelID](s.pool.Query(ctx,
		`SELECT DISTINCT channel_id FROM campaign.confirmations WHERE state = 'waiting' AND due_at <= clock_timestamp()`))
	if err != nil {
		return nil, fmt.Errorf("look for confirmations: %w", translate(err))
	}
	return ids, nil
}

// TakeConfirmation claims the next confirmation of a channel; when it returns,
// the claim is committed. ok is false where there is none, or a hold stands. After
// an error a claim may stand, which is given up later as unknown.
func (s *Store) TakeConfirmation(ctx context.Context, channel campaign.ChannelID) (c campaign.Confirmation, ok bool, err error) {
	for {
		c = campaign.Confirmation{Channel: channel}
		var obstacle string
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			// The locks of every claim: a hold or a suppression that was acknowledged is seen.
			b := &pgx.Batch{}
			queueShared(b, []lockKey{peopleKey(), channelKey(channel)})
			if err := tx.SendBatch(ctx, b).Close(); err != nil {
				return err
			}
			return tx.QueryRow(ctx, confirmationTakeSQL, pgx.StrictNamedArgs{"channel": channel, "life": campaign.ConfirmationLife.Seconds(),
				"inner": s.people.inner, "outer": s.people.outer}).Scan(&c.ID, &c.Try, &c.Phone, &c.Text, &obstacle)
		})
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return c, false, nil
		case err != nil:
			return c, false, fmt.Errorf("claim a confirmation: %w", translate(err))
		case obstacle == "":
			return c, true, nil
		}
	}
}

// EndConfirmation writes what became of a claimed confirmation. wait is for one
// that waits again.
func (s *Store) EndConfirmation(ctx context.Context, c campaign.Confirmation, state campaign.ConfirmationState, reason string, wait time.Duration) error {
	_, err := s.pool.Exec(ctx, confirmationEndSQL, pgx.StrictNamedArgs{"id": c.ID, "try": c.Try, "state": string(state), "reason": plainText(reason),
		"wait": wait.Seconds()})
	if err != nil {
		return fmt.Errorf("write what became of a confirmation: %w", translate(err))
	}
	return nil
}

const (
	// confirmationLost is the age of a claim of which nobody wrote what became of it:
	// a claim is good for 10 s and a POST takes at most 20.
	confirmationLost = time.Minute
	// confirmationKept is how long a confirmation that ended is kept. A stop that is
	// told again after that is far too old for another.
	confirmationKept = 30 * 24 * time.Hour
)

// TidyConfirmations drops what was not sent in time, gives up claims that were
// lost with their process as unknown, and returns how many, and forgets what
// ended long ago.
func (s *Store) TidyConfirmations(ctx context.Context) (lost int64, err error) {
	for _, step := range []struct {
		statement string
		age       time.Duration
		lost      bool
	}{
		{`UPDATE campaign.confirmations SET state = 'dropped', reason = 'late', ended_at = clock_timestamp()
			WHERE state = 'waiting' AND stopped_at <= clock_timestamp() - make_interval(secs => $1)`, campaign.ConfirmationLife, false},
		{`UPDATE campaign.confirmations SET state = 'unknown', ended_at = clock_timestamp()
			WHERE state = 'sending' AND claimed_at < clock_timestamp() - make_interval(secs => $1)`, confirmationLost, true},
		{`DELETE FROM campaign.confirmations WHERE id IN (SELECT id FROM campaign.confirmations
			WHERE ended_at < clock_timestamp() - make_interval(secs => $1) LIMIT 10000)`, confirmationKept, false},
	} {
		tag, err := s.pool.Exec(ctx, step.statement, step.age.Seconds())
		if err != nil {
			return lost, fmt.Errorf("tidy confirmations: %w", translate(err))
		}
		if step.lost {
			lost = tag.RowsAffected()
		}
	}
	return lost, nil
}

// ConfirmationOpaque gives the biz_opaque_callback_data of a confirmation:
// <deployment>/confirmation/<id>, which is nobody's of the messages (see
// ParseOpaque).
func (s *Store) ConfirmationOpaque(id int64) string {
	return s.deployment + "/confirmation/" + strconv.FormatInt(id, 10)
}
