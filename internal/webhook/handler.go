// Package webhook is the incoming half: it takes the provider's requests, stores
// them before it answers, and applies them afterwards, in batches, in any order,
// at will repeatedly. It must not know SQL, nor the payloads' shape: cmd hands
// it a store and a parser.
package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/batch"
	"github.com/campaignd/campaignd/internal/campaign"
)

// MaxBody is the largest body that is taken: the provider sends at most 3 MB
// (whatsapp-facts §6.1).
const MaxBody = 3 << 20

// Inbox stores deliveries; when it returns they are committed.
type Inbox interface {
	SaveDeliveries(ctx context.Context, ds []campaign.Delivery) error
}

// Lookup gives the number and the secret of a channel by its name. An empty
// secret means that this node cannot resolve it.
type Lookup func(name string) (id campaign.ChannelID, secret string, ok bool)

// Handler answers POST /webhooks/{channel}. Close it after the server has
// stopped.
type Handler struct {
	lookup Lookup
	log    *slog.Logger
	save   *batch.Gatherer[campaign.Delivery, struct{}]
	stored chan struct{}

	// Heed is given, after it was stored and before it is answered, every delivery
	// that may hold a person's wish: whoever said stop gets nothing from the answer
	// on, however much waits to be applied. An error is answered with 503; nil: no
	// such step.
	Heed func(ctx context.Context, d campaign.Delivery) error
}

// storeTimeout bounds the wait for the database; the provider sends again what
// was answered with 503.
const storeTimeout = 10 * time.Second

// saveBatch is how many requests share a commit at most. 200 requests of one
// status each are 100 kB.
const saveBatch = 200

// NewHandler gives a handler that stores into inbox. Stored is signalled after
// every commit.
func NewHandler(inbox Inbox, lookup Lookup, log *slog.Logger) *Handler {
	h := &Handler{lookup: lookup, log: log, stored: make(chan struct{}, 1)}
	h.save = batch.New(context.Background(), 2, saveBatch, 0, func(ctx context.Context, ds []campaign.Delivery) ([]struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		if err := inbox.SaveDeliveries(ctx, ds); err != nil {
			return nil, err
		}
		select {
		case h.stored <- struct{}{}:
		default:
		}
		return make([]struct{}, len(ds)), nil
	})
	return h
}

// Stored is signalled when there is something to apply.
func (h *Handler) Stored() <-chan struct{} { return h.stored }

// Close ends the handler after its last request.
func (h *Handler) Close() { h.save.Close() }

// ServeHTTP stores the body and answers 200 after the commit; 401 without the
// secret, 404 for a channel that is not ours, 413 above 3 MiB, 400 for what is
// not JSON and 503 when it could not be stored: then the provider sends again.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, secret, ok := h.lookup(r.PathValue("channel"))
	if !ok {
		http.Error(w, "no such channel", http.StatusNotFound)
		return
	}
	if secret == "" {
		h.log.Error("a webhook came for a channel whose secret cannot be resolved", "channel_id", id)
		http.Error(w, "the channel's webhook secret is not available", http.StatusServiceUnavailable)
		return
	}
	if !authorized(r.Header.Get("Authorization"), secret) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "the Authorization header does not carry the channel's webhook secret", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "the body is larger than 3 MiB", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	case !json.Valid(body):
		// A body that was cut on its way comes again after this; nonsense is a
		// mistake of whoever sent it.
		http.Error(w, "the body is not JSON", http.StatusBadRequest)
		return
	}
	if _, err := h.save.Do(r.Context(), campaign.Delivery{Channel: id, Body: body}); err != nil {
		h.log.Error("a webhook could not be stored", "channel_id", id, "error", err)
		http.Error(w, "the webhook could not be stored", http.StatusServiceUnavailable)
		return
	}
	if h.Heed != nil && mayHoldWish(body) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTimeout)
		defer cancel()
		if err := h.Heed(ctx, campaign.Delivery{Channel: id, Body: body}); err != nil {
			h.log.Error("what a person wishes could not be recorded yet", "channel_id", id, "error", err)
			http.Error(w, "the webhook could not be heeded", http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// mayHoldWish looks for inbound messages and preferences without reading the
// body: nearly all deliveries hold statuses alone, whose field is "messages" but
// which have no such key.
func mayHoldWish(body []byte) bool {
	if bytes.Contains(body, []byte(`"user_preferences"`)) {
		return true
	}
	word := []byte(`"messages"`)
	for {
		i := bytes.Index(body, word)
		if i < 0 {
			return bytes.Contains(body, []byte(`\u`)) && !bytes.Contains(body, []byte(`"statuses"`)) // a key may be written in escapes
		}
		body = body[i+len(word):]
		if rest := bytes.TrimLeft(body, " \t\r\n"); len(rest) > 0 && rest[0] == ':' {
			return true
		}
	}
}

// authorized compares in constant time; hashing first hides the length too.
func authorized(header, secret string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
