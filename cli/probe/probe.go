// Package probe asks, through the public address of an environment, how far a request comes:
// to the edge, and to a Warpgate and back.
//
// What may not live here: what is made of the answer, and the way from the Warpgate to the
// workload, which the local daemon knows. It imports the domain, api and namedfile only; the commands
// of cli that wait for an address or say how one is import it, and update, which trusts the same.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/namedfile"
)

// path is where an edge answers probes.
const path = "/.mezu/probe"

const (
	// dialTimeout bounds the connection and its handshake. Edges are near.
	dialTimeout = 5 * time.Second
	// answerTimeout is longer than an edge looks for a Warpgate, so that its word comes first.
	answerTimeout = 8 * time.Second
	// attempts is how often a probe is sent if the edge has answered too many from here already,
	// and turnPause the pause in between: an edge counts by the second.
	attempts  = 3
	turnPause = time.Second
	// maxHeader is more than any answer to a probe has.
	maxHeader = 32 << 10
)

// Interval is the pause between two probes. It stays below the ten a second that an edge answers
// one address.
const Interval = 150 * time.Millisecond

// Prober sends probes to one address. Several goroutines may use it. Close releases what it
// holds.
type Prober struct {
	address string
	http    *http.Client
}

// New makes a prober for the public address of an environment, such as mezu.Environment's URL.
// roots are what its certificate may come from; if nil, the system's. now is the clock that
// certificates are judged by; if nil, time.Now.
func New(address string, roots *x509.CertPool, now func() time.Time) (*Prober, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, mezu.Invalid("url", "the address of an environment is https://HOST, not %q", address)
	}
	transport := &http.Transport{
		Proxy: Proxy, DialContext: Dial, ForceAttemptHTTP2: true,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, Time: now},
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: maxHeader,
	}
	return &Prober{address: "https://" + u.Host, http: &http.Client{
		Transport: transport, Timeout: 2*dialTimeout + answerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// At has names below localhost lead to the edge at an address, wherever that listens on this
// machine. Call it before the first probe.
func (p *Prober) At(edge string) {
	if u, err := url.Parse(p.address); err != nil || edge == "" || !local(u.Hostname()) {
		return
	}
	p.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, edge)
	}
}

// Await asks until a Warpgate answers, or ctx ends; then the error is that of the last probe.
func (p *Prober) Await(ctx context.Context) (Result, error) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	var last error
	for {
		r, err := p.Through(ctx)
		if err == nil {
			return r, nil
		}
		if last == nil || ctx.Err() == nil { // the end of ctx explains nothing
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return r, last
		}
	}
}

// Close gives up idle connections.
func (p *Prober) Close() { p.http.CloseIdleConnections() }

// Proxy chooses the proxy that HTTPS_PROXY and NO_PROXY name. Names below localhost are this
// machine (RFC 6761), whatever a proxy would make of them.
func Proxy(req *http.Request) (*url.URL, error) {
	if local(req.URL.Hostname()) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// local reports whether a name is one of this machine.
func local(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Dial connects to an address. It asks no DNS for names below localhost, which many systems
// don't know there, and tries both of the addresses that these have.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	host, port, err := net.SplitHostPort(address)
	if err != nil || !local(host) {
		return dialer.DialContext(ctx, network, address)
	}
	conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil && ctx.Err() == nil {
		if six, sixErr := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); sixErr == nil {
			return six, nil
		}
	}
	return conn, err
}

// Result is how long a probe took on its way.
type Result struct {
	// You is the way to the edge and back, Edge what the edge itself took.
	You, Edge time.Duration
	// Warpgate is the way from the edge to a Warpgate and back; zero if it wasn't asked for.
	Warpgate time.Duration
	// Remote is the address that answered; not valid behind a proxy.
	Remote netip.AddrPort
}

// Edge asks the edge alone.
func (p *Prober) Edge(ctx context.Context) (Result, error) { return p.ask(ctx, "?hop=edge") }

// Through asks the edge to ask a Warpgate. A refusal by the edge is a *mezu.Error, which says
// that the edge was reached; *api.UnreachableError says that it wasn't.
func (p *Prober) Through(ctx context.Context) (Result, error) { return p.ask(ctx, "") }

// ask sends a probe, again if others from here have taken its turn.
func (p *Prober) ask(ctx context.Context, query string) (r Result, err error) {
	for n := range attempts {
		if n > 0 && backoff.Sleep(ctx, turnPause) != nil {
			break
		}
		if r, err = p.send(ctx, query); mezu.CodeOf(err) != mezu.CodeRateLimited {
			break
		}
	}
	return r, err
}

// send sends one probe.
func (p *Prober) send(ctx context.Context, query string) (Result, error) {
	var r Result
	var mu sync.Mutex // the transport calls back from goroutines of its own
	var sent, answered time.Time
	trace := &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			if a, err := netip.ParseAddrPort(info.Conn.RemoteAddr().String()); err == nil {
				r.Remote = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
			}
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { mu.Lock(); sent = time.Now(); mu.Unlock() },
		GotFirstResponseByte: func() { mu.Lock(); answered = time.Now(); mu.Unlock() },
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, p.address+path+query, http.NoBody)
	if err != nil {
		return Result{}, err
	}
	req.Header.Set("Accept", "application/problem+json")
	resp, err := p.http.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return Result{}, &api.UnreachableError{URL: p.address, Err: err}
	}
	defer resp.Body.Close()
	mu.Lock()
	defer mu.Unlock()
	if proxy, err := Proxy(req); err == nil && proxy != nil {
		r.Remote = netip.AddrPort{}
	}
	if resp.StatusCode != http.StatusNoContent {
		return r, refusal(resp)
	}
	timing := resp.Header.Get("Server-Timing")
	var ofEdge, ofWarpgate bool
	r.Edge, ofEdge = duration(timing, "edge")
	r.Warpgate, ofWarpgate = duration(timing, "warpgate")
	if !ofEdge || query == "" && !ofWarpgate {
		return r, noEdge(resp) // many pages say 204 to whatever they are asked
	}
	if !sent.IsZero() && answered.After(sent) {
		r.You = max(0, answered.Sub(sent)-r.Edge-r.Warpgate)
	}
	return r, nil
}

// refusal is an answer that is no success.
func refusal(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxProblem))
	var p api.Problem
	if err == nil && json.Unmarshal(data, &p) == nil && p.Code.Known() {
		return &mezu.Error{Code: p.Code, Detail: p.Detail, Hint: p.Hint}
	}
	return noEdge(resp)
}

// noEdge is an answer that no edge gives.
func noEdge(resp *http.Response) error {
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("what answers there (%d %s) is no edge", resp.StatusCode, http.StatusText(resp.StatusCode)),
		Hint: "look whether the name leads to an edge, and whether a proxy answers in its place"}
}

// duration reads the duration of one entry of a Server-Timing field, if there is one.
func duration(timing, name string) (took time.Duration, ok bool) {
	for entry := range strings.SplitSeq(timing, ",") {
		parts := strings.Split(entry, ";")
		if strings.TrimSpace(parts[0]) != name {
			continue
		}
		for _, p := range parts[1:] {
			if value, ok := strings.CutPrefix(strings.TrimSpace(p), "dur="); ok {
				if ms, err := strconv.ParseFloat(value, 64); err == nil && ms >= 0 && ms < float64(time.Hour/time.Millisecond) {
					return time.Duration(ms * float64(time.Millisecond)), true
				}
			}
		}
	}
	return 0, false
}

// maxCAFile is room for some hundred certificates.
const maxCAFile = 1 << 20

// Roots are the system's certificates and those in the file of a private CA, if there is one:
// the public address, and that of a download, may have either's. Nil are the system's alone.
func Roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	data, err := namedfile.Read(caFile, maxCAFile)
	if err != nil {
		return nil, namedfile.Unread("ca-file", api.HintCAFile, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine may have none
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, mezu.Invalid("ca-file", "%s holds no certificate in PEM", caFile)
	}
	return roots, nil
}

// AllDrain reports whether an edge found no Warpgate because all that are connected drain. An
// edge's answer has no other sign of it than its words.
func AllDrain(e *mezu.Error) bool {
	return e.Code == mezu.CodeNoWarpgate && strings.Contains(e.Detail, "draining")
}

// Stage says in a few words how far a probe came, by its error: "edge reached, no Warpgate
// connected".
func Stage(err error) string {
	e, ok := errors.AsType[*mezu.Error](err)
	switch {
	case err == nil:
		return "a Warpgate answers"
	case !ok:
		return "the edge is not reached"
	}
	switch e.Code {
	case mezu.CodeNoWarpgate:
		if AllDrain(e) {
			return "edge reached, all Warpgates draining"
		}
		return "edge reached, no Warpgate connected"
	case mezu.CodeEnvironmentDisabled:
		return "edge reached, the environment is switched off"
	case mezu.CodeUnknownHost:
		return "edge reached, which does not know the address yet"
	case mezu.CodeUnavailable:
		return "what answers is no edge"
	}
	return "edge reached, " + strings.ReplaceAll(string(e.Code), "_", " ")
}

// Failure says in a word or two why a connection failed: "refused". It is empty if there is no
// such word.
func Failure(err error) string {
	var dns *net.DNSError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && !dns.IsTimeout:
		return "unknown name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "certificate not good now"
	case errors.As(err, &unknown), errors.As(err, &verify):
		return "not trusted"
	case refused(err):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timed out"
	}
	return ""
}
