package dialog360

import (
	"regexp"
	"strconv"
	"strings"
)

// problem is what an error body says, whatever its shape.
type problem struct {
	// recognised: one of the shapes 1-6 and 8 of whatsapp-facts §4.3, with
	// something in it. Shape 7 and HTML come from proxies, which know nothing of
	// the message.
	recognised bool
	accepted   bool   // the body has the id of an accepted message
	code       string // as the body has it, "" where it has none
	number     int    // the code as a number
	numeric    bool
	subcode    int
	onPremise  bool   // the code came in the On-Premise shape: HTTP-like codes are legacy ones
	text       string // what the body says, for matching
	details    string // what it says beside code and title
	http       int    // the status that the body claims
}

// codeLimit bounds a code that is a word.
const codeLimit = 64

// codeInText finds the "(#131030)" with which Meta opens its messages.
var codeInText = regexp.MustCompile(`\(#(\d{1,7})\)`)

// textLimit bounds what is kept of a body that is not JSON; a proxy's page says
// what it is at its top.
const textLimit = 4096

// readProblem reads an answer's body.
func readProblem(body []byte) problem {
	doc, err := document(body)
	if err != nil {
		return problem{text: clean(string(body[:min(len(body), textLimit)]))}
	}
	p := unwrap(doc, 0)
	p.accepted = messageID(doc) != ""
	if p.code == "" {
		if m := codeInText.FindStringSubmatch(p.text); m != nil {
			p.code, p.numeric = m[1], true
			p.number, _ = strconv.Atoi(m[1])
		}
	}
	return p
}

// messageID is messages[0].id, the only proof of acceptance.
func messageID(doc raw) string {
	for m := range doc.get("messages").elements() {
		return strings.TrimSpace(m.get("id").text())
	}
	return ""
}

// maxWraps bounds how often an error may be wrapped in another.
const maxWraps = 4

// unwrap follows the order of whatsapp-facts §4.3: detail, then error, then
// errors[0], then meta. What only repeats a status yields to what has a code.
func unwrap(v raw, depth int) problem {
	if depth > maxWraps {
		return problem{}
	}
	if v.isString() {
		return wrappedText(v.text(), depth)
	}
	if v.isArray() {
		for e := range v.objects() {
			return unwrap(e, depth+1)
		}
		return problem{text: joined(v)}
	}
	if detail := v.get("detail"); detail.isObject() {
		if p := unwrap(detail, depth+1); p.recognised {
			return p
		}
	}
	switch e := v.get("error"); {
	case e.isObject():
		if p := errorObject(e, depth); p.recognised {
			p.http = claimedStatus(v, p.http)
			return p
		}
	case e.isArray():
		for first := range e.objects() {
			if p := errorObject(first, depth); p.recognised {
				return p
			}
		}
	case e.isString() && strings.TrimSpace(e.text()) != "":
		p := wrappedText(e.text(), depth)
		p.recognised = true
		p.details = firstText(p.details, v.get("message").text(), v.get("error_description").text())
		p.text = strings.TrimSpace(p.text + " " + p.details)
		p.details = firstText(p.details, p.text)
		p.http = claimedStatus(v, p.http)
		return p
	}
	for e := range v.get("errors").elements() {
		p := problem{}
		switch {
		case e.isObject():
			p = errorObject(e, depth)
			p.onPremise = true
		case e.isString():
			p = wrappedText(e.text(), depth)
			p.recognised = p.text != ""
		}
		if p.recognised {
			return p
		}
	}
	if meta := v.get("meta"); meta.isObject() {
		if p := metaObject(meta); p.recognised {
			return p
		}
	}
	// A bare error object, and shape 7.
	if p := errorObject(v, maxWraps); p.recognised && (p.numeric || depth > 0) {
		if _, known := lookup(p.number); depth > 0 || known {
			return p
		}
	}
	p := problem{http: claimedStatus(v, 0)}
	if detail := v.get("detail"); detail.isString() {
		inner := wrappedText(detail.text(), depth)
		inner.http = claimedStatus(v, inner.http)
		return inner
	} else if detail.isArray() {
		p.text = joined(detail)
	}
	p.text = firstText(p.text, v.get("message").text(), v.get("title").text(), v.get("description").text())
	p.details = p.text
	return p
}

// wrappedText is a text that may itself be an error body, encoded twice.
func wrappedText(text string, depth int) problem {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") {
		if doc, err := document([]byte(trimmed)); err == nil {
			if p := unwrap(doc, depth+1); p.recognised {
				return p
			}
		}
	}
	return problem{text: text, details: text}
}

// errorObject reads Meta's error (whatsapp-facts §4.1, §4.2) and the On-Premise
// one, which differ in their details only.
func errorObject(e raw, depth int) problem {
	p := problem{}
	if p.number, p.numeric = e.get("code").integer(); p.numeric {
		p.code = strconv.Itoa(p.number)
	} else {
		p.code = bounded(e.get("code").text(), codeLimit)
	}
	p.subcode, _ = e.get("error_subcode").integer()
	message := firstText(e.get("message").text(), e.get("title").text(), e.get("error_user_msg").text(), e.get("type").text())

	data := e.get("error_data") // a string for some template-management errors
	p.details = firstText(data.get("details").text(), data.text(), e.get("details").text(), joined(e.get("details")),
		e.get("error_user_msg").text(), message)
	p.text = message
	if p.details != message {
		p.text = strings.TrimSpace(message + " " + p.details)
	}
	p.recognised = p.code != "" || p.subcode != 0 || p.text != ""
	if !p.numeric && depth < maxWraps {
		if inner := e.get("error"); inner.isObject() {
			if q := errorObject(inner, depth+1); q.numeric || !p.recognised {
				return q
			}
		}
	}
	return p
}

// metaObject reads the shapes 4 and 5, snake and camel case.
func metaObject(m raw) problem {
	p := problem{}
	p.http, _ = m.get("http_code").integer()
	if camel, ok := m.get("httpCode").integer(); ok {
		p.http = camel
	}
	message := firstText(m.get("developer_message").text(), m.get("developerMessage").text(), m.get("message").text())
	details := firstText(m.get("details").text(), joined(m.get("details")))
	p.text = strings.TrimSpace(message + " " + details)
	p.details = firstText(details, message)
	if details != "" && message != "" {
		p.details = message + ": " + details
	}
	succeeded := string(m.get("success")) == "true" // a success of the config endpoints, or no word about the message
	p.recognised = !succeeded && (p.text != "" || p.http >= 300)
	return p
}

// claimedStatus reads the status that some bodies repeat at their top.
func claimedStatus(v raw, other int) int {
	for _, key := range []string{"status", "statusCode", "status_code", "http_code", "code"} {
		if n, ok := v.get(key).integer(); ok && n >= 300 && n < 600 {
			return n
		}
	}
	return other
}

// joined puts the texts of a list in one line: strings, and the messages of
// objects such as {"loc":["body"],"msg":"field required"}.
func joined(list raw) string {
	if !list.isArray() {
		return ""
	}
	var texts []string
	for e := range list.elements() {
		if t := firstText(e.text(), e.get("msg").text(), e.get("message").text()); t != "" {
			texts = append(texts, t)
		}
	}
	return strings.Join(texts, "; ")
}

// clean drops NUL and invalid UTF-8, which Postgres would refuse.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
