package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// Limits and deadlines of the client.
const (
	// DefaultTimeout bounds one call, its retries included, when
	// ClientConfig.Timeout is zero.
	DefaultTimeout = 30 * time.Second
	// MaxResponse bounds the body of an answer: the largest holds the bundle of
	// a full environment in base64 and the revocations in force.
	MaxResponse = 32 << 20
	// MaxProblem bounds the body of a refusal.
	MaxProblem = 64 << 10

	dialTimeout         = 10 * time.Second
	tlsHandshakeTimeout = 10 * time.Second
	maxResponseHeader   = 64 << 10
	// attempts is how often a call that is safe to repeat is tried. retryPause is the
	// first pause between two attempts; each further one is twice as long.
	attempts   = 3
	retryPause = 200 * time.Millisecond
	// maxRetryAfter is the longest Retry-After of a server that the client waits out by
	// itself.
	maxRetryAfter = 5 * time.Second
)

// ClientConfig says which control plane a client speaks to and as whom.
type ClientConfig struct {
	// BaseURL is https://host[:port], without a path. If an installation has several
	// control planes, it lists all, separated by commas, MaxBaseURLs at most. The client
	// calls one as long as that answers, and then the next one.
	BaseURL string
	// Token gives the bearer token or key for each call; if nil or empty, the
	// call is anonymous or authorised by TLS's client certificate.
	Token func() (string, error)
	// TLS may hold roots and a client certificate; if nil, the system's roots.
	TLS *tls.Config
	// AddressFlag is the flag that BaseURL comes from, for what errors advise; if empty, --api.
	AddressFlag string
	// UserAgent names the program; if empty, "mezu".
	UserAgent string
	// Timeout bounds each call; if zero, DefaultTimeout. Streams have an idle
	// deadline instead.
	Timeout time.Duration
	// DialContext replaces the dialler; if nil, TCP, through the proxy that
	// HTTPS_PROXY and NO_PROXY name.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Ends, if not nil, is told when the credential of a call ends, if that is soon
	// (mezu.EndNotice). Several goroutines may call it.
	Ends func(time.Time)
	// Wrap, if not nil, wraps the transport of the client, to see calls and answers as
	// they are sent.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Client calls the operations of one control plane. It is safe for concurrent
// use.
type Client struct {
	bases     []string
	at        atomic.Uint32 // turn: the index of the base in use, modulo their number
	token     func() (string, error)
	userAgent string
	flag      string
	timeout   time.Duration
	ends      func(time.Time)
	http      *http.Client
}

// NewClient makes a client. It opens no connection.
func NewClient(cfg ClientConfig) (*Client, error) {
	bases, err := ParseBaseURLs("api", cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{}
	if cfg.TLS != nil {
		config = cfg.TLS.Clone()
	}
	if config.MinVersion < tls.VersionTLS12 {
		config.MinVersion = tls.VersionTLS12
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: refusedByProxy,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
	}
	if cfg.DialContext != nil {
		transport.Proxy, transport.DialContext = nil, cfg.DialContext
	}
	var carrier http.RoundTripper = transport
	if cfg.Wrap != nil {
		carrier = cfg.Wrap(transport)
	}
	c := &Client{bases: bases, token: cfg.Token, userAgent: cfg.UserAgent, flag: cfg.AddressFlag, timeout: cfg.Timeout, ends: cfg.Ends, http: &http.Client{
		Transport: carrier,
		// A redirect would send the token to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.userAgent == "" {
		c.userAgent = "mezu"
	}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	return c, nil
}

// MaxBaseURLs is how many control planes a client can have. A call may try each.
const MaxBaseURLs = 16

// ParseBaseURLs reads the addresses of one or more control planes, with commas
// between. field is named in the error.
func ParseBaseURLs(field, text string) ([]string, error) {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		u, err := url.Parse(part)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return nil, mezu.Invalid(field, "the address of a control plane is https://host[:port], not %q", part)
		}
		out = append(out, "https://"+u.Host)
	}
	if len(out) > MaxBaseURLs {
		return nil, mezu.Invalid(field, "has %d addresses, %d at most", len(out), MaxBaseURLs)
	}
	return out, nil
}

// BaseURL is the address that the client calls now.
func (c *Client) BaseURL() string {
	base, _ := c.base()
	return base
}

// base is the address to call now, and its turn.
func (c *Client) base() (string, uint32) {
	turn := c.at.Load()
	return c.bases[int(turn)%len(c.bases)], turn
}

// leave makes the next address the one to call, unless another call has already done so
// since this turn.
func (c *Client) leave(turn uint32) { c.at.CompareAndSwap(turn, turn+1) }

// CloseIdle closes connections that carry nothing now. Call it after the client
// certificate changed and when the client is no longer needed.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// Call is one call of an operation.
type Call struct {
	Operation Operation
	// Params fill the path, in order.
	Params []string
	Query  url.Values
	// Body is encoded as JSON unless it is an Image; if nil, there is none.
	Body any
	// IfMatch is the revision that the record must have; if zero, any.
	IfMatch uint64
	// IdempotencyKey makes a creation safe to repeat; if empty, Do makes one.
	IdempotencyKey string
	// Safe says that the call may be repeated, although its method is none that tells so.
	Safe bool
	// Timeout bounds the call, its retries included; if zero, the client's.
	Timeout time.Duration
	// MaxResponse bounds the body of the answer; if zero, the constant of this name.
	MaxResponse int64
}

// Away reports whether a call failed because no control plane could be reached, or none
// that can do anything now. Nothing is known then of what it would have said.
func Away(err error) bool {
	var unreachable *UnreachableError
	return errors.As(err, &unreachable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || mezu.CodeOf(err) == mezu.CodeUnavailable
}

// ResponseError is the cause of a *mezu.Error that was made from an answer. It has what is
// needed to find the answer in the server's log.
type ResponseError struct {
	Status    int
	RequestID string
	// Operation was called, with Params in its path.
	Operation Operation
	Params    []string
}

// Error names status and request id.
func (e *ResponseError) Error() string {
	return fmt.Sprintf("status %d, request %s", e.Status, e.RequestID)
}

// Invoke calls an operation with in as its body, nil for none, and decodes the
// answer.
func Invoke[Out any](ctx context.Context, c *Client, op Operation, in any, params ...string) (Out, error) {
	var out Out
	err := c.Do(ctx, Call{Operation: op, Params: params, Body: in}, &out)
	return out, err
}

// All lists a collection to its end, page by page. The first error ends it.
func All[T any](ctx context.Context, c *Client, op Operation, params ...string) iter.Seq2[T, error] {
	return Matching[T](ctx, c, op, nil, params...)
}

// Matching is All with a query, which selects a part of the collection.
func Matching[T any](ctx context.Context, c *Client, op Operation, query url.Values, params ...string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		query.Set("page_size", strconv.Itoa(MaxPageSize))
		for {
			var page List[T]
			if err := c.Do(ctx, Call{Operation: op, Params: params, Query: query}, &page); err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextPageToken == "" {
				return
			}
			query.Set("page_token", page.NextPageToken)
		}
	}
}

// Do calls an operation and decodes the answer into out, unless out is nil. Errors
// are *mezu.Error as the server sent them, *UnreachableError when no answer came,
// or ctx's. A call that is safe to repeat is repeated when no answer came or the
// server was unavailable.
func (c *Client) Do(ctx context.Context, call Call, out any) error {
	body, isImage := call.Body.(Image)
	if call.Body != nil && !isImage {
		var err error
		if body, err = json.Marshal(call.Body); err != nil {
			return fmt.Errorf("encoding the body of %s: %w", call.Operation.ID, err)
		}
	}
	if call.Operation.Creates() && call.IdempotencyKey == "" {
		call.IdempotencyKey = newIdempotencyKey()
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(call.Timeout, c.timeout))
	defer cancel()
	repeatable := call.Safe || call.Operation.Method == http.MethodGet || call.IdempotencyKey != ""
	pause := retryPause
	others := len(c.bases) - 1
	for try := 1; ; try++ {
		_, turn := c.base()
		wait, err := c.attempt(ctx, call, body, out)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if elsewhere(err) {
			c.leave(turn)
			if (repeatable || unsent(err)) && try <= others {
				continue // without a pause, because another control plane is called
			}
		}
		if !repeatable || try == attempts+others || !temporary(err) || wait > maxRetryAfter {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(wait, pause)):
		}
		pause *= 2
	}
}

// temporary reports whether the same call may succeed a moment later.
func temporary(err error) bool {
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return !unreachable.lasting()
	}
	return mezu.CodeOf(err) == mezu.CodeUnavailable
}

// elsewhere reports whether the same call may succeed at another control plane.
func elsewhere(err error) bool {
	var unreachable *UnreachableError
	return errors.As(err, &unreachable) || mezu.CodeOf(err) == mezu.CodeUnavailable
}

// unsent reports whether a call failed before anything of it was sent: there was nobody to
// send it to.
func unsent(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}

// attempt sends the call one time. The duration is how long the server asks to wait.
func (c *Client) attempt(ctx context.Context, call Call, body []byte, out any) (time.Duration, error) {
	req, err := c.request(ctx, call, body)
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
			return 0, ctx.Err()
		}
		return 0, c.noAnswer(req, err)
	}
	defer resp.Body.Close()
	c.noteEnd(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		err := c.problemOf(resp)
		var cause *ResponseError
		if errors.As(err, &cause) {
			cause.Operation, cause.Params = call.Operation, call.Params
		}
		return time.Duration(max(seconds, 0)) * time.Second, err
	}
	most := cmp.Or(call.MaxResponse, MaxResponse)
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return 0, c.noAnswer(req, fmt.Errorf("reading the answer: %w", err))
	}
	if int64(len(data)) > most {
		return 0, mezu.Errorf(mezu.CodeInternal, "the answer to %s is over %d bytes", call.Operation.ID, most)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return 0, nil
	}
	if image, ok := out.(*Image); ok {
		*image = data
		return 0, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		if kind := resp.Header.Get("Content-Type"); !strings.Contains(kind, "json") {
			return 0, &mezu.Error{Code: mezu.CodeInternal, Detail: "the answer is " + cmp.Or(Printable(kind), "of no type") + ", which no control plane sends", Hint: withFlag(otherHint, c.flag), Cause: err}
		}
		return 0, &mezu.Error{Code: mezu.CodeInternal, Detail: "the answer to " + call.Operation.ID + " is not what this version expects", Hint: "compare the versions of both programs", Cause: err}
	}
	return 0, nil
}

// noteEnd passes on when the credential of a call ends.
func (c *Client) noteEnd(resp *http.Response) {
	if c.ends == nil {
		return
	}
	if end, err := time.Parse(time.RFC3339, resp.Header.Get(HeaderCredentialEnds)); err == nil {
		c.ends(end)
	}
}

// originOf is the address of a control plane that a request goes to.
func originOf(r *http.Request) string { return r.URL.Scheme + "://" + r.URL.Host }

func (c *Client) request(ctx context.Context, call Call, body []byte) (*http.Request, error) {
	base, _ := c.base()
	target := base + call.Operation.Expand(call.Params...)
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, call.Operation.Method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("making the request for %s: %w", call.Operation.ID, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	if body != nil {
		contentType := "application/json"
		if _, ok := call.Body.(Image); ok {
			contentType = LogoType
		} else if call.Operation.Method == http.MethodPatch {
			contentType = "application/merge-patch+json"
		}
		req.Header.Set("Content-Type", contentType)
	}
	if call.IfMatch != 0 {
		req.Header.Set("If-Match", strconv.FormatUint(call.IfMatch, 10))
	}
	if call.IdempotencyKey != "" {
		req.Header.Set("Idempotency-Key", call.IdempotencyKey)
	}
	if c.token != nil {
		token, err := c.token()
		if err != nil {
			return nil, fmt.Errorf("getting the token for %s: %w", base, err)
		}
		if token, err = mezu.ParseSecret(token); err != nil {
			return nil, mezu.Below("token", err) // a line end would fail as if nobody were there
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	return req, nil
}

// problemOf turns an answer other than 2xx into an error. If the answer is not from a
// control plane (but from a proxy, for example), only its status counts.
func (c *Client) problemOf(resp *http.Response) error {
	cause := &ResponseError{Status: resp.StatusCode, RequestID: Printable(resp.Header.Get("X-Request-Id"))}
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxProblem))
	var p Problem
	if err == nil && json.Unmarshal(data, &p) == nil && p.Code.Known() {
		if p.RequestID != "" {
			cause.RequestID = Printable(p.RequestID)
		}
		if ofEdge(p.Code) {
			return &UnreachableError{URL: originOf(resp.Request), Err: errEdge, flag: c.flag}
		}
		return &mezu.Error{Code: p.Code, Detail: Printable(p.Detail), Field: Printable(p.Field), Hint: Printable(p.Hint), Cause: cause}
	}
	e := &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("the answer is %d %s, which no control plane sends", resp.StatusCode, http.StatusText(resp.StatusCode)), Hint: withFlag(otherHint, c.flag), Cause: cause}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.Code = mezu.CodeUnavailable
	case http.StatusTooManyRequests:
		e.Code = mezu.CodeRateLimited
	}
	return e
}

// otherHint is for an answer that is no control plane's.
const otherHint = "check that --api is the address of a control plane, and no endpoint of an edge, and that no proxy answers in its place"

// ofEdge reports whether an answer with this code was made by an edge: a control plane serves
// no route and asks no workload.
func ofEdge(c mezu.Code) bool {
	switch c {
	case mezu.CodeUnknownHost, mezu.CodeNoRoute, mezu.CodeWrongHost, mezu.CodeNotCanonical, mezu.CodeRefusedByWarpgate, mezu.CodeNoWarpgate, mezu.CodeEnvironmentDisabled,
		mezu.CodeRouteUnavailable, mezu.CodeWorkloadRefused, mezu.CodeWorkloadReset, mezu.CodeWorkloadBadResponse, mezu.CodeWorkloadTimeout, mezu.CodeUpstreamNotAllowed:
		return true
	}
	return false
}

// Printable drops control characters, so that no answer steers a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

// NotMade is the error of a wrapper of the transport (ClientConfig.Wrap) that didn't make the
// call. The caller gets Err.
type NotMade struct{ Err error }

// Error is that of Err.
func (e *NotMade) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *NotMade) Unwrap() error { return e.Err }

// noAnswer is the error of a call that no answer came to.
func (c *Client) noAnswer(req *http.Request, err error) error {
	var own *NotMade
	if errors.As(err, &own) {
		return own.Err
	}
	out := &UnreachableError{URL: originOf(req), Err: plainCause(err), flag: c.flag}
	if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil {
		out.proxy = proxy.Host
	}
	return out
}

// plainCause is the error inside a *url.Error, which would repeat method and address.
func plainCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// newIdempotencyKey makes a key of 128 random bits.
func newIdempotencyKey() string {
	var raw [16]byte
	rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}
