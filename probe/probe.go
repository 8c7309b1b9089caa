// Package probe asks an edge whether requests to an environment arrive: by GET /.mezu/probe at
// the environment's public address, as a visitor would.
//
// What may not live here: what is said about the answer. It imports the domain only; cli and
// cmd import it.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// Timeout bounds one probe: the edge gives up on a Warpgate in the same time.
	Timeout = 6 * time.Second
	// Interval is the pause between two probes. It stays below the ten a second that an edge
	// answers one address.
	Interval = 150 * time.Millisecond
	// maxProblem is more than any refusal of an edge takes.
	maxProblem = 16 << 10
	// localZone has the names that browsers resolve to this machine, and others need not
	// (RFC 6761, 6.3).
	localZone = ".localhost"
)

// Config says where to ask.
type Config struct {
	// URL is the public address of the environment.
	URL string
	// Roots are those of the edge's certificate; if nil, the system's.
	Roots *x509.CertPool
	// Edge is the address of the edge, to which names below localhost lead; if empty, this
	// machine with the port of URL.
	Edge string
}

// Client asks one environment. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New makes a client; it opens no connection.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, mezu.Invalid("url", "the address of an environment is https://host[:port], not %q", cfg.URL)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxProblem, MaxIdleConnsPerHost: 1,
	}
	if strings.HasSuffix(u.Hostname(), localZone) {
		to := []string{cfg.Edge}
		if cfg.Edge == "" {
			port := u.Port()
			if port == "" {
				port = "443"
			}
			to = []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
		}
		transport.Proxy, transport.DialContext = nil, dialFirst(to)
	}
	return &Client{base: u.Scheme + "://" + u.Host, http: &http.Client{
		Transport: transport, Timeout: Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// dialFirst dials the first address that answers.
func dialFirst(addresses []string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		for _, a := range addresses {
			if conn, err = new(net.Dialer).DialContext(ctx, network, a); err == nil || ctx.Err() != nil {
				break
			}
		}
		return conn, err
	}
}

// Close ends the connection that waits for the next probe.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is what came of one probe that an edge answered.
type Answer struct {
	// Code says why no Warpgate answered; empty if one did.
	Code mezu.Code
	// Detail is the edge's sentence about that, or its status.
	Detail string
	// RequestID is the edge's id of the probe.
	RequestID string
	// Took is how long the probe took, Edge how long until the edge began, Warpgate how long
	// the way from there to a Warpgate and back took; the last two are zero if not told.
	Took, Edge, Warpgate time.Duration
}

// Arrived reports whether a Warpgate answered.
func (a *Answer) Arrived() bool { return a.Code == "" }

// Once asks once. The error says that no edge answered.
func (c *Client) Once(ctx context.Context) (*Answer, error) { return c.ask(ctx, "") }

// EdgeOnly asks for an answer of the edge itself.
func (c *Client) EdgeOnly(ctx context.Context) (*Answer, error) { return c.ask(ctx, "?hop=edge") }

func (c *Client) ask(ctx context.Context, query string) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/.mezu/probe"+query, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/problem+json")
	begin := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of the edge: %w", err)
	}
	a := &Answer{Took: time.Since(begin), RequestID: resp.Header.Get(mezu.HeaderRequestID)}
	a.Edge, a.Warpgate = timing(resp.Header.Get("Server-Timing"))
	if resp.StatusCode == http.StatusNoContent {
		return a, nil
	}
	var problem struct {
		Code   mezu.Code `json:"code"`
		Detail string    `json:"detail"`
	}
	if json.Unmarshal(body, &problem) != nil || !problem.Code.Known() {
		// Somebody else answers at the address.
		return &Answer{Code: mezu.CodeInternal, Detail: "status " + strconv.Itoa(resp.StatusCode), Took: a.Took}, nil
	}
	a.Code, a.Detail = problem.Code, problem.Detail
	return a, nil
}

// timing reads what the edge says of the hops (Server-Timing, W3C).
func timing(head string) (edge, warpgate time.Duration) {
	for part := range strings.SplitSeq(head, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), ";dur=")
		ms, err := strconv.ParseFloat(value, 64)
		if err != nil || ms < 0 || ms > float64(Timeout.Milliseconds()) {
			continue
		}
		switch d := time.Duration(ms * float64(time.Millisecond)); name {
		case "edge":
			edge = d
		case "warpgate":
			warpgate = d
		}
	}
	return edge, warpgate
}

// Await asks until a Warpgate answers, or ctx ends. Then the last answer is given, which is nil
// if no edge answered, and why not.
func (c *Client) Await(ctx context.Context) (*Answer, error) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	var last *Answer
	var why error
	for {
		a, err := c.Once(ctx)
		if err == nil && a.Arrived() {
			return a, nil
		}
		if ctx.Err() == nil || last == nil && why == nil {
			last, why = a, err
		}
		select {
		case <-ctx.Done():
			if why == nil {
				why = ctx.Err()
			}
			return last, why
		case <-tick.C:
		}
	}
}
