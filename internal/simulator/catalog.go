package simulator

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// builtin holds the templates there are when no file names others.
//
//go:embed templates.json
var builtin []byte

// catalog holds the templates of one account. Sends read it without a lock: a
// change makes a new set.
type catalog struct {
	account       string // id of the WABA
	acceptUnknown bool   // sends of templates not in the set are checked by form alone

	mu  sync.Mutex
	set atomic.Pointer[templateSet]
}

type templateSet struct {
	byKey   map[templateKey]*template
	ordered []*template
}

type templateKey struct{ name, language string }

func newCatalog(account string, templates []*template, acceptUnknown bool) *catalog {
	c := &catalog{account: account, acceptUnknown: acceptUnknown}
	c.replace(templates)
	return c
}

func (c *catalog) replace(ordered []*template) {
	set := &templateSet{byKey: make(map[templateKey]*template, len(ordered)), ordered: ordered}
	for _, t := range ordered {
		set.byKey[templateKey{t.name, t.language}] = t
	}
	c.set.Store(set)
}

func (c *catalog) find(name, language string) *template {
	return c.set.Load().byKey[templateKey{name, language}]
}

func (c *catalog) all() []*template { return c.set.Load().ordered }

// add puts in a new template; false when name and language are taken.
func (c *catalog) add(t *template) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.find(t.name, t.language) != nil {
		return false
	}
	c.replace(append(slices.Clone(c.all()), t))
	return true
}

// setStatus changes the status and returns the template as it is now; nil when
// there is none.
func (c *catalog) setStatus(name, language, status string) *template {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.find(name, language)
	if old == nil {
		return nil
	}
	now := old.with(status)
	ordered := slices.Clone(c.all())
	ordered[slices.Index(ordered, old)] = now
	c.replace(ordered)
	return now
}

// remove deletes all languages of a name and tells how many there were.
func (c *catalog) remove(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.all()
	after := slices.DeleteFunc(slices.Clone(before), func(t *template) bool { return t.name == name })
	c.replace(after)
	return len(before) - len(after)
}

// check refuses what the templates of this account do not allow.
func (c *catalog) check(t *templateSend) (*template, *refusal) {
	want := c.find(t.name, t.language)
	if want == nil {
		if c.acceptUnknown {
			return nil, matchUnknown(t)
		}
		return nil, refuse(132001, fmt.Sprintf("template name (%s) does not exist in %s", t.name, t.language))
	}
	switch want.status {
	case "APPROVED":
	case "PAUSED":
		return nil, refuse(132015, fmt.Sprintf("template name (%s) is paused", t.name))
	case "DISABLED":
		return nil, refuse(132016, fmt.Sprintf("template name (%s) is disabled", t.name))
	default:
		return nil, refuse(132001, fmt.Sprintf("template name (%s) is not approved in %s: its status is %s", t.name, t.language, want.status))
	}
	if r := match(t, want); r != nil {
		return nil, r
	}
	return want, nil
}

// readTemplates reads a list in Graph's shape (data), in 360dialog's
// (waba_templates), an array of templates or create bodies, or a single one.
func readTemplates(raw []byte) ([]*template, error) {
	var list []json.RawMessage
	switch trimmed := bytes.TrimSpace(raw); {
	case len(trimmed) > 0 && trimmed[0] == '[':
		if err := json.Unmarshal(trimmed, &list); err != nil {
			return nil, err
		}
	default:
		var shapes struct {
			Data          []json.RawMessage `json:"data"`
			WABATemplates []json.RawMessage `json:"waba_templates"`
		}
		if err := json.Unmarshal(raw, &shapes); err != nil {
			return nil, err
		}
		switch {
		case shapes.Data != nil:
			list = shapes.Data
		case shapes.WABATemplates != nil:
			list = shapes.WABATemplates
		default:
			list = []json.RawMessage{raw}
		}
	}

	templates := make([]*template, 0, len(list))
	seen := map[templateKey]bool{}
	for i, item := range list {
		t, err := newTemplate(item)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		key := templateKey{t.name, t.language}
		if seen[key] {
			return nil, fmt.Errorf("element %d: template %q in %s is there twice", i, t.name, t.language)
		}
		seen[key] = true
		templates = append(templates, t)
	}
	return templates, nil
}
