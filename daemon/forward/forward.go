// Package forward serves the data connections of a Warpgate: it judges each
// request a second time by the same bundle as the edge, and carries what is
// allowed to the workload.
//
// What lives here: the second line of defence, the headers that a workload may
// trust, the choice of an allowed target, connections to workloads. What may
// not: registration, tunnels, files. Packages daemon/warpgate and daemon/workload import it.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward/hint"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

// Times of a data connection.
const (
	// headTimeout bounds the rest of a request's head once its first bytes came,
	// and each read of a small body that is read away: the edge writes them at once.
	headTimeout = 10 * time.Second
	// wordTimeout bounds a write of what the Warpgate itself says to the edge: a failure,
	// or the answer to a probe. Both are small, and the edge waits for them. A response of
	// the workload is bounded by its route.
	wordTimeout = 10 * time.Second
	// catchUp is how long a request waits for a bundle that the edge had already when it
	// judged, and the Warpgate not yet. It is on its way on the control connection.
	catchUp = 2 * time.Second
)

// Config is what a Forwarder works by.
type Config struct {
	// Targets are those of the beginning.
	Targets
	// Table is the configuration in force, nil while there is none.
	Table func() *policy.Table
	// Serves reports whether a canonical host is that of the environment's endpoint. A
	// request for another host reaches no workload, because workloads make links of the
	// host. If nil, every host is served.
	Serves func(host string) bool
	// Grants verifies what edges say of users; if nil, nobody is one. Uses is what cuts
	// a request whose session is ended. It is there if Grants is.
	Grants *grant.Verifier
	Uses   *grant.Index
	// Assert gives the signed statement of who a user is that goes to the workload, nil
	// while there is none. If nil, there never is.
	Assert func(*grant.Verified) []byte
	// Domain is the one below which the environments of all tenants have their hosts,
	// empty while it is not known. A workload sets no cookie for it. If nil, it is never
	// known.
	Domain func() string
	// Now is the clock for what expires; if nil, time.Now.
	Now func() time.Time
	Log *slog.Logger
	// Requests is told of each request; if nil, nobody is. Warpgate is the id that events
	// name.
	Requests Requests
	Warpgate string
	// Recorder keeps what passes; if nil, nobody does.
	Recorder Recorder
	// Panicked is told of each exchange that ended in a panic; if nil, nobody is.
	Panicked func()
	// Failed is told the cause of each request whose response was not delivered in full;
	// if nil, nobody is.
	Failed func(mezu.Cause)
}

// Requests is told of requests as they pass. It is called by many at once, and requests wait for
// it. What it counts it counts by what it is given; an event is made for it only if it calls
// event, which it may do before it returns.
type Requests interface {
	// Begin is told of a request whose head was read. upgrade says that it asks for another
	// protocol; tape is what it is recorded by, nil if it isn't. End is given the mark that it
	// returns.
	Begin(upgrade bool, tape Tape, event func() mezu.Event) (mark uint8)
	// End is told of the end of each request of which Begin was told.
	End(mark uint8, tape Tape, o *Outcome, event func() mezu.Event)
}

// Outcome is how a request has ended.
type Outcome struct {
	Upgrade bool // it asked for another protocol
	Status  int  // zero if there is no answer
	// Code is why it was refused, Cause what kept it from its proper end. Both are empty for
	// most.
	Code     mezu.Code
	Cause    mezu.Cause
	Message  string
	Took     time.Duration
	BytesIn  int64
	BytesOut int64
}

// Forwarder serves data connections. It is safe for concurrent use.
type Forwarder struct {
	cfg       Config
	targets   atomic.Pointer[targets]
	retargets sync.Mutex      // one Retarget at a time
	life      context.Context // of what net/http does by itself
	end       context.CancelFunc
	drops     sync.WaitGroup // bodies that are being closed, and tries of TLS

	pingAfter, pingTimeout time.Duration
}

// New makes a Forwarder. It dials nothing.
func New(cfg Config) *Forwarder {
	f := &Forwarder{cfg: cfg, pingAfter: pingAfter, pingTimeout: pingTimeout}
	f.targets.Store(newTargets(cfg.Targets))
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// Close closes the connections to workloads. No ServeConn may run any more.
func (f *Forwarder) Close() {
	f.targets.Load().close(newTargets(Targets{}))
	f.end()
	f.drops.Wait()
}

// worker is one data connection.
type worker struct {
	f       *Forwarder
	ctx     context.Context // ends with the data connection, and is what ends it early
	c       relay.Client
	req     relay.Request
	info    preface.Request
	fwd     relay.Forwarded
	x       relay.Exchange
	head    func([]byte) []byte // appendHead, as a value made once
	looking looking
	watcher *hint.Watcher // who recognises what is in the way of this request, nil for nobody
	ask     policy.Request
	began   time.Time
	route   *policy.Route

	visitor visitor
	keptOut mezu.Code // why the guard let the request not pass
	asks    bool      // it is a preflight that passed the guard without a password
	upgrade string    // what the visitor asked for, whatever the workload is asked
	local   string    // the origin that the workload believes to have, if it is not the visitor's

	broken bool // a panic left the exchange in an unknown state

	silence pipe.Silence // of an exchange by net/http

	tape     Tape      // of this connection, nil if nothing is recorded
	rec      Tape      // the same, if this request is
	told     Begun     // what it was told of that
	answer   taped     // its response's body
	upstream tapedConn // the connection to its workload

	begun   bool // Requests was told of its begin
	mark    uint8
	outcome Outcome
	// beginning and ending make the events, as values made once.
	beginning, ending func() mezu.Event
	addr              netip.Addr // of the last event's client
	client            string     // the same as text

	to     *targets // when the request began
	pool   *pool    // of the workload used last, spares a look-up
	pooled mezu.Upstream
}

// ServeConn carries exchanges on a data connection of an edge, which has a name for people, until
// it ends or ctx does. It does not close it.
func (f *Forwarder) ServeConn(ctx context.Context, conn net.Conn, edge string) {
	if f.cfg.Recorder == nil {
		f.serve(ctx, conn, nil)
		return
	}
	tape := f.cfg.Recorder.Tape(edge)
	defer tape.Close()
	f.serve(ctx, conn, tape)
}

// serve is ServeConn with what it is recorded by, or nil.
func (f *Forwarder) serve(ctx context.Context, conn net.Conn, tape Tape) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	w := &worker{f: f, ctx: ctx, tape: tape}
	w.ask.Carries, w.ask.Session, w.x.Response = w.req.Carries, w.session, w.clean
	w.visitor.use.Cut = func() { end(errSessionEnded) }
	w.head, w.looking = w.appendHead, looking{Client: &w.c, w: w}
	w.beginning, w.ending = w.beginEvent, w.endEvent
	w.c.Typed = true
	w.c.Reset(conn, tunnel.DataIdle, wordTimeout)
	defer w.c.Reader.Release()
	stop := context.AfterFunc(ctx, w.cut)
	defer stop()
	defer w.survive()
	for w.serveOne() {
	}
}

// cut ends the exchange under way, whatever it waits for: the edge has canceled it, its
// session was ended, or the Warpgate ends.
func (w *worker) cut() {
	w.x.Abandon()
	abort(w.c.Conn)
}

// survive ends a panic outside of a request: it costs this data connection and no
// other.
func (w *worker) survive() {
	if p := recover(); p != nil {
		w.panicked(p)
	}
}

func (w *worker) panicked(p any) {
	w.f.cfg.Log.Error("panic while serving an exchange", "request_id", w.info.ID, "panic", p, "stack", string(debug.Stack()))
	if w.f.cfg.Panicked != nil {
		w.f.cfg.Panicked()
	}
}

// serveOne waits for one exchange and serves it; it reports whether the
// connection goes on.
func (w *worker) serveOne() bool {
	w.c.Timed.SetRead(tunnel.DataIdle)
	w.c.Reader.Park()
	kind, payload, err := preface.Read(&w.c.Reader)
	if err != nil {
		return false
	}
	switch kind {
	case preface.KindProbe:
		w.c.Timed.SetWrite(wordTimeout)
		_, err := w.c.Timed.Write(preface.AppendAlive(nil))
		return err == nil
	case preface.KindRequest:
		return w.request(payload)
	}
	w.f.cfg.Log.Warn("edge sent a typed head of an unknown kind", "kind", kind)
	return false
}

func (w *worker) request(payload []byte) bool {
	w.began, w.route, w.keptOut, w.asks, w.local, w.begun = time.Now(), nil, "", false, "", false
	w.rec = nil
	if to := w.f.targets.Load(); to != w.to {
		w.to, w.pool = to, nil
	}
	w.visitor.forget()
	if err := preface.ParseRequest(payload, &w.info); err != nil {
		w.f.cfg.Log.Warn("refused an exchange", "error", err)
		return false
	}
	c := &w.c
	defer c.Body.Close()
	w.broken = false
	complete, unsent, err := w.carry()
	if uses := w.f.cfg.Uses; uses != nil {
		uses.End(&w.visitor.use) // from here on nothing cuts it, and the connection may go on
	}
	if !complete {
		w.f.cfg.Log.Warn("edge sent a malformed request", "request_id", w.info.ID, "error", err)
		return false
	}
	w.report(err)
	if err == nil {
		return !c.Last && c.BodyDone() && w.ctx.Err() == nil
	}
	refusal, isRefusal := errors.AsType[*mezu.Error](err)
	if w.x.Began || !isRefusal {
		w.c.TellCut(w.cause(err))
		return false // nobody to tell, or the edge must see that it was cut
	}
	c.Timed.SetRead(headTimeout)
	c.Timed.SetWrite(wordTimeout)
	if c.Fail(&preface.Failure{Code: refusal.Code, Detail: refusal.Detail, Unsent: unsent}) != nil {
		return false
	}
	return !c.Last && !w.broken && c.Body.Discard(relay.MaxDrain) && w.ctx.Err() == nil
}

// carry reads the request, judges it and takes it to its workload. complete says that its
// head was read to its end, unsent that nothing of it reached a workload. A panic costs this
// one request only, and its connection. It is answered here, because an edge that gets no
// answer may send the request to another Warpgate.
func (w *worker) carry() (complete, unsent bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			w.broken = true
			w.panicked(p)
			complete, unsent, err = true, false, &mezu.Error{Code: mezu.CodeInternal, Detail: "the Warpgate failed"}
		}
	}()
	w.x.Began, w.x.Status, w.x.BytesIn, w.x.BytesOut = false, 0, 0, 0
	c := &w.c
	if complete, err = c.ReadRequest(&w.req, headTimeout); !complete {
		return false, true, err
	}
	c.Timed.SetRead(headTimeout)
	c.Last, c.RequestID = !c.Head.KeepAlive(), ""
	w.upgrade = w.req.Upgrade
	w.record()
	w.tellBegin()
	if err != nil {
		err = refused("the request is not canonical", err)
	} else {
		err = w.judge()
	}
	limit := int64(0)
	if w.route != nil {
		limit = w.route.MaxBody
		if w.rec != nil {
			w.rec.Judged(w.route.Label(), w.userID())
		}
	}
	c.Begin(limit)
	if err != nil {
		return true, true, err
	}
	relay.Fault(&w.req, "warpgate")
	unsent, err = w.forward()
	return true, unsent, err
}

// judge is the second line of defence: the path must be canonical as it came, and the
// bundle must allow the request here, too.
func (w *worker) judge() error {
	if !w.c.Head.HasPath(w.req.Path.Path) {
		return refused("the path is not canonical", nil)
	}
	w.req.ID = w.info.ID
	w.takeCookies()
	table := w.table()
	if table == nil {
		return &mezu.Error{Code: mezu.CodeRouteUnavailable, Detail: "the Warpgate has no configuration yet"}
	}
	if w.f.cfg.Serves != nil && !w.f.cfg.Serves(w.req.Host) {
		return refused("the host is not that of the environment", nil)
	}
	w.ask.Method, w.ask.Path, w.ask.Client = w.req.Method, w.req.Path, w.info.Client
	d := table.Decide(&w.ask)
	if d.Code != "" {
		if w.visitor.late || table.Position().Compare(w.info.Position) > 0 {
			// The edge judged by less than is known here. By what it hears next it will
			// give this answer.
			return &mezu.Error{Code: d.Code, Detail: d.Detail}
		}
		return refused(fmt.Sprintf("the Warpgate's own check says %s", d.Code), nil)
	}
	if d.Answer != nil {
		return refused("the edge answers the request itself", nil)
	}
	if w.route = d.Route; d.Grant == nil {
		w.visitor.grant = nil // the route asks nobody who they are
	}
	if w.req.Upgrade != "" && !d.Route.WebSocket {
		return refused("the route allows no upgrade", nil)
	}
	if max := d.Route.MaxBody; max > 0 && w.req.Framing == relay.Length && w.req.Length > max {
		return relay.ErrOverrun
	}
	return nil
}

func refused(detail string, cause error) error {
	return &mezu.Error{Code: mezu.CodeRefusedByWarpgate, Detail: detail, Cause: cause}
}

// table is the configuration in force. If the edge judged by a newer one, it waits for that:
// a request may be delayed, but is never judged by an older configuration than the edge's,
// unless the newer one does not come within catchUp.
func (w *worker) table() *policy.Table {
	t := w.f.cfg.Table()
	if t != nil && t.Position().Compare(w.info.Position) >= 0 {
		return t
	}
	const step = 2 * time.Millisecond
	timer := time.NewTimer(step)
	defer timer.Stop()
	for end := time.Now().Add(catchUp); time.Now().Before(end); timer.Reset(step) {
		select {
		case <-w.ctx.Done():
			return nil
		case <-timer.C:
		}
		if t = w.f.cfg.Table(); t != nil && t.Position().Compare(w.info.Position) >= 0 {
			break
		}
	}
	return t
}

// target is where the request goes, if the Warpgate was told that it may.
func (w *worker) target() (mezu.Upstream, error) {
	u := w.to.Upstream
	if w.route.HasUpstream {
		u = w.route.Upstream
	}
	if u.Address == "" {
		return u, &mezu.Error{Code: mezu.CodeUpstreamNotAllowed, Detail: "neither the route nor the Warpgate names an upstream"}
	}
	if !w.to.allows(u) {
		return u, &mezu.Error{Code: mezu.CodeUpstreamNotAllowed, Detail: "the Warpgate was not started with this upstream as --upstream or --allow-target"}
	}
	return u, nil
}

// forward carries the request. unsent says that nothing of it reached a
// workload.
func (w *worker) forward() (unsent bool, err error) {
	if g := w.to.Guard; g != nil {
		v := g.Judge(w.ctx, &w.req, w.visitor.jar.Tunnel(), w.info.Client)
		if v.Code != "" {
			return false, w.keepOut(v)
		}
		w.visitor.setCookie, w.asks = v.SetCookie, v.Preflight
	}
	if w.to.Capture != nil {
		return false, w.capture()
	}
	u, err := w.target()
	if err != nil {
		return true, err
	}
	if w.rec != nil {
		w.rec.Target(u)
	}
	w.fwd = relay.Forwarded{Client: w.info.Client, ID: w.info.ID, Host: w.route.HostHeader, Identity: w.identity()}
	if w.fwd.Host == "" && w.to.HostHeader != "" {
		w.setHost(u)
	}
	switch {
	case u.Scheme == mezu.UpstreamH2C:
		w.req.Upgrade = "" // there is none in HTTP/2: the workload answers as it does without
		unsent, err = w.roundTrip(u)
	case u.Scheme == mezu.UpstreamHTTPS && w.req.Upgrade == "":
		unsent, err = w.roundTrip(u)
	default:
		unsent, err = w.plain(u)
	}
	if w.to.Hints != nil {
		w.explain(u, err)
	}
	return unsent, err
}

// plain speaks HTTP/1.1 to the workload on a pooled connection.
func (w *worker) plain(u mezu.Upstream) (unsent bool, err error) {
	if w.pool == nil || w.pooled != u {
		w.pool, w.pooled = w.to.pool(u), u
	}
	p, by := w.pool, w.began.Add(w.route.Timeout)
	asked := time.Now()
	conn, err := p.get(w.ctx, by)
	if err != nil {
		return w.undialled(u, by, err)
	}
	if w.rec != nil {
		w.rec.Connected(time.Since(asked), conn.reused)
	}
	again, err := w.try(u, p, conn)
	if again == relay.Anywhere && conn.reused {
		// The workload closed the idle connection just then.
		if conn, err = p.fresh(w.ctx, by); err != nil {
			_, err = w.undialled(u, by, err)
			return false, err
		}
		_, err = w.try(u, p, conn)
	}
	return false, err
}

// try carries the request over one connection.
func (w *worker) try(u mezu.Upstream, p *pool, conn *workloadConn) (again relay.Retry, err error) {
	defer func() {
		if w.x.Clean {
			p.put(conn)
		} else {
			conn.abort()
		}
	}()
	up := relay.Upstream{Conn: w.recorded(conn.Conn), WriteBy: &conn.writeBy, Abort: conn.abort}
	return w.x.Carry(up, &relay.Call{Request: &w.req, Head: w.head, Since: w.began, Response: w.route.Timeout, Idle: w.route.IdleTimeout}, w.downstream(u))
}

// appendHead writes the head of the request to the workload.
func (w *worker) appendHead(dst []byte) []byte {
	before := len(dst)
	dst = w.req.AppendForwarded(dst, &w.fwd)
	if w.rec != nil {
		w.rec.Head(PartSent, dst[before:])
	}
	return dst
}

// undialled is the answer if there is no connection to the workload. After the route's
// time-out there is no time left to try elsewhere.
func (w *worker) undialled(u mezu.Upstream, by time.Time, err error) (unsent bool, _ error) {
	if w.ctx.Err() == nil && !time.Now().Before(by) {
		return false, &mezu.Error{Code: mezu.CodeWorkloadTimeout, Detail: "the workload took no connection in time", Cause: fmt.Errorf("connecting to %s: %w", u, err)}
	}
	return true, w.dialFault(u, err)
}

// dialFault says why there is no connection to the workload. The address is for
// the log: the answer reaches end users.
func (w *worker) dialFault(u mezu.Upstream, err error) error {
	detail := "nothing answers at the workload's address"
	var dial *net.OpError
	switch {
	case w.ctx.Err() != nil:
		return relay.ErrClientGone
	case u.Scheme == mezu.UpstreamHTTPS && !(errors.As(err, &dial) && dial.Op == "dial"):
		detail = "the TLS handshake with the workload failed"
	}
	return &mezu.Error{Code: mezu.CodeWorkloadRefused, Detail: detail, Cause: fmt.Errorf("connecting to %s: %w", u, err)}
}

// cause is why an exchange ended with err; empty for nil. When this Warpgate or a session ends,
// it cuts data connections. That looks as if the edge had gone away, so it is told apart here.
func (w *worker) cause(err error) mezu.Cause {
	cause := relay.CauseOf(err)
	switch ended := context.Cause(w.ctx); {
	case cause != "" && ended == errSessionEnded:
		return mezu.CauseSessionEnded
	case cause == mezu.CauseClientGone && ended == context.Canceled:
		return mezu.CauseShutdown
	}
	return cause
}

// tellBegin tells once of the begin of the request.
func (w *worker) tellBegin() {
	if r := w.f.cfg.Requests; r != nil && !w.begun {
		w.mark = r.Begin(w.upgrade != "", w.rec, w.beginning)
		w.begun = true
	}
}

// beginEvent is what there is to tell of the request from its beginning on.
func (w *worker) beginEvent() mezu.Event {
	e := mezu.Event{Event: mezu.EventRequest, Time: time.Now(), WarpgateID: w.f.cfg.Warpgate, ID: w.info.ID, Method: w.req.Method, Host: w.req.Host,
		Path: w.req.Path.Path, Query: maskQuery(w.req.Query), Upgrade: w.upgrade}
	if w.info.Client != w.addr {
		w.addr, w.client = w.info.Client, ""
		if w.addr.IsValid() {
			w.client = w.addr.String()
		}
	}
	e.Client = w.client
	return e
}

// endEvent is what there is to tell of it at its end.
func (w *worker) endEvent() mezu.Event {
	e, o := w.beginEvent(), &w.outcome
	e.Status, e.Code, e.Cause, e.Message, e.BytesIn, e.BytesOut = o.Status, o.Code, o.Cause, o.Message, o.BytesIn, o.BytesOut
	e.DurationMS = float64(o.Took) / float64(time.Millisecond)
	if w.route != nil {
		e.Route = w.route.Label()
	}
	e.User = w.userID()
	return e
}

// report tells of one request.
func (w *worker) report(err error) {
	if err == nil && w.f.cfg.Requests == nil && w.rec == nil {
		return
	}
	status, code, cause, message := w.x.Status, w.keptOut, w.cause(err), ""
	refusal, isRefusal := errors.AsType[*mezu.Error](err)
	switch {
	case err == nil:
	case !w.x.Began && isRefusal:
		status, code, message = refusal.Code.Status(), refusal.Code, refusal.Detail
		w.f.cfg.Log.Warn("request not served", "request_id", w.info.ID, "code", string(refusal.Code), "cause", string(cause), "detail", refusal.Detail, "error", refusal.Cause)
	default:
		message = relay.Rule(err)
		level := slog.LevelWarn
		switch {
		case cause.OfClient():
			level = slog.LevelDebug // as often as clients like
		case cause == mezu.CauseSessionEnded:
			level = slog.LevelInfo
		}
		w.f.cfg.Log.Log(w.ctx, level, "request cut short", "request_id", w.info.ID, "cause", string(cause), "status", status, "bytes_out", w.x.BytesOut, "error", err)
	}
	if err != nil && w.f.cfg.Failed != nil {
		w.f.cfg.Failed(cause)
	}
	w.outcome = Outcome{Upgrade: w.upgrade != "", Status: status, Code: code, Cause: cause, Message: message, Took: time.Since(w.began),
		BytesIn: w.x.BytesIn, BytesOut: w.x.BytesOut}
	if w.rec != nil {
		w.rec.End(&w.outcome)
	}
	if r := w.f.cfg.Requests; r != nil {
		w.tellBegin() // if a panic came before
		r.End(w.mark, w.rec, &w.outcome, w.ending)
	}
}
