package dialog360

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/campaignd/campaignd/internal/campaign"
)

// ValidateBaseURL wants https, or plain http on loopback (design §11): the key
// goes with every request. The error is campaign.ErrInvalid.
func ValidateBaseURL(base string) error {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return campaign.ErrInvalid.With("the base URL is not a URL with a host", "for example https://waba-v2.360dialog.io")
	case u.Scheme != "https" && u.Scheme != "http":
		return campaign.ErrInvalid.With(fmt.Sprintf("the base URL has the scheme %q", u.Scheme), "use https")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return campaign.ErrInvalid.With("the base URL is plain http, which would send the key in the clear", "use https; plain http is for loopback only")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return campaign.ErrInvalid.With("the base URL has more than scheme, host and path", "for example https://waba-v2.360dialog.io")
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v1") || strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/messages"):
		return campaign.ErrInvalid.With(fmt.Sprintf("the base URL ends in %s", u.Path), "leave the path out; the dialect adds it")
	}
	return nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// CheckWebhookURL applies the provider's rules (whatsapp-facts §1): https, no
// underscore and no port in the host. Where the base URL is on loopback, as for
// the simulator, they do not hold. The error is campaign.ErrInvalid.
func CheckWebhookURL(webhook, base string) error {
	u, err := url.Parse(webhook)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return campaign.ErrInvalid.With("the webhook URL is not a URL with a host", "for example https://hooks.example.com/webhooks/sales-eu")
	}
	if u.Fragment != "" || u.User != nil {
		return campaign.ErrInvalid.With("the webhook URL has a user or a fragment", "leave it out")
	}
	if b, err := url.Parse(base); err == nil && loopback(b.Hostname()) {
		return nil
	}
	switch {
	case loopback(u.Hostname()):
		return campaign.ErrInvalid.With("the webhook URL is on this machine, where the provider cannot reach it", "use a public name")
	case u.Scheme != "https":
		return campaign.ErrInvalid.With("the webhook URL is not https", "the provider calls https only")
	case strings.Contains(u.Host, "_"):
		return campaign.ErrInvalid.With("the host of the webhook URL has an underscore", "the provider refuses it; use another name")
	case u.Port() != "" || strings.HasSuffix(u.Host, ":"):
		return campaign.ErrInvalid.With("the webhook URL has a port", "the provider refuses it; listen on 443 or put a proxy in front")
	}
	return nil
}

// Limits of reading templates: 6,000 per WABA at most (whatsapp-facts §2.4), so
// a list that does not end is the provider's mistake.
const (
	templatePage = 100
	maxPages     = 500
)

// Templates reads all templates of the channel's WABA. A channel on the sandbox
// has none to read: campaign.ErrProvider, as for every refusal (*CallError).
func (c *Client) Templates(ctx context.Context) ([]campaign.Template, error) {
	if err := c.notInSandbox("read the templates", "template management"); err != nil {
		return nil, err
	}
	templates, err := c.graphTemplates(ctx)
	var failed *CallError
	if errors.As(err, &failed) && failed.Failure.HTTP == http.StatusNotFound {
		return c.configTemplates(ctx)
	}
	return templates, err
}

// graphTemplates reads /message_templates. A page without paging.next is the
// last one, whatever its cursors say: they are there on the last page too. The
// address in next is Meta's own, so only its cursor is used.
func (c *Client) graphTemplates(ctx context.Context) ([]campaign.Template, error) {
	request := call{what: "read the templates", method: http.MethodGet, path: "/message_templates", query: url.Values{
		"limit":  {strconv.Itoa(templatePage)},
		"fields": {"id,name,language,status,category,parameter_format,quality_score,components"},
	}}
	all := []campaign.Template{}
	seen := map[string]bool{}
	for range maxPages {
		page, err := c.do(ctx, request)
		if err != nil {
			return nil, err
		}
		templates, err := ParseTemplates(page)
		if err != nil {
			return nil, c.failed(request, err.Error())
		}
		all = append(all, templates...)
		next := page.get("paging", "next").text()
		if next == "" {
			return all, nil
		}
		after := page.get("paging", "cursors", "after").text()
		if after == "" {
			if u, err := url.Parse(next); err == nil {
				after = u.Query().Get("after")
			}
		}
		if after == "" || seen[after] {
			return nil, c.failed(request, "its pages do not end")
		}
		seen[after] = true
		request.query.Set("after", after)
	}
	return nil, c.failed(request, "its pages do not end")
}

// configTemplates reads 360dialog's own list, which older stacks have.
func (c *Client) configTemplates(ctx context.Context) ([]campaign.Template, error) {
	request := call{what: "read the templates", method: http.MethodGet, path: "/v1/configs/templates",
		query: url.Values{"limit": {strconv.Itoa(templatePage)}}}
	all := []campaign.Template{}
	for range maxPages {
		request.query.Set("offset", strconv.Itoa(len(all)))
		page, err := c.do(ctx, request)
		if err != nil {
			return nil, err
		}
		templates, err := ParseTemplates(page)
		if err != nil {
			return nil, c.failed(request, err.Error())
		}
		all = append(all, templates...)
		total, known := page.get("total").integer()
		if len(templates) == 0 || !known || len(all) >= total {
			return all, nil
		}
	}
	return nil, c.failed(request, "its pages do not end")
}

func (c *Client) notInSandbox(what, feature string) error {
	if c.config.Dialect != campaign.DialectSandbox {
		return nil
	}
	return &CallError{cause: campaign.ErrProvider.With(
		fmt.Sprintf("%s: the sandbox has no %s", what, feature), "use a channel of a real number, or the simulator")}
}

// Webhook is where the provider sends the events of a number. The zero value
// means that none is set.
type Webhook struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"` // sent with every event; may hold our secret
}

// SetWebhook registers a URL, checked by CheckWebhookURL, and the headers that
// prove the provider to us. Errors: campaign.ErrInvalid, campaign.ErrProvider.
func (c *Client) SetWebhook(ctx context.Context, address string, headers map[string]string) error {
	if err := CheckWebhookURL(address, c.config.BaseURL); err != nil {
		return err
	}
	body, err := json.Marshal(Webhook{URL: address, Headers: headers})
	if err != nil {
		return fmt.Errorf("register the webhook: %w", err)
	}
	_, err = c.do(ctx, call{what: "register the webhook", method: http.MethodPost, path: "/v1/configs/webhook",
		body: bytes.NewReader(body), length: int64(len(body)), contentType: "application/json"})
	return err
}

// Webhook reads what is registered. Errors: campaign.ErrProvider.
func (c *Client) Webhook(ctx context.Context) (Webhook, error) {
	doc, err := c.do(ctx, call{what: "read the webhook", method: http.MethodGet, path: "/v1/configs/webhook"})
	var failed *CallError
	if errors.As(err, &failed) && failed.Failure.HTTP == http.StatusNotFound {
		return Webhook{}, nil // the answer when none is set (whatsapp-facts §1)
	}
	if err != nil {
		return Webhook{}, err
	}
	webhook := Webhook{URL: doc.get("url").text()}
	for name, value := range doc.get("headers").fields() {
		if webhook.Headers == nil {
			webhook.Headers = map[string]string{}
		}
		webhook.Headers[name] = value.text()
	}
	return webhook, nil
}

// Health says whether a number can send, and what stands in its way
// (whatsapp-facts §1).
type Health struct {
	Status   string         `json:"status"` // AVAILABLE, LIMITED or BLOCKED; a newer word is kept
	Entities []HealthEntity `json:"entities"`
}

// HealthEntity is the number, the WABA, the business or the app.
type HealthEntity struct {
	Type   string        `json:"type"`
	ID     string        `json:"id"`
	Status string        `json:"status"`
	Errors []HealthError `json:"errors,omitempty"`
	Notes  []string      `json:"notes,omitempty"`
}

// HealthError is a reason with the provider's own advice.
type HealthError struct {
	Code     int    `json:"code"`
	Title    string `json:"title"`
	Solution string `json:"solution,omitempty"`
}

// Health asks for the state of the number. Fields that we do not know are passed
// over; an answer without a status is one with Status "". Errors:
// campaign.ErrProvider.
func (c *Client) Health(ctx context.Context) (Health, error) {
	if err := c.notInSandbox("read the health status", "health status"); err != nil {
		return Health{}, err
	}
	doc, err := c.do(ctx, call{what: "read the health status", method: http.MethodGet, path: "/health_status"})
	if err != nil {
		return Health{}, err
	}
	status := doc.get("health_status")
	health := Health{Status: status.get("can_send_message").text(), Entities: []HealthEntity{}}
	for e := range status.get("entities").objects() {
		entity := HealthEntity{Type: e.get("entity_type").text(), ID: e.get("id").text(), Status: e.get("can_send_message").text()}
		for problem := range e.get("errors").objects() {
			code, _ := problem.get("error_code").integer()
			entity.Errors = append(entity.Errors, HealthError{Code: code,
				Title: problem.get("error_description").text(), Solution: problem.get("possible_solution").text()})
		}
		for note := range e.get("additional_info").elements() {
			if text := note.text(); text != "" {
				entity.Notes = append(entity.Notes, text)
			}
		}
		health.Entities = append(health.Entities, entity)
	}
	return health, nil
}
