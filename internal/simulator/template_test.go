package simulator

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func parseTemplates(t *testing.T, raw string) *catalog {
	t.Helper()
	list, err := readTemplates([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return newCatalog("1", list, false)
}

// catalogue of one template for each rule that looks at the template.
const ruleTemplates = `[
 {"name":"two","language":"en","category":"UTILITY","components":[{"type":"BODY","text":"{{2}} and {{1}}, {{1}}"}]},
 {"name":"named","language":"en","category":"UTILITY","parameter_format":"named","components":[{"type":"header","format":"text","text":"Hi {{first}}"},{"type":"body","text":"{{first}} {{second}}"}]},
 {"name":"image","language":"en","category":"MARKETING","components":[{"type":"HEADER","format":"IMAGE"},{"type":"BODY","text":"plain"}]},
 {"name":"place","language":"en","category":"MARKETING","components":[{"type":"HEADER","format":"LOCATION"},{"type":"BODY","text":"plain"}]},
 {"name":"buttons","language":"en","category":"MARKETING","components":[{"type":"BODY","text":"plain"},{"type":"BUTTONS","buttons":[
   {"type":"URL","text":"a","url":"https://a.example/{{1}}"},{"type":"URL","text":"b","url":"https://a.example/"},{"type":"QUICK_REPLY","text":"c"},{"type":"COPY_CODE","example":"X"}]}]},
 {"name":"code","language":"en","category":"AUTHENTICATION","components":[{"type":"BODY","add_security_recommendation":true},{"type":"BUTTONS","buttons":[{"type":"OTP","otp_type":"COPY_CODE","text":"Copy"}]}]},
 {"name":"offer","language":"en","category":"MARKETING","components":[{"type":"LIMITED_TIME_OFFER","limited_time_offer":{"text":"Soon over","has_expiration":true}},{"type":"BODY","text":"plain"}]},
 {"name":"slides","language":"en","category":"MARKETING","components":[{"type":"BODY","text":"plain"},{"type":"CAROUSEL","cards":[
   {"components":[{"type":"HEADER","format":"IMAGE"},{"type":"BODY","text":"card {{1}}"}]},{"components":[{"type":"HEADER","format":"IMAGE"},{"type":"BODY","text":"card {{1}}"}]}]}]},
 {"name":"paused","language":"en","category":"UTILITY","status":"PAUSED","components":[{"type":"BODY","text":"plain"}]},
 {"name":"disabled","language":"en","category":"UTILITY","status":"DISABLED","components":[{"type":"BODY","text":"plain"}]},
 {"name":"waiting","language":"en","category":"UTILITY","status":"submitted","components":[{"type":"BODY","text":"plain"}]}
]`

func TestSendsAreComparedWithTheirTemplate(t *testing.T) {
	t.Parallel()

	known := parseTemplates(t, ruleTemplates)
	body := func(values ...string) string {
		var list []string
		for _, v := range values {
			if name, value, ok := strings.Cut(v, "="); ok {
				list = append(list, fmt.Sprintf(`{"type":"text","parameter_name":%q,"text":%q}`, name, value))
			} else {
				list = append(list, fmt.Sprintf(`{"type":"text","text":%q}`, v))
			}
		}
		return `{"type":"body","parameters":[` + strings.Join(list, ",") + `]}`
	}
	button := func(kind string, index int, parameter string) string {
		return fmt.Sprintf(`{"type":"button","sub_type":%q,"index":"%d","parameters":[%s]}`, kind, index, parameter)
	}
	text := func(s string) string { return fmt.Sprintf(`{"type":"text","text":%q}`, s) }
	header := func(s string) string { return `{"type":"header","parameters":[` + s + `]}` }
	const (
		image = `{"type":"image","image":{"id":"1"}}`
		video = `{"type":"video","video":{"id":"1"}}`
		place = `{"type":"location","location":{"latitude":1,"longitude":1,"name":"n","address":"a"}}`
		code  = `{"type":"coupon_code","coupon_code":"SAVE"}`
		offer = `{"type":"limited_time_offer","parameters":[{"type":"limited_time_offer","limited_time_offer":{"expiration_time_ms":1790000000000}}]}`
	)
	url0, code3 := button("url", 0, text("x")), button("copy_code", 3, code)
	card := func(i int, components string) string {
		return fmt.Sprintf(`{"card_index":%d,"components":[%s]}`, i, components)
	}
	slides := func(cards ...string) string {
		return `{"type":"carousel","cards":[` + strings.Join(cards, ",") + `]}`
	}
	good := header(image) + "," + body("x")

	for _, c := range []struct {
		name       string
		template   string
		components []string
		code       int // 0: accepted
		says       string
	}{
		{"Positional", "two", []string{body("a", "b")}, 0, ""},
		{"TooFew", "two", []string{body("a")}, 132000, "body: number of localizable_params (1) does not match the expected number of params (2)"},
		{"TooMany", "two", []string{body("a", "b", "c")}, 132000, "(3)"},
		{"None", "two", nil, 132000, "(0)"},
		{"NamedForPositional", "two", []string{body("x=a", "y=b")}, 132012, "positional"},
		{"TooLongAfterSubstitution", "two", []string{body(strings.Repeat("x", 510), "b")}, 132005, "1028 characters"},
		{"JustFits", "two", []string{body(strings.Repeat("é", 508), "b")}, 0, ""},
		{"Newline", "two", []string{body("a\nb", "b")}, 132018, "template.components[0].parameters[0].text"},
		{"FiveSpaces", "two", []string{body("a     b", "b")}, 132018, "consecutive"},
		{"Blank", "two", []string{body("a", " ")}, 131008, "template.components[0].parameters[1].text"},
		{"Named", "named", []string{header(`{"type":"text","parameter_name":"first","text":"a"}`), body("second=b", "first=a")}, 0, ""},
		{"UnknownName", "named", []string{header(`{"type":"text","parameter_name":"first","text":"a"}`), body("second=b", "third=a")}, 132012, "third"},
		{"PositionalForNamed", "named", []string{header(text("a")), body("a", "b")}, 132012, "parameter_name"},
		{"Mixed", "named", []string{header(text("a")), body("first=a", "second=b")}, 132012, "parameter_name"},
		{"TextHeaderTooLong", "named", []string{header(`{"type":"text","parameter_name":"first","text":"` + strings.Repeat("x", 58) + `"}`), body("second=b", "first=a")}, 132005, "header"},
		{"Image", "image", []string{header(image)}, 0, ""},
		{"ImageMissing", "image", nil, 132012, "expected IMAGE, received UNKNOWN"},
		{"ImageEmpty", "image", []string{header("")}, 132012, "expected IMAGE, received UNKNOWN"},
		{"VideoForImage", "image", []string{header(video)}, 132012, "expected IMAGE, received VIDEO"},
		{"EmptyBodyOfPlainBody", "image", []string{header(image), body()}, 0, ""},
		{"Location", "place", []string{header(place)}, 0, ""},
		{"HeaderWhereThereIsNone", "two", []string{header(image), body("a", "b")}, 132000, "no header"},
		{"Buttons", "buttons", []string{url0, code3, button("quick_reply", 2, `{"type":"payload","payload":"p"}`)}, 0, ""},
		{"QuickReplyIsOptional", "buttons", []string{url0, code3}, 0, ""},
		{"URLMissing", "buttons", []string{code3}, 131008, "button at index 0 of type URL requires a parameter"},
		{"CodeMissing", "buttons", []string{url0}, 131008, "index 3"},
		{"StaticURL", "buttons", []string{url0, code3, button("url", 1, text("x"))}, 132000, "static"},
		{"WrongButton", "buttons", []string{url0, code3, button("url", 2, text("x"))}, 132012, "QUICK_REPLY"},
		{"NoSuchButton", "buttons", []string{url0, code3, button("url", 7, text("x"))}, 132012, "does not exist"},
		{"LongURL", "buttons", []string{code3, button("url", 0, text(strings.Repeat("x", 1990)))}, 132005, "URL"},
		{"OTP", "code", []string{body("123456"), button("url", 0, text("123456"))}, 0, ""},
		{"OTPDiffers", "code", []string{body("123456"), button("url", 0, text("654321"))}, 132018, "differs"},
		{"OTPTooLong", "code", []string{body("1234567890123456"), button("url", 0, text("1234567890123456"))}, 132018, "15"},
		{"OTPButtonMissing", "code", []string{body("123456")}, 131008, "OTP"},
		{"Offer", "offer", []string{offer}, 0, ""},
		{"OfferMissing", "offer", nil, 131008, "limited_time_offer"},
		{"OfferWhereThereIsNone", "two", []string{body("a", "b"), offer}, 132012, "limited_time_offer"},
		{"Carousel", "slides", []string{slides(card(1, good), card(0, good))}, 0, ""},
		{"CarouselMissing", "slides", nil, 131008, "carousel"},
		{"CarouselOfThree", "slides", []string{slides(card(0, good), card(1, good), card(2, good))}, 132000, "number of cards (3)"},
		{"CardsDiffer", "slides", []string{slides(card(0, good), card(1, header(image)))}, 132012, "cards[1]"},
		{"CardValueMissing", "slides", []string{slides(card(0, header(image)), card(1, header(image)))}, 132000, "cards[0]"},
		{"CardBodyTooLong", "slides", []string{slides(card(0, good), card(1, header(image)+","+body(strings.Repeat("x", 160))))}, 132005, "cards[1]"},
		{"Footer", "two", []string{body("a", "b"), `{"type":"footer"}`}, 100, "template.components[1].type"},
		{"TwoBodies", "two", []string{body("a", "b"), body("a", "b")}, 100, "second body"},
		{"Unknown", "nowhere", nil, 132001, "does not exist in en"},
		{"Paused", "paused", nil, 132015, "paused"},
		{"Disabled", "disabled", nil, 132016, "disabled"},
		{"Pending", "waiting", nil, 132001, "PENDING"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			request := fmt.Sprintf(`{"messaging_product":"whatsapp","to":"+491701234567","type":"template","template":{"name":%q,"language":{"code":"en"},"components":[%s]}}`,
				c.template, strings.Join(c.components, ","))
			m, refused := (&checker{}).parseSend([]byte(request))
			if refused == nil {
				_, refused = known.check(m.template)
			}
			switch {
			case refused == nil && c.code != 0:
				t.Errorf("accepted, want %d", c.code)
			case refused != nil && (refused.code != c.code || !strings.Contains(refused.details(), c.says)):
				t.Errorf("refused %d %q, want %d %q", refused.code, refused.details(), c.code, c.says)
			}
		})
	}
}

func TestFixtureTemplatesTakeTheirSends(t *testing.T) {
	t.Parallel()

	dir := os.Getenv("CAMPAIGN_TEST_FIXTURES")
	if dir == "" {
		t.Skip("CAMPAIGN_TEST_FIXTURES is not set")
	}
	files, err := filepath.Glob(filepath.Join(dir, "templates", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	byName := map[string]*template{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := readTemplates(raw)
		if err != nil || len(list) == 0 {
			t.Errorf("%s: %d templates, %v", filepath.Base(file), len(list), err)
		}
		for _, one := range list {
			byName[one.name+" "+one.language] = one
		}
	}
	tried := 0
	for _, file := range sendFiles(t, "template-*.json") {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, refused := (&checker{placeholders: true}).parseSend(raw)
		if refused != nil {
			t.Fatal(refused.details())
		}
		want := byName[m.template.name+" "+m.template.language]
		// Two samples of this name show another template than the list has.
		if want == nil || want.name == "order_confirmation" || want.name == "abandoned_cart" {
			continue
		}
		tried++
		if refused := match(m.template, want); refused != nil {
			t.Errorf("%s: %d %s", filepath.Base(file), refused.code, refused.details())
		}
	}
	if tried < 4 {
		t.Errorf("only %d sends had their template", tried)
	}
}

func TestBuiltinTemplatesAreGood(t *testing.T) {
	t.Parallel()

	list, err := readTemplates(builtin)
	if err != nil {
		t.Fatal(err)
	}
	c := newCatalog("1", list, false)
	m, refused := (&checker{}).parseSend([]byte(spring("+491701234567", "")))
	if refused == nil {
		_, refused = c.check(m.template)
	}
	if refused != nil {
		t.Errorf("spring_sale: %s", refused.details())
	}
	for _, name := range []string{"spring_sale", "order_update", "welcome", "promo_image"} {
		if c.find(name, "en_US") == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if c.find("spring_sale", "de") == nil {
		t.Error("spring_sale in German is missing")
	}
}

func TestGraphListHasPages(t *testing.T) {
	t.Parallel()

	s := start(t, Config{Key: "k"})
	var names []string
	next := s.URL() + "/message_templates?limit=4&fields=name,status"
	for pages := 0; next != ""; pages++ {
		if pages > 3 {
			t.Fatal("the list does not end")
		}
		status, body, err := call(t, "GET", next, "k", "")
		if err != nil || status != 200 {
			t.Fatal(status, body, err)
		}
		for _, item := range body["data"].([]any) {
			one := item.(map[string]any)
			names = append(names, one["name"].(string))
			if one["status"] != "APPROVED" || one["components"] != nil || one["id"] == nil {
				t.Errorf("fields are not those asked for: %v", one)
			}
		}
		paging := body["paging"].(map[string]any)
		if cursors := paging["cursors"].(map[string]any); cursors["after"] == "" || cursors["before"] == "" {
			t.Errorf("cursors %v", cursors)
		}
		next, _ = paging["next"].(string)
	}
	if len(names) != 6 {
		t.Errorf("names %v", names)
	}

	_, body, _ := call(t, "GET", s.URL()+"/message_templates?name=spring&language=de", "k", "")
	if data := body["data"].([]any); len(data) != 1 || data[0].(map[string]any)["components"] == nil {
		t.Errorf("filtered: %v", data)
	}
	for _, query := range []string{"limit=0", "limit=x", "after=nowhere"} {
		if status, _, _ := call(t, "GET", s.URL()+"/message_templates?"+query, "k", ""); status != 400 {
			t.Errorf("%s: %d", query, status)
		}
	}
}

func TestConfigListIsInItsOwnShape(t *testing.T) {
	t.Parallel()

	s := start(t, Config{})
	status, body, _ := call(t, "GET", s.URL()+"/v1/configs/templates?limit=2&offset=1&sort=-name&filters="+url.QueryEscape(`{"status":"approved"}`), "", "")
	list, _ := body["waba_templates"].([]any)
	if status != 200 || body["count"] != 2.0 || body["total"] != 6.0 || body["limit"] != 2.0 || body["offset"] != 1.0 || len(list) != 2 {
		t.Fatalf("%d %v", status, body)
	}
	if one := list[0].(map[string]any); one["status"] != "approved" || one["name"] != "spring_sale" {
		t.Errorf("%v", one)
	}
}

func TestCreatedTemplateIsApprovedAndReported(t *testing.T) {
	t.Parallel()

	target := newReceiver(t)
	s := start(t, Config{Key: "k", WebhookURL: target.URL, Pace: 0.02})
	body := `{"name":"autumn","language":"en_US","category":"MARKETING","components":[{"type":"BODY","text":"Hello {{1}}"}]}`
	status, created, _ := call(t, "POST", s.URL()+"/message_templates", "k", body)
	if status != 200 || created["status"] != "PENDING" {
		t.Fatal(status, created)
	}
	if status, _, _ := call(t, "POST", s.URL()+"/message_templates", "k", body); status != 400 {
		t.Errorf("created twice: %d", status)
	}
	eventually(t, "the approval", func() bool {
		target.mu.Lock()
		defer target.mu.Unlock()
		return slices.ContainsFunc(target.changes, func(c map[string]any) bool {
			return c["event"] == "APPROVED" && c["message_template_name"] == "autumn" && c["message_template_language"] == "en-US" &&
				fmt.Sprintf("%.0f", c["message_template_id"]) == created["id"]
		})
	})
	if status, _, _ := call(t, "DELETE", s.URL()+"/message_templates?name=autumn", "k", ""); status != 200 {
		t.Errorf("delete: %d", status)
	}
	if status, _, _ := call(t, "DELETE", s.URL()+"/v1/configs/templates/autumn", "k", ""); status != 404 {
		t.Errorf("delete again: %d", status)
	}
}

func TestPausedTemplateIsReportedAndRefused(t *testing.T) {
	t.Parallel()

	target := newReceiver(t)
	s := start(t, Config{WebhookURL: target.URL})
	status, _, _ := call(t, "POST", s.URL()+"/simulator/templates/hello/en_US/status", "", `{"status":"paused"}`)
	if status != 200 {
		t.Fatal(status)
	}
	if status, body, _ := call(t, "POST", s.URL()+"/messages", "", sendTo("+491701234567", "")); status != 400 || codeOf(body) != 132015 {
		t.Errorf("%d %v", status, body)
	}
	call(t, "POST", s.URL()+"/simulator/account", "", `{"event":"ACCOUNT_RESTRICTION"}`)
	call(t, "POST", s.URL()+"/simulator/inbound", "", `{"from":"+491701234567","button":"No more offers","context_id":"wamid.x"}`)
	eventually(t, "three changes", func() bool {
		target.mu.Lock()
		defer target.mu.Unlock()
		all, _ := json.Marshal(target.changes)
		return strings.Contains(string(all), `"event":"PAUSED"`) && strings.Contains(string(all), "RESTRICTED_BIZ_INITIATED_MESSAGING") &&
			strings.Contains(string(all), `"payload":"No more offers"`)
	})
	if status, _, _ := call(t, "POST", s.URL()+"/simulator/templates/nothing/en/status", "", `{"status":"PAUSED"}`); status != 404 {
		t.Errorf("unknown template: %d", status)
	}
	if status, _, _ := call(t, "POST", s.URL()+"/simulator/templates/hello/en_US/status", "", `{"status":"TIRED"}`); status != 400 {
		t.Errorf("unknown status: %d", status)
	}
}
