package local

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
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

	maxAnswerHead = 16 << 10
	maxProblem    = 64 << 10
)

// Client calls the operations of one local daemon, each over a connection of its own. It is safe
// for concurrent use. Its errors are *mezu.Error: the daemon's own, or one with CodeUnavailable
// and ErrNotRunning, ErrForeign, ErrGeneration, ErrOlder or ErrSilent in its chain; or the
// context's if that has ended.
type Client struct {
	path    string
	version string                 // of this program
	daemon  atomic.Pointer[string] // its version
	closed  context.Context
	close   context.CancelFunc
	// timeout is callTimeout, idle StreamIdle; tests have no such patience.
	timeout, idle time.Duration
}

// New makes a client of the daemon whose socket is at path, as Listen has it. version is that of
// this program. It opens no connection.
func New(path, version string) *Client {
	c := &Client{path: path, version: version, timeout: callTimeout, idle: StreamIdle}
	c.closed, c.close = context.WithCancel(context.Background())
	return c
}

// Close ends all calls and streams.
func (c *Client) Close() { c.close() }

// Path is that of the socket.
func (c *Client) Path() string { return c.path }

// DaemonVersion is the version of the daemon's program as the last answer named it, or "".
func (c *Client) DaemonVersion() string {
	if v := c.daemon.Load(); v != nil {
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
	a, err := c.call(ctx, 0, http.MethodGet, PathLog+"?"+query.Encode(), nil, nil)
	if err != nil {
		return nil, err
	}
	defer a.end()
	return a.read(MaxLog)
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
	a, err := c.call(ctx, more, method, path, in, nil)
	if err != nil {
		return out, err
	}
	defer a.end()
	data, err := a.read(MaxAnswer)
	if err != nil {
		return out, err
	}
	if _, none := any(out).(struct{}); none {
		return out, nil
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, c.garbled(err)
	}
	return out, nil
}

// answer is a connection on which the head of an answer has come.
type answer struct {
	*http.Response
	client *Client
	ctx    context.Context // ends with the caller's, and with the client
	conn   net.Conn
	end    func() // closes everything; it may be called twice
}

// call sends a request and reads the head of the answer, which is no refusal. The caller ends the
// answer.
func (c *Client) call(ctx context.Context, more time.Duration, method, path string, in any, header http.Header) (*answer, error) {
	var body io.Reader
	media := "application/json"
	if data, ok := in.(octets); ok {
		media, body = "application/octet-stream", bytes.NewReader(data)
	} else if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encoding a request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	// The host only fills a field: the connection is that of the socket.
	req, err := http.NewRequest(method, "http://mezu"+path, body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "mezu/"+c.version)
	if in != nil {
		req.Header.Set("Content-Type", media)
	}
	req.Close = true

	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(c.closed, cancel)
	conn, err := Dial(ctx, c.path)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		unhook()
		cancel()
		return nil, err
	}
	a := &answer{client: c, ctx: ctx, conn: conn}
	context.AfterFunc(ctx, func() { conn.Close() })
	a.end = func() {
		unhook()
		cancel()
		conn.Close()
	}
	// A connection that is closed already fails at the next read.
	_ = conn.SetDeadline(time.Now().Add(c.timeout + more))
	if err := a.begin(req); err != nil {
		a.end()
		return nil, err
	}
	return a, nil
}

// begin sends the request, and reads the answer's head.
func (a *answer) begin(req *http.Request) error {
	// A daemon that has too many clients answers without waiting for a request.
	sent := req.Write(a.conn)
	head := &headReader{Conn: a.conn, left: maxAnswerHead}
	resp, err := http.ReadResponse(bufio.NewReaderSize(head, 4<<10), req)
	if err != nil && sent != nil {
		err = sent
	}
	if err != nil {
		return a.failed(err)
	}
	head.left = -1
	a.Response = resp
	return a.judge()
}

// headReader reads from a connection, as long as the head of the answer is not too long.
type headReader struct {
	net.Conn
	left int // negative: as much as there is
}

// Read reads what is left at most.
func (h *headReader) Read(p []byte) (int, error) {
	if h.left < 0 {
		return h.Conn.Read(p)
	}
	if h.left == 0 {
		return 0, fmt.Errorf("the head of the answer is over %d bytes", maxAnswerHead)
	}
	n, err := h.Conn.Read(p[:min(len(p), h.left)])
	h.left -= n
	return n, err
}

// failed is the error for an answer that does not come, or not to its end.
func (a *answer) failed(err error) error {
	var broken *net.OpError
	switch {
	case a.ctx.Err() != nil:
		return a.ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return silent(a.client.path, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken), errors.Is(err, io.ErrClosedPipe):
		return unavailable(ErrSilent, err, "mezu doctor", "the daemon on %s closed the connection without an answer", a.client.path)
	}
	// What remains is an answer that is no HTTP.
	return a.client.garbled(err)
}

func (c *Client) garbled(cause error) error {
	return unavailable(ErrForeign, cause, "mezu doctor", "what listens on %s does not answer as a daemon of mezu does", c.path)
}

// judge checks that an answer is a daemon's of this generation, and makes an error of a refusal.
func (a *answer) judge() error {
	version, generation := api.Printable(a.Header.Get(HeaderVersion)), api.Printable(a.Header.Get(HeaderGeneration))
	if version == "" {
		return a.client.garbled(nil)
	}
	a.client.daemon.Store(&version)
	if generation != Version {
		return unavailable(ErrGeneration, nil, "run the same version of mezu, or stop that daemon", "the daemon on %s (version %s) speaks %s of the local API, and this program %s",
			a.client.path, version, cmp.Or(generation, "an unknown generation"), Version)
	}
	if a.StatusCode/100 == 2 {
		return nil
	}
	data, err := a.read(maxProblem)
	if err != nil {
		return err
	}
	var p api.Problem
	if err := json.Unmarshal(data, &p); err != nil {
		return a.client.garbled(err)
	}
	if !p.Code.Known() {
		return a.client.garbled(fmt.Errorf("status %d", a.StatusCode))
	}
	if p.Code == mezu.CodeNotFound && p.Detail == NoOperation {
		return unavailable(ErrOlder, nil, "mezu daemon restart", "the daemon on %s is %s, and doesn't know this operation of %s", a.client.path, version, a.client.version)
	}
	if p.Code == mezu.CodeInvalid && p.Hint == "" && version != a.client.version {
		p.Hint = fmt.Sprintf("the daemon is %s and this program %s; mezu daemon restart, if that is why", version, a.client.version)
	}
	return &mezu.Error{Code: p.Code, Detail: api.Printable(p.Detail), Field: api.Printable(p.Field), Hint: api.Printable(p.Hint)}
}

// read reads the body, which has at most that many bytes.
func (a *answer) read(most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(a.Body, most+1))
	if err != nil {
		return nil, a.failed(err)
	}
	if int64(len(data)) > most {
		return nil, a.client.garbled(fmt.Errorf("the answer is over %d bytes", most))
	}
	return data, nil
}
