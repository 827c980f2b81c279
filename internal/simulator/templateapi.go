package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reviewTime is how long a created template waits for approval, times Pace.
const reviewTime = 5 * time.Second

// Page sizes: Graph's default, and the one reported for 360dialog's own list.
const (
	graphPage  = 25
	configPage = 1000
)

// templateFilter holds the filters both lists know.
type templateFilter struct{ name, status, language, category string }

func (f templateFilter) matches(t *template) bool {
	is := func(want, got string) bool { return want == "" || strings.EqualFold(want, got) }
	return (f.name == "" || strings.Contains(t.name, f.name)) && is(f.status, t.status) && is(f.language, t.language) && is(f.category, t.category)
}

func (c *catalog) matching(f templateFilter) []*template {
	var list []*template
	for _, t := range c.all() {
		if f.matches(t) {
			list = append(list, t)
		}
	}
	return list
}

// listTemplates is GET /message_templates in Graph's shape. Cursors are always
// there; paging.next only when there is another page.
func (s *Simulator) listTemplates(w http.ResponseWriter, r *http.Request, n *number) {
	q := r.URL.Query()
	list := n.catalog.matching(templateFilter{q.Get("name"), q.Get("status"), q.Get("language"), q.Get("category")})
	limit, ok := positive(q.Get("limit"), graphPage)
	if !ok {
		s.writeRefusal(w, refuse(100, "must be a positive integer").at("limit"))
		return
	}
	start := 0
	if after := q.Get("after"); after != "" {
		id, err := base64.RawURLEncoding.DecodeString(after)
		start = slices.IndexFunc(list, func(t *template) bool { return t.id == string(id) }) + 1
		if err != nil || start == 0 {
			s.writeRefusal(w, refuse(100, "is not a cursor of this list").at("after"))
			return
		}
	}
	end := min(len(list), start+limit)

	data := make([]map[string]any, 0, end-start)
	for _, t := range list[start:end] {
		data = append(data, selected(t.object(false), q.Get("fields")))
	}
	answer := map[string]any{"data": data}
	if end > start {
		cursor := func(i int) string { return base64.RawURLEncoding.EncodeToString([]byte(list[i].id)) }
		paging := map[string]any{"cursors": map[string]string{"before": cursor(start), "after": cursor(end - 1)}}
		if end < len(list) {
			q.Set("after", cursor(end-1))
			next := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: q.Encode()}
			paging["next"] = next.String()
		}
		answer["paging"] = paging
	}
	writeJSON(w, http.StatusOK, answer)
}

// selected keeps the wanted fields, and the id, which Graph always gives.
func selected(object map[string]any, fields string) map[string]any {
	if fields == "" {
		return object
	}
	wanted := strings.Split(fields, ",")
	for name := range object {
		if name != "id" && !slices.Contains(wanted, name) {
			delete(object, name)
		}
	}
	return object
}

func positive(s string, otherwise int) (int, bool) {
	if s == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0
}

// listConfigTemplates is GET /v1/configs/templates in 360dialog's shape.
func (s *Simulator) listConfigTemplates(w http.ResponseWriter, r *http.Request, n *number) {
	q := r.URL.Query()
	var filters map[string]string
	if raw := q.Get("filters"); raw != "" {
		if err := json.Unmarshal([]byte(raw), &filters); err != nil {
			writeConfigError(w, http.StatusBadRequest, "Bad request", "filters: must be a JSON object of strings")
			return
		}
	}
	limit, ok := positive(q.Get("limit"), configPage)
	offset, err := strconv.Atoi("0" + q.Get("offset"))
	if !ok || err != nil {
		writeConfigError(w, http.StatusBadRequest, "Bad request", "limit and offset must be integers from 0 on")
		return
	}
	list := n.catalog.matching(templateFilter{filters["name"], filters["status"], filters["language"], filters["category"]})
	sorted := []string{}
	if by := q.Get("sort"); by != "" {
		sorted = strings.Split(by, ",")
		descending := strings.HasPrefix(sorted[0], "-")
		slices.SortStableFunc(list, func(a, b *template) int {
			order := strings.Compare(a.name, b.name)
			if descending {
				return -order
			}
			return order
		})
	}
	start := min(offset, len(list))
	page := list[start:min(len(list), start+limit)]

	items := make([]map[string]any, 0, len(page))
	for _, t := range page {
		o := t.object(true)
		o["external_id"], o["waba_account_id"], o["namespace"] = t.id, n.catalog.account, "00000000_0000_0000_0000_"+n.catalog.account
		items = append(items, o)
	}
	if filters == nil {
		filters = map[string]string{}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"count": len(items), "total": len(list), "limit": limit, "offset": offset,
		"sort": sorted, "filters": filters, "waba_templates": items,
	})
}

// createTemplate takes a template, PENDING first and APPROVED a little later,
// which a webhook tells.
func (s *Simulator) createTemplate(w http.ResponseWriter, r *http.Request, n *number) {
	buffer, refused := readBody(w, r)
	defer buffers.Put(buffer)
	if refused != nil {
		s.writeRefusal(w, refused)
		return
	}
	t, err := newTemplate(bytes.Clone(buffer.Bytes()))
	if err != nil {
		s.writeRefusal(w, refuse(100, err.Error()))
		return
	}
	if !slices.Contains([]string{"MARKETING", "UTILITY", "AUTHENTICATION"}, t.category) {
		s.writeRefusal(w, refuse(100, "must be one of {MARKETING, UTILITY, AUTHENTICATION}").at("category"))
		return
	}
	t = t.with("PENDING")
	if !n.catalog.add(t) {
		r := refuse(100, "there is already a template of this name in this language")
		r.subcode = 2388024
		s.writeRefusal(w, r)
		return
	}
	s.tasks.Go(func() {
		if sleep(s.ctx, s.paced(reviewTime)) {
			s.setTemplateStatus(n, t.name, t.language, "APPROVED", "NONE")
		}
	})
	status := http.StatusOK
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		status = http.StatusCreated
	}
	writeJSON(w, status, map[string]string{"id": t.id, "status": t.status, "category": t.category})
}

// setTemplateStatus changes a template and reports it; nil when there is none.
func (s *Simulator) setTemplateStatus(n *number, name, language, status, reason string) *template {
	t := n.catalog.setStatus(name, language, status)
	if t != nil {
		n.webhooks.add(event{change: templateChange(t, reason), at: time.Now()})
	}
	return t
}

// deleteTemplate deletes all languages of a name, given as ?name= or at the end
// of the older path.
func (s *Simulator) deleteTemplate(w http.ResponseWriter, r *http.Request, n *number) {
	name := r.URL.Query().Get("name")
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v1/configs/templates/"); ok {
		name = rest
	}
	if name == "" {
		s.writeRefusal(w, refuse(100, "is required").at("name"))
		return
	}
	if n.catalog.remove(name) == 0 {
		refused := refuse(100, "there is no template of this name")
		refused.status, refused.subcode = http.StatusNotFound, 2593002
		s.writeRefusal(w, refused)
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"success": true})
}
