package audience

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func (p *Planner) checkSchedule(in PlannerInput) error {
	if end := in.Spec.Schedule.NotAfter; end != nil && !end.After(in.Now) {
		return campaign.ErrGuard.With("schedule.not_after has passed: nothing could be sent", "choose a later time")
	}
	if at := in.Spec.Schedule.At; at != nil && at.Before(in.Now.Add(-time.Minute)) {
		p.warnings = append(p.warnings, fmt.Sprintf("schedule.at (%s) has passed: the campaign starts when it is launched", at.Format(time.RFC3339)))
	}
	return nil
}

// checkRetry guards the provider's rule that 131049 waits a day (whatsapp-facts
// §0.12); only a simulator on this machine may be hurried.
func (p *Planner) checkRetry(in PlannerInput) error {
	rule, ok := in.Spec.Retry["131049"]
	if ok && rule.First < 24*time.Hour && !loopback(in.Channel.BaseURL) {
		return campaign.ErrGuard.With(fmt.Sprintf("retry.code_131049.first is %s: the provider asks for at least 24h", rule.First), "first: 24h")
	}
	return nil
}

func loopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// chooseTemplates sorts the languages into usable ones and those whose contacts
// stop the plan.
func (p *Planner) chooseTemplates(in PlannerInput) error {
	ref := in.Spec.Template
	var first *campaign.Template
	var names []string
	for _, t := range in.Templates {
		if t.Name != ref.Name || t.Status == "DELETED" {
			continue
		}
		names = append(names, t.Language)
		if t.Language == ref.Language {
			first = &t
		}
	}
	if len(names) == 0 {
		return campaign.ErrNotFound.With(fmt.Sprintf("channel %q has no template %q", in.Channel.Name, ref.Name), "campaignctl template list shows them; template sync fetches new ones")
	}
	if first == nil {
		slices.Sort(names)
		return campaign.ErrNotFound.With(fmt.Sprintf("template %q has no language %q; it has %s", ref.Name, ref.Language, strings.Join(names, ", ")), "")
	}
	if err := usable(*first); err != nil {
		return err
	}
	p.templates = []*planTemplate{{*first, campaign.NewChecker(first)}}
	if ref.LanguageFrom == "" {
		return nil
	}
	for _, t := range in.Templates {
		switch {
		case t.Name != ref.Name || t.Language == ref.Language || t.Status == "DELETED" || t.Status == "REJECTED":
			// It does not exist, or never did.
		case usable(t) != nil:
			p.blocked[t.Language] = t
		default:
			p.templates = append(p.templates, &planTemplate{t, campaign.NewChecker(&t)})
		}
	}
	slices.SortFunc(p.templates[1:], func(a, b *planTemplate) int { return strings.Compare(a.Language, b.Language) })
	return nil
}

// usable says why a template cannot be sent, nil when it can.
func usable(t campaign.Template) error {
	named := fmt.Sprintf("template %q (%s)", t.Name, t.Language)
	switch {
	case t.Status != campaign.TemplateApproved:
		return campaign.ErrTemplate.With(fmt.Sprintf("%s is %s; only APPROVED ones are sent", named, t.Status),
			"if the provider says otherwise: campaignctl template sync")
	case !t.Sendable:
		why := strings.Join(t.Problems, "; ")
		if kinds := unsendable(t); kinds != "" {
			why = "it has " + kinds
		}
		return campaign.ErrTemplate.With(fmt.Sprintf("%s cannot be sent by this version: %s", named, why), "")
	}
	return nil
}

// unsendable names the slots of kinds that no version of ours fills yet.
func unsendable(t campaign.Template) string {
	var kinds []string
	for _, slot := range t.Slots {
		switch slot.Kind {
		case campaign.SlotText, campaign.SlotImage, campaign.SlotVideo, campaign.SlotDocument, campaign.SlotGIF, campaign.SlotLocation,
			campaign.SlotURL, campaign.SlotQuickReply, campaign.SlotCopyCode:
		default:
			if !slices.Contains(kinds, string(slot.Kind)) {
				kinds = append(kinds, string(slot.Kind))
			}
		}
	}
	return strings.Join(kinds, ", ")
}

// readSources parts constants from columns, and uploads local files.
func (p *Planner) readSources(in PlannerInput) error {
	for _, key := range slices.Sorted(maps.Keys(in.Spec.Parameters)) {
		source := in.Spec.Parameters[key]
		if source.Constant == nil {
			p.varying = append(p.varying, varyingSlot{key, source})
			continue
		}
		value := *source.Constant
		if value.Media != nil && value.Media.File != "" {
			if in.Upload == nil {
				return campaign.ErrInvalid.With(fmt.Sprintf("parameters.%s: a local file cannot be uploaded here", key), "give a link or a media id")
			}
			id, err := in.Upload(value.Media)
			if err != nil {
				return fmt.Errorf("upload the file of parameters.%s: %w", key, err)
			}
			medium := *value.Media
			medium.File, medium.ID = "", id
			value.Media = &medium
		}
		p.constants[key] = value
	}
	return nil
}

// checkSlots compares the slots of every usable language with the sources.
func (p *Planner) checkSlots(in PlannerInput) error {
	for i, t := range p.templates {
		if err := p.checkTemplate(t); err != nil {
			if i == 0 {
				return err
			}
			// Another language stops the plan only if somebody is to get it.
			blocked := t.Template
			blocked.Problems = []string{err.Error()}
			p.blocked[t.Language] = blocked
			p.templates[i] = nil
		}
	}
	p.templates = slices.DeleteFunc(p.templates, func(t *planTemplate) bool { return t == nil })
	return nil
}

func (p *Planner) checkTemplate(t *planTemplate) error {
	named := fmt.Sprintf("template %q (%s)", t.Name, t.Language)
	keys := make([]string, len(t.Slots))
	for i, slot := range t.Slots {
		keys[i] = slot.Key
	}
	var missing []string
	for _, slot := range t.Slots {
		source, given := p.spec.Parameters[slot.Key]
		if !given {
			if slot.Required {
				missing = append(missing, slot.Key)
			}
			continue
		}
		if source.Constant == nil && takesMedium(slot.Kind) != (source.Media != "") {
			if source.Media == "" {
				return campaign.ErrInvalid.With(fmt.Sprintf("parameters.%s: %s takes %s there, not a text", slot.Key, named, slot.Kind),
					fmt.Sprintf("{%s: {column: %s}}", slot.Kind, source.Column))
			}
			return campaign.ErrInvalid.With(fmt.Sprintf("parameters.%s: %s takes a text there, not %s", slot.Key, named, source.Media), "")
		}
		if source.Media != "" && source.Media != slot.Kind {
			return campaign.ErrInvalid.With(fmt.Sprintf("parameters.%s: %s takes %s there, not %s", slot.Key, named, slot.Kind, source.Media), "")
		}
	}
	if len(missing) > 0 {
		return campaign.ErrInvalid.With(fmt.Sprintf("%s has %s; no value is given for %s", named, count(len(t.Slots), "parameter"), strings.Join(missing, ", ")),
			fmt.Sprintf("add under parameters: %s: %s", missing[0], sourceFor(t.Slots, missing[0])))
	}
	for _, key := range slices.Sorted(maps.Keys(p.spec.Parameters)) {
		if slices.Contains(keys, key) {
			continue
		}
		hint := "it takes no parameters"
		if meant := campaign.Closest(key, keys); meant != "" {
			hint = fmt.Sprintf("did you mean %q?", meant)
		} else if len(keys) > 0 {
			hint = "it has " + strings.Join(keys, ", ")
		}
		return campaign.ErrInvalid.With(fmt.Sprintf("parameters.%s: %s has no such slot", key, named), hint)
	}
	// A constant that breaks a rule breaks it for everybody; what the columns will
	// bring is checked row by row.
	for _, problem := range t.checker.Check(p.constants) {
		if _, constant := p.constants[problem.Slot]; constant {
			return campaign.ErrInvalid.With(fmt.Sprintf("parameters.%s: %s", problem.Slot, problem.Reason), "")
		}
	}
	return nil
}

// sourceFor shows what a campaign file may give for a slot.
func sourceFor(slots []campaign.Slot, key string) string {
	i := slices.IndexFunc(slots, func(s campaign.Slot) bool { return s.Key == key })
	switch kind := slots[i].Kind; {
	case takesMedium(kind):
		return fmt.Sprintf("{%s: {link: …}}, {%s: {file: …}} or {%s: {column: …}}", kind, kind, kind)
	case kind == campaign.SlotLocation:
		return "{location: {latitude: …, longitude: …}}"
	}
	return "{column: …} or a constant"
}

func takesMedium(kind campaign.SlotKind) bool { return slices.Contains(mediaKinds, string(kind)) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// checkColumns wants every column on the list: a misspelt one would send its
// default to everybody.
func (p *Planner) checkColumns(in PlannerInput) error {
	known := slices.Concat(builtInColumns, in.List.Columns)
	var missing []string
	provided := len(p.constants)
	for _, v := range p.varying {
		if slices.Contains(known, v.source.Column) {
			provided++
		} else if !slices.Contains(missing, v.source.Column) {
			missing = append(missing, v.source.Column)
		}
	}
	if from := p.spec.Template.LanguageFrom; len(missing) == 0 && from != "" && !slices.Contains(known, from) {
		return campaign.ErrInvalid.With(fmt.Sprintf("template.language.from: list %q has no column %q", in.List.Name, from), p.columnHint(from, known))
	}
	if len(missing) == 0 {
		return nil
	}
	quoted := make([]string, len(missing))
	for i, m := range missing {
		quoted[i] = fmt.Sprintf("%q", m)
	}
	columns := "column " + quoted[0] + " is missing"
	if len(missing) > 1 {
		columns = "columns " + strings.Join(quoted, ", ") + " are missing"
	}
	return campaign.ErrInvalid.With(fmt.Sprintf("template %q has %s; list %q provides %d (%s)",
		p.spec.Template.Name, count(len(p.templates[0].Slots), "parameter"), in.List.Name, provided, columns), p.columnHint(missing[0], known))
}

func (p *Planner) columnHint(column string, known []string) string {
	if meant := campaign.Closest(column, known); meant != "" {
		return fmt.Sprintf("did you mean %q?", meant)
	}
	return "its columns: " + strings.Join(known, ", ")
}
