package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Deadlines and limits of the client.
const (
	// callTimeout bounds a call, and the beginning of a stream.
	callTimeout = 10 * time.Second
	// enrolTime is what an enrolment may take beside, in which the daemon asks the control
	// plane, and probeTime what a probe may, in which it connects to the workload.
	enrolTime = 35 * time.Second
	probeTime = 10 * time.Second
	// idleConnection is how long a connection is kept for a next call. It takes one of
	// MaxClients.
	idleConnection = 5 * time.Second
	maxAnswerHead  = 16 << 10
	maxProblem     = 64 << 10
)

// Client calls the operations of one local daemon. It is safe for concurrent use. Its errors are
// *mezu.Error: the daemon's own, or one with CodeUnavailable and ErrNotRunning, ErrForeign,
// ErrGeneration or ErrSilent in its chain; or the context's if that has ended.
type Client struct {
	path      string
	userAgent string
	http      *http.Client
	transport *http.Transport
	version   atomic.Pointer[string]
	// timeout is callTimeout, idle StreamIdle; tests have no such patience.
	timeout, idle time.Duration
}

// New makes a client of the daemon whose socket is at path, as Listen has it. version is that of
// this program. It opens no connection.
func New(path, version string) *Client {
	transport := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, path) },
		MaxResponseHeaderBytes: maxAnswerHead,
		IdleConnTimeout:        idleConnection,
		DisableCompression:     true,
	}
	return &Client{path: path, userAgent: "mezu/" + version, transport: transport, timeout: callTimeout, idle: StreamIdle, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes the connections that carry nothing.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Path is that of the socket.
func (c *Client) Path() string { return c.path }

// DaemonVersion is the version of the daemon's program as the last answer named it, or "".
func (c *Client) DaemonVersion() string {
	if v := c.version.Load(); v != nil {
		return *v
	}
	return ""
}

// Status asks the daemon about itself.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return invoke[Status](ctx, c, 0, http.MethodGet, PathStatus, nil)
}

// Tunnels lists the tunnels by name.
func (c *Client) Tunnels(ctx context.Context) ([]mezu.Tunnel, error) {
	list, err := invoke[Tunnels](ctx, c, 0, http.MethodGet, PathTunnels, nil)
	return list.Items, err
}

// Open opens a tunnel, or finds the one that is there already.
func (c *Client) Open(ctx context.Context, spec Open) (Opened, error) {
	return invoke[Opened](ctx, c, 0, http.MethodPost, PathTunnels, spec)
}

// Tunnel asks for one tunnel.
func (c *Client) Tunnel(ctx context.Context, id string) (mezu.Tunnel, error) {
	return invoke[mezu.Tunnel](ctx, c, 0, http.MethodGet, below(PathTunnel, id), nil)
}

// Change changes a tunnel while it runs.
func (c *Client) Change(ctx context.Context, id string, patch TunnelPatch) (mezu.Tunnel, error) {
	return invoke[mezu.Tunnel](ctx, c, 0, http.MethodPatch, below(PathTunnel, id), patch)
}

// Remove stops a tunnel and forgets it, with its key.
func (c *Client) Remove(ctx context.Context, id string) error {
	_, err := invoke[struct{}](ctx, c, DrainTimeout, http.MethodDelete, below(PathTunnel, id), nil)
	return err
}

// Enrol registers a tunnel by an enrolment token for its key. It returns when the control plane
// has answered.
func (c *Client) Enrol(ctx context.Context, id, token string) (mezu.Tunnel, error) {
	return invoke[mezu.Tunnel](ctx, c, enrolTime, http.MethodPut, below(PathEnrolment, id), Enrolment{Token: token})
}

// Start starts a tunnel that was stopped.
func (c *Client) Start(ctx context.Context, id string) (mezu.Tunnel, error) {
	return invoke[mezu.Tunnel](ctx, c, 0, http.MethodPost, below(PathStart, id), nil)
}

// Stop stops a tunnel and keeps it. It returns when the requests in flight have ended, or were
// cut.
func (c *Client) Stop(ctx context.Context, id string, drain Drain) (mezu.Tunnel, error) {
	return invoke[mezu.Tunnel](ctx, c, drain.Time(DrainTimeout), http.MethodPost, below(PathStop, id), drain)
}

// Probe has the daemon connect to a tunnel's workload.
func (c *Client) Probe(ctx context.Context, id string) (Probe, error) {
	return invoke[Probe](ctx, c, probeTime, http.MethodPost, below(PathProbe, id), nil)
}

// Log gives the end of the daemon's log, at most that many bytes of it.
func (c *Client) Log(ctx context.Context, most int) ([]byte, error) {
	query := url.Values{QueryBytes: {strconv.Itoa(most)}}
	resp, cancel, err := c.call(ctx, 0, http.MethodGet, PathLog+"?"+query.Encode(), nil, nil)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return c.read(ctx, resp, MaxLog)
}

// Shutdown ends the daemon. It returns when the daemon has begun to, not when it has ended.
func (c *Client) Shutdown(ctx context.Context, s Shutdown) error {
	_, err := invoke[struct{}](ctx, c, 0, http.MethodPost, PathShutdown, s)
	return err
}

// below is the path of an operation on the tunnel id.
func below(path, id string) string { return strings.Replace(path, "{id}", url.PathEscape(id), 1) }

// invoke calls an operation with in as its body, if that isn't nil, and decodes the answer. It
// may take that much more time than others.
func invoke[Out any](ctx context.Context, c *Client, more time.Duration, method, path string, in any) (out Out, err error) {
	resp, cancel, err := c.call(ctx, more, method, path, in, nil)
	if err != nil {
		return out, err
	}
	defer cancel()
	data, err := c.read(ctx, resp, MaxAnswer)
	if err != nil || resp.StatusCode == http.StatusNoContent {
		return out, err
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, c.garbled(err)
	}
	return out, nil
}

// call sends a request. The caller reads the answer, and cancels in the end. If header is not
// nil, the answer is a stream, whose deadline is for its beginning alone.
func (c *Client) call(ctx context.Context, more time.Duration, method, path string, in any, header http.Header) (*http.Response, context.CancelFunc, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, nil, fmt.Errorf("encoding a request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	begun, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.timeout+more, func() { cancel(errLate) })
	end := func() { timer.Stop(); cancel(nil) }
	// The host only fills a field: the connection is that of the socket.
	req, err := http.NewRequestWithContext(begun, method, "http://mezu"+path, body)
	if err != nil {
		end()
		return nil, nil, fmt.Errorf("making a request: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.userAgent)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		late := context.Cause(begun)
		end()
		return nil, nil, c.failed(ctx, late, err)
	}
	if header != nil {
		timer.Stop()
	}
	if err := c.judge(ctx, resp); err != nil {
		resp.Body.Close()
		end()
		return nil, nil, err
	}
	return resp, end, nil
}

// errLate ends a call that takes too long.
var errLate = errors.New("the deadline of the call passed")

// failed is the error of a request to which no answer came.
func (c *Client) failed(ctx context.Context, late, err error) error {
	var own *mezu.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &own): // of Dial
		return own
	case errors.Is(late, errLate):
		return silent(c.path, late)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isBroken(err):
		return unavailable(ErrSilent, err, "mezu doctor", "the daemon on %s closed the connection without an answer", c.path)
	}
	// What remains is an answer that is no HTTP.
	return c.garbled(err)
}

// isBroken reports whether a connection was there and ended.
func isBroken(err error) bool {
	var broken *net.OpError
	return errors.As(err, &broken)
}

func (c *Client) garbled(cause error) error {
	return unavailable(ErrForeign, cause, "mezu doctor", "what listens on %s does not answer as a daemon of mezu does", c.path)
}

// judge checks that an answer is a daemon's of this generation, and makes an error of a refusal.
func (c *Client) judge(ctx context.Context, resp *http.Response) error {
	version, generation := resp.Header.Get(HeaderVersion), resp.Header.Get(HeaderGeneration)
	if version == "" {
		return c.garbled(nil)
	}
	version = printable(version)
	c.version.Store(&version)
	if generation != Version {
		return unavailable(ErrGeneration, nil, "run the same version of mezu, or stop that daemon", "the daemon on %s (version %s) speaks %s of the local API, and this program %s", c.path, version, printable(orUnknown(generation)), Version)
	}
	if resp.StatusCode/100 == 2 {
		return nil
	}
	data, err := c.read(ctx, resp, maxProblem)
	var p api.Problem
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return c.garbled(err)
	}
	if !p.Code.Known() {
		return c.garbled(fmt.Errorf("status %d", resp.StatusCode))
	}
	return &mezu.Error{Code: p.Code, Detail: printable(p.Detail), Field: printable(p.Field), Hint: printable(p.Hint)}
}

func orUnknown(generation string) string {
	if generation == "" {
		return "an unknown generation"
	}
	return generation
}

// read reads an answer of at most that many bytes, and closes it.
func (c *Client) read(ctx context.Context, resp *http.Response, most int64) ([]byte, error) {
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, c.failed(ctx, context.Cause(resp.Request.Context()), err)
	}
	if int64(len(data)) > most {
		return nil, c.garbled(fmt.Errorf("the answer is over %d bytes", most))
	}
	return data, nil
}

// printable drops control characters, so that no answer steers a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
