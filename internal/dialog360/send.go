package dialog360

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// ErrAbandoned is the Err of an answer whose request was not written because its
// claim was too old, or because the worker gave up (design §4.4).
var ErrAbandoned = errors.New("the request was not written: its claim was too old or given up")

// errStale stops a request before anything of it is written: its connection was
// closed by the other side.
var errStale = errors.New("the connection was closed by the provider")

const (
	maxAnswer = 1 << 20 // bytes; a real answer has a few hundred
	// maxConnections is how many dead connections one request tries before it
	// calls the provider unreachable. A restart of the provider's gateway leaves
	// many.
	maxConnections = 4
)

// Send makes one POST /messages and says what is known after it (design
// §4.4-4.6). It never makes two: redirects are not followed, and a request goes
// to another connection only while nothing of it was given to the first. What it
// decides by is what reached the wire:
//
//   - nothing: AnswerAbandoned when the claim was too old, the worker gave up or
//     ctx ended, otherwise AnswerUnreachable. r.Validity is abandoned then,
//     except where the kernel refused every byte after the body was begun.
//   - something: AnswerInDoubt, unless an answer was understood.
//   - a request that lacks something is AnswerFailed with the code
//     "bad_parameters", and nothing was written.
func (c *Client) Send(ctx context.Context, r *campaign.Request) campaign.Answer {
	validity := r.Validity
	if validity == nil {
		validity = campaign.NewValidity(time.Now(), math.MaxInt64, time.Now)
	}
	payload, err := AppendMessage(make([]byte, 0, 1024), c.config.Dialect, r)
	if err != nil {
		validity.Abandon()
		return campaign.Answer{Kind: campaign.AnswerFailed, Failure: badParameters(err), Err: fmt.Errorf("build the request: %w", err)}
	}
	timed, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	for connection := 1; ; connection++ {
		p := &post{payload: payload, validity: validity}
		response, err := c.transport.RoundTrip(p.request(timed, c))
		if err == nil {
			return readAnswer(response)
		}
		if p.drop() && p.reused && connection < maxConnections && timed.Err() == nil {
			if connection == maxConnections-1 {
				c.transport.CloseIdleConnections() // the last one is new
			}
			continue
		}
		return p.unanswered(ctx, err)
	}
}

func badParameters(err error) campaign.Failure {
	return campaign.Failure{
		Code: "bad_parameters", Title: "the request is not complete", Class: campaign.Final, Scope: campaign.ScopeRequest,
		Operator: true, Advice: "The message was not sent because its parameters do not fit the template; plan the campaign again.",
		Details: err.Error(),
	}
}

// post is one request on one connection. It is the request's body: its first
// Read is the moment of decision.
type post struct {
	payload  []byte
	reader   bytes.Reader
	validity *campaign.Validity
	state    atomic.Int32 // postFresh, postBegun or postDropped
	conn     *wireConn    // set before the first Read; nil behind an unknown layer
	reused   bool         // the connection has served before
	before   atomic.Int64 // bytes the connection had written before ours
	open     bool         // the first Read has passed
}

const (
	postFresh int32 = iota
	postBegun
	postDropped
)

func (p *post) request(ctx context.Context, c *Client) *http.Request {
	p.reader.Reset(p.payload)
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		p.conn, p.reused = wireOf(info.Conn), info.Reused
	}}
	r := &http.Request{
		Method: http.MethodPost, URL: c.messages, Host: c.messages.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: c.header, Body: p, ContentLength: int64(len(p.payload)),
		// No GetBody: without it the transport cannot send a body twice.
	}
	return r.WithContext(httptrace.WithClientTrace(ctx, trace))
}

// Read hands over the body, unless the connection is known to be dead or the
// claim is no longer good. The transport holds the headers in its buffer until
// then, so an error here means that not a byte was written.
func (p *post) Read(b []byte) (int, error) {
	if !p.open {
		if err := p.begin(); err != nil {
			return 0, err
		}
		p.open = true
	}
	return p.reader.Read(b)
}

func (p *post) begin() error {
	if p.conn != nil && p.conn.gone(p.reused) && p.drop() {
		return errStale
	}
	if !p.state.CompareAndSwap(postFresh, postBegun) {
		return errStale
	}
	if p.conn != nil {
		p.before.Store(p.conn.written.Load())
	}
	if !p.validity.Begin() {
		return ErrAbandoned
	}
	return nil
}

// Close does nothing: the payload is memory.
func (p *post) Close() error { return nil }

// drop makes sure that nothing of the body will be handed over on this
// connection; false when it has begun.
func (p *post) drop() bool {
	p.state.CompareAndSwap(postFresh, postDropped)
	return p.state.Load() == postDropped
}

// unanswered decides what a request without an answer means.
func (p *post) unanswered(ctx context.Context, err error) campaign.Answer {
	cause := fmt.Errorf("post the message: %w", plain(err))
	switch {
	case p.validity.Abandon():
		// Begun and yet abandoned: the claim's Begin said no.
		if p.state.Load() == postBegun {
			return campaign.Answer{Kind: campaign.AnswerAbandoned, Err: fmt.Errorf("post the message: %w", ErrAbandoned)}
		}
		if ctx.Err() != nil {
			return campaign.Answer{Kind: campaign.AnswerAbandoned, Err: fmt.Errorf("post the message: %w: %w", ErrAbandoned, ctx.Err())}
		}
	case p.wroteNothing():
	default:
		return inDoubt(cause)
	}
	return campaign.Answer{Kind: campaign.AnswerUnreachable, Err: cause}
}

// wroteNothing: the body was begun, but the connection broke before the kernel
// took a byte, and none can follow on it.
func (p *post) wroteNothing() bool {
	return p.conn != nil && p.conn.broken.Load() && p.conn.written.Load() == p.before.Load()
}

func inDoubt(err error) campaign.Answer {
	return campaign.Answer{Kind: campaign.AnswerInDoubt, Err: err}
}

// readAnswer decides what an answer means.
func readAnswer(response *http.Response) campaign.Answer {
	defer response.Body.Close()
	status := response.StatusCode
	if status < 200 {
		return inDoubt(fmt.Errorf("post the message: the answer is HTTP %d", status))
	}
	// Read to the end, so that the connection serves again.
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if status >= 300 && status < 400 {
		failure, _ := ExplainHTTP(status, nil)
		return campaign.Answer{Kind: campaign.AnswerFailed, Failure: failure, Redirected: true,
			Err: fmt.Errorf("post the message: redirected by HTTP %d", status)}
	}
	doc, broken := document(body)
	if err != nil && broken != nil {
		return inDoubt(fmt.Errorf("post the message: half an answer, HTTP %d: %w", status, plain(err)))
	}
	if status < 300 {
		if id := messageID(doc); broken == nil && strings.TrimSpace(id) != "" {
			return accepted(doc, id)
		}
	}
	failure, recognised := ExplainHTTP(status, body)
	if InDoubt(status, recognised) {
		return inDoubt(fmt.Errorf("post the message: HTTP %d that says neither yes nor no", status))
	}
	return campaign.Answer{
		Kind: campaign.AnswerFailed, Failure: failure,
		RetryAfter: RetryAfter(response.Header, body, time.Now()),
		Err:        fmt.Errorf("post the message: HTTP %d, code %s", status, failure.Code),
	}
}

// accepted reads a success (whatsapp-facts §3). Held messages may be dropped an
// hour later; a word that we do not know is as good as none.
func accepted(doc raw, id string) campaign.Answer {
	answer := campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: strings.TrimSpace(id)}
	for message := range doc.get("messages").elements() {
		answer.RawStatus = message.get("message_status").text()
		break
	}
	for contact := range doc.get("contacts").elements() {
		answer.WaID = strings.TrimSpace(contact.get("wa_id").text())
		break
	}
	switch strings.ToLower(answer.RawStatus) {
	case "held_for_quality_assessment", "paused":
		answer.Kind = campaign.AnswerHeld
	}
	return answer
}
