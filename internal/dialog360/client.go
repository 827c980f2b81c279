package dialog360

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Config says how a channel reaches the provider. Only BaseURL and Key have no
// default.
type Config struct {
	BaseURL string // https, or plain http on loopback; without a path such as /v1
	Key     string // of the channel, sent as D360-API-KEY
	Dialect string // campaign.DialectCloud, the default, or DialectSandbox

	// Connections is how many connections are open at a time; a request that
	// finds none waits. Default 100, enough for 80 messages/s at a second each.
	Connections int
	// Timeout bounds a whole POST, from looking for a connection to the last byte
	// of the answer. Default 20 s (design §4.4). Other calls get the same.
	Timeout time.Duration
	// DialTimeout and TLSTimeout bound the steps before anything is written.
	// Default 5 s each.
	DialTimeout, TLSTimeout time.Duration
	// IdleTimeout closes connections that idle. Default 30 s, well below what
	// servers and load balancers allow (60 s and more), so that it is we who
	// close: a request written while the other side closes is in doubt.
	IdleTimeout time.Duration
	// MediaTimeout bounds an upload. Default 5 min: 100 MB at 3 Mbit/s.
	MediaTimeout time.Duration

	TLS    *tls.Config // nil means the system's authorities
	Dialer *net.Dialer // nil means a plain one; its Timeout is DialTimeout
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	c.Key = strings.TrimSpace(c.Key)
	if c.Dialect == "" {
		c.Dialect = campaign.DialectCloud
	}
	if c.Connections <= 0 {
		c.Connections = 100
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.Timeout, 20 * time.Second},
		{&c.DialTimeout, 5 * time.Second},
		{&c.TLSTimeout, 5 * time.Second},
		{&c.IdleTimeout, 30 * time.Second},
		{&c.MediaTimeout, 5 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if c.Dialer == nil {
		c.Dialer = &net.Dialer{KeepAlive: 15 * time.Second}
	}
	return c
}

func (c Config) validate() error {
	if err := ValidateBaseURL(c.BaseURL); err != nil {
		return err
	}
	switch {
	case c.Key == "":
		return campaign.ErrSecret.With("the API key is empty", "")
	case strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return campaign.ErrSecret.With("the API key contains a space or a control character", "store the key alone")
	case c.Dialect != campaign.DialectCloud && c.Dialect != campaign.DialectSandbox:
		return campaign.ErrInvalid.With(fmt.Sprintf("dialect %q is not known", c.Dialect), "cloud or sandbox")
	}
	return nil
}

// String is for logs: the key prints as stars.
func (c Config) String() string {
	return fmt.Sprintf("%s (%s, key ***)", c.BaseURL, c.Dialect)
}

// GoString keeps %#v from printing the key.
func (c Config) GoString() string { return c.String() }

// Client speaks to 360dialog for one channel. It is safe for concurrent use.
type Client struct {
	config    Config
	transport *http.Transport
	messages  *url.URL
	header    http.Header // of every POST /messages; read only
	calls     *http.Client
}

// New makes a client. Errors: campaign.ErrInvalid for the base URL or the
// dialect, campaign.ErrSecret for a key that cannot be one.
func New(config Config) (*Client, error) {
	config = config.WithDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	c := &Client{config: config, transport: newTransport(config)}
	messages, err := url.Parse(config.BaseURL + c.path("/messages"))
	if err != nil {
		return nil, campaign.ErrInvalid.With("the base URL is not a URL", "")
	}
	c.messages = messages
	c.header = http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
		"User-Agent":   {userAgent},
		keyHeader:      {config.Key},
	}
	c.calls = &http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

const (
	userAgent = "campaignd"
	keyHeader = "D360-Api-Key" // D360-API-KEY in Go's spelling; header names have no case
)

// path puts the dialect's prefix before a path (whatsapp-facts §1.1).
func (c *Client) path(p string) string {
	if c.config.Dialect == campaign.DialectSandbox {
		return "/v1" + p
	}
	return p
}

// Close gives back the connections that idle.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// newTransport speaks HTTP/1.1 only: an HTTP/2 server can refuse a stream with
// GOAWAY and Go's transport would then send the request again.
func newTransport(config Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := *config.Dialer
	dialer.Timeout = config.DialTimeout
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &wireConn{Conn: conn}, nil
		},
		TLSClientConfig:     config.TLS,
		TLSHandshakeTimeout: config.TLSTimeout,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		Protocols:           protocols,
		DisableCompression:  true, // answers are small
		MaxConnsPerHost:     config.Connections,
		MaxIdleConnsPerHost: config.Connections,
		IdleConnTimeout:     config.IdleTimeout,
		// A request stands in the buffer until all of it is there, so that the
		// first read of its body comes before its first byte on the wire.
		WriteBufferSize:        16 << 10,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// CallError is a call that the provider did not carry out. It unwraps to
// campaign.ErrProvider, with the catalogue's advice as its hint.
type CallError struct {
	Failure campaign.Failure // zero when there was no answer
	cause   *campaign.Error
}

func (e *CallError) Error() string { return e.cause.Message }

// Unwrap gives the error for a person.
func (e *CallError) Unwrap() error { return e.cause }

// call is a request that may be repeated by whoever asked: everything but a
// message.
type call struct {
	what        string // for the error: "read the templates"
	method      string
	path        string
	query       url.Values
	body        io.Reader
	length      int64
	contentType string
	timeout     time.Duration
	limit       int64 // bytes of the answer
}

const maxCallAnswer = 32 << 20

// do gives the body of a 2xx answer, or a *CallError.
func (c *Client) do(ctx context.Context, call call) (raw, error) {
	if call.timeout == 0 {
		call.timeout = c.config.Timeout
	}
	if call.limit == 0 {
		call.limit = maxCallAnswer
	}
	ctx, cancel := context.WithTimeout(ctx, call.timeout)
	defer cancel()
	address := c.config.BaseURL + call.path
	if len(call.query) > 0 {
		address += "?" + call.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, call.method, address, call.body)
	if err != nil {
		return nil, c.unreachable(call, err)
	}
	request.Header.Set(keyHeader, c.config.Key)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent)
	if call.body != nil {
		request.Header.Set("Content-Type", call.contentType)
		request.ContentLength = call.length
	}
	response, err := c.calls.Do(request)
	if err != nil {
		return nil, c.unreachable(call, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, call.limit+1))
	if err != nil {
		return nil, c.unreachable(call, err)
	}
	if response.StatusCode < 200 || response.StatusCode >= 300 {
		return nil, refused(call, response.StatusCode, body)
	}
	if int64(len(body)) > call.limit {
		return nil, c.failed(call, "the answer is too long")
	}
	doc, err := document(body)
	if err != nil && len(strings.TrimSpace(string(body))) > 0 {
		return nil, c.failed(call, err.Error())
	}
	if doc.has("error", "errors") && !doc.has("data", "waba_templates") {
		return nil, refused(call, response.StatusCode, body)
	}
	return doc, nil
}

func refused(call call, status int, body []byte) error {
	failure, _ := ExplainHTTP(status, body)
	if status >= 300 && status < 400 {
		failure, _ = ExplainHTTP(status, nil)
	}
	message := fmt.Sprintf("%s: the provider answered HTTP %d: %s", call.what, status, failure.Title)
	return &CallError{Failure: failure, cause: campaign.ErrProvider.With(message, failure.Advice)}
}

func (c *Client) unreachable(call call, err error) error {
	message := fmt.Sprintf("%s: no answer from %s: %v", call.what, c.host(), plain(err))
	return &CallError{cause: campaign.ErrProvider.With(message, "check the channel's base URL and the network")}
}

func (c *Client) failed(call call, reason string) error {
	message := fmt.Sprintf("%s: the answer of %s is not understood: %s", call.what, c.host(), reason)
	return &CallError{cause: campaign.ErrProvider.With(message, "check the channel's base URL")}
}

func (c *Client) host() string { return c.messages.Host }

// plain gives an error of the network in words that hold nothing but addresses:
// the errors of net/http quote what the other side wrote, and that may hold a
// number.
func plain(err error) error {
	var (
		dns         *net.DNSError
		operation   *net.OpError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		certificate x509.CertificateInvalidError
		verify      *tls.CertificateVerificationError
		alert       tls.AlertError
		record      tls.RecordHeaderError
		number      syscall.Errno
	)
	switch {
	case errors.Is(err, errStale):
		return errStale
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("timed out")
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &certificate), errors.As(err, &verify):
		return errors.New("the TLS certificate is not trusted or not for this host")
	case errors.As(err, &alert):
		return fmt.Errorf("the TLS handshake failed: %w", alert)
	case errors.As(err, &record):
		return errors.New("the other side does not speak TLS")
	case errors.As(err, &operation) && operation.Op == "dial":
		return operation
	case errors.As(err, &number):
		return number
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed")
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("timed out")
	}
	return errors.New("the connection failed or the answer is no HTTP")
}
