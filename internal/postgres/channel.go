package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/channel_add.sql
	channelAddSQL string
	//go:embed sql/channel_list.sql
	channelListSQL string
)

// AddChannel stores a channel and its account, which is created when there is
// none of that name; without a name it gets the channel's own. It returns
// ErrExists when the name or the phone number is taken, ErrInvalid when a field
// is refused.
func (s *Store) AddChannel(ctx context.Context, c campaign.Channel) (campaign.Channel, error) {
	if c.Account == "" {
		c.Account = c.Name
	}
	if c.Dialect == "" {
		c.Dialect = campaign.DialectCloud
	}
	if c.OnUnknown == "" {
		c.OnUnknown = "hold"
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, channelAddSQL, pgx.StrictNamedArgs{
			"account": c.Account, "name": c.Name, "phone": c.Phone, "base_url": c.BaseURL, "dialect": c.Dialect,
			"key_ref": c.KeyRef, "webhook_secret_ref": c.WebhookSecretRef, "rate": c.Rate, "on_unknown": c.OnUnknown,
		}).Scan(&c.ID, &c.AccountID, &c.CreatedAt, &c.UpdatedAt)
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, act{action: "add", object: "channel", id: int64(c.ID), name: c.Name})
	})
	if err != nil {
		return campaign.Channel{}, fmt.Errorf("add channel %q: %w", c.Name, channelError(err, c))
	}
	return c, nil
}

// channelError names the field behind a violated constraint.
func channelError(err error, c campaign.Channel) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return translate(err)
	}
	switch pg.ConstraintName {
	case "channels_name_key":
		return campaign.ErrExists.With("the name is taken", "choose another, or look at it with: campaignctl channel show "+c.Name)
	case "channels_phone_key":
		return campaign.ErrExists.With("another channel has this phone number", "campaignctl channel list shows which")
	case "channels_name_check":
		return campaign.ErrInvalid.With("a channel's name has letters, digits, dots, underscores and hyphens, begins with a letter or digit and is at most 63 long", "")
	case "channels_dialect_check":
		return campaign.ErrInvalid.With(fmt.Sprintf("unknown dialect %q", c.Dialect), "cloud or sandbox")
	case "channels_key_ref_check":
		return campaign.ErrInvalid.With("the key reference is neither env:NAME nor file:PATH", "the key itself is never stored")
	case "channels_webhook_secret_ref_check":
		return campaign.ErrInvalid.With("the webhook secret reference is neither env:NAME nor file:PATH", "the secret itself is never stored")
	case "channels_rate_check":
		return campaign.ErrInvalid.With("the rate is below 0", "messages per second; 0 means no limit")
	case "channels_on_unknown_check":
		return campaign.ErrInvalid.With(fmt.Sprintf("unknown on_unknown %q", c.OnUnknown), "hold, resend or fail")
	}
	return translate(err)
}

// Channels lists all channels by name.
func (s *Store) Channels(ctx context.Context) ([]campaign.Channel, error) {
	channels, err := collectStructs[campaign.Channel](s.pool.Query(ctx, channelListSQL))
	if err != nil {
		return nil, fmt.Errorf("list the channels: %w", translate(err))
	}
	return channels, nil
}

// Channel finds a channel by name. ErrNotFound says which there are.
func (s *Store) Channel(ctx context.Context, name string) (campaign.Channel, error) {
	channels, err := s.Channels(ctx)
	if err != nil {
		return campaign.Channel{}, err
	}
	names := make([]string, len(channels))
	for i, c := range channels {
		if c.Name == name {
			return c, nil
		}
		names[i] = c.Name
	}
	return campaign.Channel{}, notFound("channel", name, names, "add one with: campaignctl channel add")
}

// ChannelByID finds a channel by its number.
func (s *Store) ChannelByID(ctx context.Context, id campaign.ChannelID) (campaign.Channel, error) {
	channels, err := s.Channels(ctx)
	if err != nil {
		return campaign.Channel{}, err
	}
	i := slices.IndexFunc(channels, func(c campaign.Channel) bool { return c.ID == id })
	if i < 0 {
		return campaign.Channel{}, campaign.ErrNotFound.With(fmt.Sprintf("no channel %d", id), "")
	}
	return channels[i], nil
}

// SetChannelWebhook notes the URL that was registered for a channel; an empty
// one forgets it. A URL that another channel uses is ErrConflict: events of two
// numbers could not be told apart.
func (s *Store) SetChannelWebhook(ctx context.Context, id campaign.ChannelID, url string) error {
	tag, err := s.execNoted(ctx, act{action: "webhook", object: "channel", id: int64(id)}, `UPDATE campaign.channels SET webhook_url = NULLIF($2, ''), updated_at = now() WHERE id = $1`, id, url)
	switch {
	case violates(err, "channels_webhook_url_key"):
		return s.webhookTaken(ctx, url)
	case err != nil:
		return fmt.Errorf("set the webhook of channel %d: %w", id, translate(err))
	case tag.RowsAffected() == 0:
		return campaign.ErrNotFound.With(fmt.Sprintf("no channel %d", id), "")
	}
	return nil
}

func (s *Store) webhookTaken(ctx context.Context, url string) error {
	name := "another channel"
	err := s.pool.QueryRow(ctx, `SELECT 'channel "' || name || '"' FROM campaign.channels WHERE webhook_url = $1`, url).Scan(&name)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look for the channel of a webhook: %w", translate(err))
	}
	return campaign.ErrConflict.With("this webhook URL is in use by "+name, "each channel needs a URL of its own: end it with the channel's name")
}

// ChannelWebhook gives the URL that was registered last, empty when none was.
func (s *Store) ChannelWebhook(ctx context.Context, id campaign.ChannelID) (string, error) {
	var url string
	err := s.pool.QueryRow(ctx, `SELECT COALESCE(webhook_url, '') FROM campaign.channels WHERE id = $1`, id).Scan(&url)
	if err != nil {
		return "", fmt.Errorf("read the webhook of channel %d: %w", id, translate(err))
	}
	return url, nil
}

// notFound says which things there are, and which was probably meant.
func notFound(kind, name string, there []string, hint string) error {
	return noneOf(fmt.Sprintf("no %s %q", kind, name), there, campaign.Closest(name, there), hint)
}

// noneOf lists what there is, and what was probably meant; hint is for when there
// is nothing.
func noneOf(message string, there []string, meant, hint string) error {
	if len(there) == 0 {
		return campaign.ErrNotFound.With(fmt.Sprintf("%s; there are none", message), hint)
	}
	if meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	} else {
		hint = ""
	}
	const most = 20
	if more := len(there) - most; more > 0 {
		there = append(slices.Clone(there[:most]), fmt.Sprintf("… %d more", more))
	}
	return campaign.ErrNotFound.With(fmt.Sprintf("%s; there are: %s", message, strings.Join(there, ", ")), hint)
}

func collectStructs[T any](rows pgx.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}
