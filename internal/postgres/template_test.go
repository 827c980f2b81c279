package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func syncTemplates(t *testing.T, w *world, listed ...campaign.Template) campaign.TemplateSync {
	t.Helper()
	result, err := w.SyncTemplates(t.Context(), w.channel.ID, listed)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func changes(r campaign.TemplateSync) []string {
	var lines []string
	for _, c := range r.Changes {
		line := fmt.Sprintf("%s %s (%s)", c.Change, c.Name, c.Language)
		if c.Held {
			line += " held"
		}
		if len(c.Details) > 0 {
			line += ": " + strings.Join(c.Details, ", ")
		}
		lines = append(lines, line)
	}
	return lines
}

// holds gives the holds of a campaign as source and reason.
func holds(t *testing.T, w *world, id campaign.ID) []string {
	t.Helper()
	status, err := w.Status(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, h := range status.Holds {
		lines = append(lines, fmt.Sprintf("%s %s: %s", h.Scope, h.Source, h.Reason))
	}
	if (status.State == campaign.Paused) != (len(lines) > 0) {
		t.Errorf("state %s with holds %v", status.State, lines)
	}
	return lines
}

func TestSyncSaysWhatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // has promo (en_US)
	german, french := promo("de"), promo("fr")
	first := syncTemplates(t, w, promo("en_US"), german, french)
	if first.Added != 2 || first.Unchanged != 1 || first.Changed+first.Removed != 0 {
		t.Errorf("first %+v", first)
	}
	if again := syncTemplates(t, w, promo("en_US"), german, french, german); again.Unchanged != 3 || len(again.Changes) != 0 {
		t.Errorf("the same again: %+v", again)
	}
	german.Slots, german.Category = promoSlots[:1], campaign.CategoryUtility
	reworded := promo("en_US")
	reworded.Parts = []campaign.Part{{Kind: campaign.PartBody, Text: "Hello {{1}}, {{2}}"}}
	got := changes(syncTemplates(t, w, reworded, german))
	want := []string{
		"changed promo (en_US): the text or a button",
		"changed promo (de): category MARKETING → UTILITY, slot body.2 is gone",
		"removed promo (fr) held", // it was approved: messages of services may wait for it
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	stored, err := w.Templates(t.Context(), w.channel.ID)
	if err != nil || len(stored) != 3 {
		t.Fatalf("%d templates, %v: a removed one stays", len(stored), err)
	}
	i := slices.IndexFunc(stored, func(x campaign.Template) bool { return x.Language == "fr" })
	if stored[i].Status != "DELETED" {
		t.Errorf("status %s", stored[i].Status)
	}
	if back := changes(syncTemplates(t, w, reworded, german, french)); !slices.Equal(back, []string{"changed promo (fr): status DELETED → APPROVED"}) {
		t.Errorf("listed again: %q", back)
	}
	one, err := w.TemplateByID(t.Context(), stored[i].ID)
	if err != nil || one.Language != "fr" || one.Status != campaign.TemplateApproved || len(one.Slots) != 2 || one.Parts[0].Text != "Hi {{1}}, {{2}}" ||
		!strings.Contains(string(one.Components), `"BODY"`) {
		t.Errorf("%+v, %v", one, err)
	}
}

func TestATemplateThatChangesHoldsItsCampaigns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	shorter := promo("en_US")
	shorter.Slots = promoSlots[:1]

	// A draft is told at its launch.
	syncTemplates(t, w, shorter)
	if got := holds(t, w, plan.ID); len(got) != 0 {
		t.Errorf("a draft is held: %q", got)
	}
	if _, _, err := w.Launch(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}
	if result := syncTemplates(t, w, promo("en_US")); !result.Changes[0].Held {
		t.Errorf("%+v", result)
	}
	want := []string{"template template_changed: template promo (en_US) changed while campaigns use it: slot body.2 is new"}
	if got := holds(t, w, plan.ID); !slices.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
	// Being approved does not lift what another source holds.
	syncTemplates(t, w, promo("en_US"))
	if got := holds(t, w, plan.ID); !slices.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
}

func TestTemplateStatusHoldsAndLifts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	if _, _, err := w.Launch(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}
	event := func(kind campaign.EventKind, change func(*campaign.Event)) {
		t.Helper()
		e := campaign.Event{Kind: kind, Template: "promo", Language: "en_US"}
		change(&e)
		if err := w.ApplyTemplateEvent(t.Context(), w.channel.ID, e); err != nil {
			t.Fatal(err)
		}
	}
	status := func(word, reason string) {
		t.Helper()
		event(campaign.EventTemplateStatus, func(e *campaign.Event) { e.Event, e.Reason = word, reason })
	}
	stored := func() campaign.Template {
		t.Helper()
		template, err := w.Template(t.Context(), w.channel.ID, "promo", "en-US")
		if err != nil {
			t.Fatal(err)
		}
		return template
	}

	for _, word := range []string{"REJECTED", "PENDING", "PAUSED", "DISABLED", "IN_APPEAL", "PENDING_DELETION", "LIMIT_EXCEEDED", "LOCKED", "ARCHIVED"} {
		status(word, "")
		if got, want := holds(t, w, plan.ID), []string{"template template_webhook: template promo (en_US) is " + word}; !slices.Equal(got, want) {
			t.Errorf("%s: holds %q, want %q", word, got, want)
		}
	}
	status("PAUSED", "low quality")
	if got := holds(t, w, plan.ID); len(got) != 1 || !strings.HasSuffix(got[0], "is PAUSED: low quality") {
		t.Errorf("holds %q", got)
	}
	for _, word := range []string{"APPROVED", "REINSTATED", "UNPAUSED", "UNARCHIVED"} {
		status("PAUSED", "")
		status(word, "")
		if got := holds(t, w, plan.ID); len(got) != 0 || stored().Status != campaign.TemplateApproved {
			t.Errorf("%s: holds %q, status %s", word, got, stored().Status)
		}
	}
	for _, word := range []string{"FLAGGED", "SOMETHING_NEW", ""} {
		status(word, "")
		if got := holds(t, w, plan.ID); len(got) != 0 || stored().Status != campaign.TemplateApproved {
			t.Errorf("%q: holds %q, status %s", word, got, stored().Status)
		}
	}
	event(campaign.EventTemplateCategory, func(e *campaign.Event) { e.Previous, e.New = "MARKETING", "UTILITY" })
	event(campaign.EventTemplateQuality, func(e *campaign.Event) { e.Previous, e.New = "GREEN", "RED" })
	if template := stored(); template.Category != "UTILITY" || template.Quality != "RED" || template.Status != campaign.TemplateApproved {
		t.Errorf("%+v", template)
	}

	// Approval also lifts what an answer held for want of it, and nothing else.
	for _, h := range []campaign.Hold{
		{Source: campaign.SourceCode, Reason: "132015: template paused"},
		{Source: campaign.SourcePerson, Reason: "132015: said somebody"},
	} {
		h.Scope, h.ScopeID = campaign.HoldTemplate, int64(stored().ID)
		if err := w.PutHold(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	status("APPROVED", "")
	if got := holds(t, w, plan.ID); !slices.Equal(got, []string{"template person: 132015: said somebody"}) {
		t.Errorf("holds %q", got)
	}
	if _, err := w.LiftHold(t.Context(), campaign.HoldTemplate, int64(stored().ID), campaign.SourcePerson); err != nil {
		t.Fatal(err)
	}
	if err := w.PutHold(t.Context(), campaign.Hold{Scope: campaign.HoldTemplate, ScopeID: int64(stored().ID), Source: campaign.SourceCode, Reason: "131063: marketing disabled"}); err != nil {
		t.Fatal(err)
	}
	status("APPROVED", "")
	if got := holds(t, w, plan.ID); len(got) != 1 {
		t.Errorf("approval lifted a hold that it has nothing to do with: %q", got)
	}
	if _, err := w.Resume(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}

	// The list says so too, and lifts what a webhook held.
	paused := promo("en_US")
	paused.Status = campaign.TemplatePaused
	syncTemplates(t, w, paused)
	if got := holds(t, w, plan.ID); len(got) != 1 {
		t.Errorf("holds %q", got)
	}
	syncTemplates(t, w, promo("en_US"))
	if got := holds(t, w, plan.ID); len(got) != 0 {
		t.Errorf("holds %q", got)
	}
}

func TestATemplateEventCountsForTheWholeAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := func(name, account string) campaign.ChannelID {
		t.Helper()
		c, err := w.AddChannel(t.Context(), campaign.Channel{Name: name, Phone: "+49301" + name, BaseURL: "http://127.0.0.1:1", KeyRef: "env:K", WebhookSecretRef: "env:S", Account: account})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.SyncTemplates(t.Context(), c.ID, []campaign.Template{promo("en_US")}); err != nil {
			t.Fatal(err)
		}
		return c.ID
	}
	sister, stranger := other("2", "sales"), other("3", "elsewhere")
	err := w.ApplyTemplateEvent(t.Context(), w.channel.ID, campaign.Event{Kind: campaign.EventTemplateStatus, Template: "promo", Language: "en_US", Event: "PAUSED"})
	if err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[campaign.ChannelID]string{w.channel.ID: "PAUSED", sister: "PAUSED", stranger: "APPROVED"} {
		template, err := w.Template(t.Context(), channel, "promo", "en_US")
		if err != nil || template.Status != want {
			t.Errorf("channel %d: %s, want %s (%v)", channel, template.Status, want, err)
		}
	}
}

func TestTemplateNotFoundSaysWhatIsClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	syncTemplates(t, w, promo("en_US"), promo("de"))
	for name, c := range map[string]struct{ name, language, want, hint string }{
		"language": {"promo", "fr", `template "promo" has no language "fr"; it has de, en_US`, ""},
		"name":     {"prono", "de", `no template "prono"; there are: promo`, `did you mean "promo"?`},
	} {
		_, err := w.Template(t.Context(), w.channel.ID, c.name, c.language)
		var missing *campaign.Error
		if !errors.As(err, &missing) || missing.Kind != campaign.NotFound || missing.Message != c.want || missing.Hint != c.hint {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTemplatesWithCharactersThatPostgresRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	odd := promo("de")
	odd.Components = []byte(`[{"text":"a\u0000b","\u0000":["\u0000"]}]`)
	syncTemplates(t, w, odd)
	stored, err := w.Template(t.Context(), w.channel.ID, "promo", "de")
	if err != nil || string(stored.Components) != `[{"": [""], "text": "ab"}]` {
		t.Errorf("%s, %v", stored.Components, err)
	}
	if again := syncTemplates(t, w, odd); again.Unchanged != 1 {
		t.Errorf("the same again: %+v", again)
	}
}

func TestChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(change func(*campaign.Channel)) (campaign.Channel, error) {
		c := campaign.Channel{Name: "second", Phone: "+4930999", BaseURL: "http://127.0.0.1:1", KeyRef: "env:K", WebhookSecretRef: "file:/run/secret", Rate: 5}
		if change != nil {
			change(&c)
		}
		return w.AddChannel(t.Context(), c)
	}
	for name, c := range map[string]struct {
		change func(*campaign.Channel)
		kind   campaign.Kind
		want   string
	}{
		"name taken":  {func(c *campaign.Channel) { c.Name = "sales" }, campaign.Conflict, "the name is taken"},
		"phone taken": {func(c *campaign.Channel) { c.Phone = w.channel.Phone }, campaign.Conflict, "another channel has this phone number"},
		"bad name":    {func(c *campaign.Channel) { c.Name = "a b" }, campaign.Invalid, "a channel's name has"},
		"dialect":     {func(c *campaign.Channel) { c.Dialect = "onprem" }, campaign.Invalid, `unknown dialect "onprem"`},
		"key":         {func(c *campaign.Channel) { c.KeyRef = "abc123" }, campaign.Invalid, "the key reference is neither"},
		"secret":      {func(c *campaign.Channel) { c.WebhookSecretRef = "abc123" }, campaign.Invalid, "the webhook secret reference is neither"},
		"rate":        {func(c *campaign.Channel) { c.Rate = -1 }, campaign.Invalid, "the rate is below 0"},
		"on_unknown":  {func(c *campaign.Channel) { c.OnUnknown = "x" }, campaign.Invalid, `unknown on_unknown "x"`},
	} {
		_, err := add(c.change)
		var refused *campaign.Error
		if !errors.As(err, &refused) || refused.Kind != c.kind || !strings.HasPrefix(refused.Message, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "abc123") {
			t.Errorf("%s: the error repeats a key: %v", name, err)
		}
	}
	second, err := add(func(c *campaign.Channel) { c.Account = "sales" })
	if err != nil {
		t.Fatal(err)
	}
	if second.AccountID != w.channel.AccountID || w.channel.Account != "sales" {
		t.Errorf("accounts %q (%d) and %q (%d)", w.channel.Account, w.channel.AccountID, second.Account, second.AccountID)
	}
	found, err := w.Channel(t.Context(), "second")
	if err != nil || found != second {
		t.Errorf("found %+v, added %+v, %v", found, second, err)
	}
	if byID, err := w.ChannelByID(t.Context(), second.ID); err != nil || byID != second {
		t.Errorf("found %+v, %v", byID, err)
	}
	if _, err := w.Channel(t.Context(), "secnod"); !errors.Is(err, campaign.ErrNotFound) || err.Error() != `no channel "secnod"; there are: sales, second` {
		t.Errorf("error %v", err)
	}

	const url = "https://hooks.example/webhooks/sales"
	if err := w.SetChannelWebhook(t.Context(), w.channel.ID, url); err != nil {
		t.Fatal(err)
	}
	if err := w.SetChannelWebhook(t.Context(), second.ID, url); !errors.Is(err, campaign.ErrConflict) || !strings.Contains(err.Error(), `channel "sales"`) {
		t.Errorf("error %v, want a conflict that names the channel", err)
	}
	if got, err := w.ChannelWebhook(t.Context(), w.channel.ID); err != nil || got != url {
		t.Errorf("%q, %v", got, err)
	}
	if err := w.SetChannelWebhook(t.Context(), 999, url); !errors.Is(err, campaign.ErrNotFound) && !errors.Is(err, campaign.ErrConflict) {
		t.Errorf("error %v", err)
	}
}

func TestMediaIsForgottenBeforeTheProviderForgetsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sum := [32]byte{1}
	look := func(atLeast time.Duration) string {
		t.Helper()
		id, err := w.Media(t.Context(), w.channel.ID, sum, atLeast)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if id := look(0); id != "" {
		t.Errorf("never uploaded, found %q", id)
	}
	for _, id := range []string{"first", "second"} {
		if err := w.SaveMedia(t.Context(), w.channel.ID, sum, id, time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := look(24 * time.Hour); got != id {
			t.Errorf("found %q, want %q", got, id)
		}
	}
	if id := look(72 * time.Hour); id != "" {
		t.Errorf("expires too soon, found %q", id)
	}
}

func TestListNotFoundSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	if _, err := store.List(t.Context(), "x"); !errors.Is(err, campaign.ErrNotFound) || err.Error() != `no list "x"; there are none` {
		t.Errorf("error %v", err)
	}
	mustImport(t, store, postgres.ImportOptions{List: "vips"}, rowsOf())
	if _, err := store.List(t.Context(), "x"); err == nil || err.Error() != `no list "x"; there are: vips` {
		t.Errorf("error %v", err)
	}
}
