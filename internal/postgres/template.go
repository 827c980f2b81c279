package postgres

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/template_list.sql
	templateListSQL string
	//go:embed sql/template_put.sql
	templatePutSQL string
	//go:embed sql/template_used.sql
	templateUsedSQL string
	//go:embed sql/template_event.sql
	templateEventSQL string
)

// templateDeleted is the status of templates that the provider no longer lists.
// They are never removed, because messages refer to them.
const templateDeleted = "DELETED"

// Templates lists the templates of a channel by name and language, those of all
// channels when it is 0. Deleted ones are among them.
func (s *Store) Templates(ctx context.Context, channel campaign.ChannelID) ([]campaign.Template, error) {
	return s.templates(ctx, channel, 0, "")
}

// TemplateByID finds one language of a template.
func (s *Store) TemplateByID(ctx context.Context, id campaign.TemplateID) (campaign.Template, error) {
	found, err := s.templates(ctx, 0, id, "")
	if err != nil {
		return campaign.Template{}, err
	}
	if len(found) == 0 {
		return campaign.Template{}, campaign.ErrNotFound.With(fmt.Sprintf("no template %d", id), "")
	}
	return found[0], nil
}

// TemplateLanguages gives all languages of a template that the provider lists,
// whatever their status. ErrNotFound says which names are close.
func (s *Store) TemplateLanguages(ctx context.Context, channel campaign.ChannelID, name string) ([]campaign.Template, error) {
	found, err := s.templates(ctx, channel, 0, name)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(t campaign.Template) bool { return t.Status == templateDeleted })
	if len(found) > 0 {
		return found, nil
	}
	names, err := collect[string](s.pool.Query(ctx, `SELECT DISTINCT name FROM campaign.templates WHERE channel_id = $1 AND status <> 'DELETED' ORDER BY name`, channel))
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", translate(err))
	}
	return nil, notFound("template", name, names, "fetch them with: campaignctl template sync")
}

// Template finds one language of a template. ErrNotFound says which languages it
// has, or which names are close.
func (s *Store) Template(ctx context.Context, channel campaign.ChannelID, name, language string) (campaign.Template, error) {
	found, err := s.TemplateLanguages(ctx, channel, name)
	if err != nil {
		return campaign.Template{}, err
	}
	languages := make([]string, len(found))
	for i, t := range found {
		if t.Language == campaign.NormalizeLanguage(language) {
			return t, nil
		}
		languages[i] = t.Language
	}
	return campaign.Template{}, campaign.ErrNotFound.With(
		fmt.Sprintf("template %q has no language %q; it has %s", name, language, strings.Join(languages, ", ")), "")
}

func (s *Store) templates(ctx context.Context, channel campaign.ChannelID, id campaign.TemplateID, name string) ([]campaign.Template, error) {
	found, err := collectStructs[campaign.Template](s.pool.Query(ctx, templateListSQL,
		pgx.StrictNamedArgs{"channel": channel, "id": id, "name": name}))
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", translate(err))
	}
	return found, nil
}

// SyncTemplates makes the templates of a channel what the provider lists, in one
// transaction. What is no longer listed gets the status DELETED. Where the slots
// of a template changed while a scheduled or running campaign uses it, that
// template is held until a person has looked: its parameters were checked
// against another text. One that is no longer approved is held until it is
// again.
func (s *Store) SyncTemplates(ctx context.Context, channel campaign.ChannelID, listed []campaign.Template) (campaign.TemplateSync, error) {
	result := campaign.TemplateSync{}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		sync := templateSync{channel: channel}
		if err := sync.run(ctx, tx, listed); err != nil {
			return err
		}
		result = sync.result
		return nil
	})
	if err != nil {
		return campaign.TemplateSync{}, fmt.Errorf("synchronise the templates of channel %d: %w", channel, translate(err))
	}
	return result, nil
}

// templateSync is one synchronisation under way.
type templateSync struct {
	channel campaign.ChannelID
	used    map[campaign.TemplateID]bool // by scheduled and running campaigns
	holds   []campaign.Hold
	lift    []campaign.TemplateID
	writes  pgx.Batch
	result  campaign.TemplateSync
}

func (y *templateSync) run(ctx context.Context, tx pgx.Tx, listed []campaign.Template) error {
	// The channel's row serialises synchronisations; it does not touch claims.
	var exists bool
	err := tx.QueryRow(ctx, `SELECT true FROM campaign.channels WHERE id = $1 FOR NO KEY UPDATE`, y.channel).Scan(&exists)
	if err != nil {
		return err
	}
	stored, err := collectStructs[campaign.Template](tx.Query(ctx, templateListSQL, pgx.StrictNamedArgs{"channel": y.channel, "id": 0, "name": ""}))
	if err != nil {
		return err
	}
	used, err := collect[campaign.TemplateID](tx.Query(ctx, templateUsedSQL, pgx.StrictNamedArgs{"channel": y.channel}))
	if err != nil {
		return err
	}
	y.used = make(map[campaign.TemplateID]bool, len(used))
	for _, id := range used {
		y.used[id] = true
	}
	y.result.Changes = []campaign.TemplateChange{}
	y.compare(stored, listed)

	// After the rest: never before a changed_at of this synchronisation.
	y.writes.Queue(`UPDATE campaign.templates SET synced_at = clock_timestamp() WHERE channel_id = $1 AND status <> 'DELETED'`, y.channel)
	if err := tx.SendBatch(ctx, &y.writes).Close(); err != nil {
		return err
	}
	if len(y.lift) > 0 {
		if err := liftTemplates(ctx, tx, y.lift); err != nil {
			return err
		}
	}
	if len(y.holds) == 0 {
		return nil
	}
	// Last, because claims wait for it.
	if err := lockExclusively(ctx, tx, channelKey(y.channel)); err != nil {
		return err
	}
	for _, h := range y.holds {
		if err := putHold(ctx, tx, h); err != nil {
			return err
		}
	}
	return nil
}

// compare decides what to write, in the order of names.
func (y *templateSync) compare(stored, listed []campaign.Template) {
	type key struct{ name, language string }
	old := make(map[key]campaign.Template, len(stored))
	for _, t := range stored {
		old[key{t.Name, t.Language}] = t
	}
	seen := make(map[key]bool, len(listed))
	for _, t := range listed {
		k := key{t.Name, t.Language}
		if seen[k] {
			continue // the provider pages while the list moves: an element may come twice
		}
		seen[k] = true
		t.ChannelID = y.channel
		was, known := old[k]
		if !known {
			y.result.Added++
			y.note(t, "added", nil, false)
			y.put(t)
			continue
		}
		y.update(was, t)
	}
	for _, was := range stored {
		if seen[key{was.Name, was.Language}] || was.Status == templateDeleted {
			continue
		}
		gone := was
		gone.Status = templateDeleted
		y.result.Removed++
		y.note(gone, "removed", nil, y.holdStatus(was, gone))
		y.put(gone)
	}
}

// update writes a known template if anything about it changed.
func (y *templateSync) update(was, is campaign.Template) {
	is.ID = was.ID
	var details []string
	differ := func(what, before, after string) {
		if before != after {
			details = append(details, fmt.Sprintf("%s %s → %s", what, orNone(before), orNone(after)))
		}
	}
	differ("status", was.Status, is.Status)
	differ("category", was.Category, is.Category)
	differ("format", was.Format, is.Format)
	differ("quality", was.Quality, is.Quality)
	slots := campaign.SlotChanges(was.Slots, is.Slots)
	details = append(details, slots...)
	if len(slots) == 0 && !(sameJSON(was.Components, is.Components) && reflect.DeepEqual(was.Parts, is.Parts)) {
		details = append(details, "the text or a button")
	}
	if len(details) == 0 && was.ProviderID == is.ProviderID && was.Sendable == is.Sendable && slices.Equal(was.Problems, is.Problems) {
		y.result.Unchanged++
		// A hold may still stand for a status that a webhook told us.
		if is.Status == campaign.TemplateApproved {
			y.lift = append(y.lift, is.ID)
		}
		return
	}
	held := y.holdStatus(was, is)
	if len(slots) > 0 && y.used[is.ID] {
		held = true
		y.holds = append(y.holds, campaign.Hold{
			Scope: campaign.HoldTemplate, ScopeID: int64(is.ID), Source: campaign.SourceChanged,
			Reason: fmt.Sprintf("template %s changed while campaigns use it: %s", templateName(is), strings.Join(slots, ", ")),
		})
	}
	y.result.Changed++
	y.note(is, "changed", details, held)
	y.put(is)
}

// holdStatus asks for a hold on a template that stopped being approved, or that
// campaigns use and that is not; it lifts it once it is approved.
func (y *templateSync) holdStatus(was, is campaign.Template) bool {
	if is.Status == campaign.TemplateApproved {
		y.lift = append(y.lift, is.ID)
		return false
	}
	if was.Status != campaign.TemplateApproved && !y.used[is.ID] {
		return false // it was never sent
	}
	y.holds = append(y.holds, statusHold(is))
	return true
}

func statusHold(t campaign.Template) campaign.Hold {
	return campaign.Hold{
		Scope: campaign.HoldTemplate, ScopeID: int64(t.ID), Source: campaign.SourceTemplate,
		Reason: fmt.Sprintf("template %s is %s", templateName(t), t.Status),
	}
}

// unapproved are the beginnings of the reasons of holds that stem from an answer
// which said that the template is not approved (whatsapp-facts §4.5): approval is
// what lifts them. An answer of another kind waits for its own end.
var unapproved = []string{"132001:%", "132007:%", "132015:%", "132016:%"}

// liftTemplates lifts what the provider's word about templates held.
func liftTemplates(ctx context.Context, tx pgx.Tx, ids []campaign.TemplateID) error {
	_, err := tx.Exec(ctx, `
		DELETE FROM campaign.holds
		 WHERE scope = 'template' AND scope_id = ANY($1::bigint[])
		   AND (source = $2 OR source = $3 AND reason LIKE ANY($4::text[]))`,
		ids, campaign.SourceTemplate, campaign.SourceCode, unapproved)
	return err
}

func templateName(t campaign.Template) string { return fmt.Sprintf("%s (%s)", t.Name, t.Language) }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func (y *templateSync) note(t campaign.Template, change string, details []string, held bool) {
	y.result.Changes = append(y.result.Changes, campaign.TemplateChange{
		Name: t.Name, Language: t.Language, Change: change, Details: append([]string{}, details...), Held: held,
	})
}

func (y *templateSync) put(t campaign.Template) {
	y.writes.Queue(templatePutSQL, pgx.StrictNamedArgs{
		"channel": t.ChannelID, "provider_id": plainText(t.ProviderID), "name": t.Name, "language": t.Language,
		"status": t.Status, "category": t.Category, "format": t.Format, "quality": t.Quality, "sendable": t.Sendable,
		"problems": append([]string{}, t.Problems...), "slots": append([]campaign.Slot{}, t.Slots...),
		"parts": append([]campaign.Part{}, t.Parts...), "components": storableJSON(t.Components),
	})
}

// sameJSON compares two documents by value: jsonb does not keep the order of
// keys.
func sameJSON(a, b []byte) bool {
	var left, right any
	if json.Unmarshal(storableJSON(a), &left) != nil || json.Unmarshal(storableJSON(b), &right) != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(left, right)
}

// storableJSON gives a document that jsonb takes: it refuses NUL characters.
// What is not JSON at all becomes an empty object.
func storableJSON(document []byte) json.RawMessage {
	if len(document) == 0 || !json.Valid(document) {
		return json.RawMessage(`{}`)
	}
	if !bytes.Contains(document, []byte(`\u0000`)) {
		return document
	}
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return json.RawMessage(`{}`)
	}
	clean, err := json.Marshal(withoutNUL(value))
	if err != nil {
		return json.RawMessage(`{}`)
	}
	return clean
}

func withoutNUL(value any) any {
	switch v := value.(type) {
	case string:
		return plainText(v)
	case []any:
		for i := range v {
			v[i] = withoutNUL(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for k, element := range v {
			clean[plainText(k)] = withoutNUL(element)
		}
		return clean
	}
	return value
}

// plainText removes what Postgres cannot store as text.
func plainText(text string) string {
	text = strings.ToValidUTF8(text, "")
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "")
	}
	return text
}

// ApplyTemplateEvent applies what a webhook says of a template: its status, its
// category or its quality. It holds for every channel of the account, because
// templates belong to the WABA. Events of templates that we do not know change
// nothing.
func (s *Store) ApplyTemplateEvent(ctx context.Context, channel campaign.ChannelID, e campaign.Event) error {
	status, category, quality := "", "", ""
	switch e.Kind {
	case campaign.EventTemplateStatus:
		status = statusAfter(e.Event)
	case campaign.EventTemplateCategory:
		// An announced change carries the current category as the new one.
		category = e.New
	case campaign.EventTemplateQuality:
		quality = e.New
	}
	if status == "" && category == "" && quality == "" {
		return nil
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		changed, err := collectStructs[struct {
			ID        campaign.TemplateID
			ChannelID campaign.ChannelID
			Status    string
		}](tx.Query(ctx, templateEventSQL, pgx.StrictNamedArgs{
			"channel": channel, "name": plainText(e.Template), "language": campaign.NormalizeLanguage(plainText(e.Language)),
			"status": plainText(status), "category": plainText(category), "quality": plainText(quality),
		}))
		if err != nil || status == "" || len(changed) == 0 {
			return err
		}
		var ids []campaign.TemplateID
		var keys []lockKey
		for _, t := range changed {
			ids, keys = append(ids, t.ID), append(keys, channelKey(t.ChannelID))
		}
		if status == campaign.TemplateApproved {
			return liftTemplates(ctx, tx, ids)
		}
		if err := lockExclusively(ctx, tx, keys...); err != nil {
			return err
		}
		for _, t := range changed {
			hold := statusHold(campaign.Template{ID: t.ID, Name: e.Template, Language: e.Language, Status: status})
			if e.Reason != "" && e.Reason != "NONE" {
				hold.Reason += ": " + plainText(e.Reason)
			}
			if err := putHold(ctx, tx, hold); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply a template event: %w", translate(err))
	}
	return nil
}

// statusAfter gives the status of a template after an event of its status
// webhook (whatsapp-facts §6.5), empty where the event leaves it as it is: a
// flagged template is still sent, and a word that we do not know decides nothing.
func statusAfter(event string) string {
	switch strings.ToUpper(event) {
	case "APPROVED", "REINSTATED", "UNPAUSED", "UNARCHIVED":
		return campaign.TemplateApproved
	case "REJECTED", "PENDING", "PAUSED", "DISABLED", "IN_APPEAL", "PENDING_DELETION", "DELETED", "LIMIT_EXCEEDED", "LOCKED", "ARCHIVED":
		return strings.ToUpper(event)
	}
	return ""
}
