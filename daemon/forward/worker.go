package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward/hint"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
	"github.com/mezusphere/mezu/underway"
)

// worker is one data connection.
type worker struct {
	f       *Forwarder
	ctx     context.Context // ends with the data connection, and is what ends it early
	c       relay.Client
	req     relay.Request
	info    preface.Request
	fwd     relay.Forwarded
	x       relay.Exchange
	server  relay.Server // the workload, where it speaks HTTP/1.1
	stream  stream       // the same in HTTP/2
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

	under  underway.Request
	broken bool // a panic left the exchange in an unknown state
	// shared is the connection, if it is a stream of a shared one: that wants to know when a
	// response has come to its end. nil if it is a connection of its own.
	shared interface{ Answered() }
	// carried is called when the rest of a shared exchange's response has been carried here;
	// nil if there is none.
	carried func()

	tape     Tape      // of this connection, nil if nothing is recorded
	rec      Tape      // the same, if this request is
	watched  bool      // it is told Everything
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
	// secure is the look at the workload used last, among the targets of then.
	secure   *tlsLook
	secured  mezu.Upstream
	securing *targets
	// sayTLS is where the answer under way says that it wants TLS; empty for all but those.
	sayTLS string
	// doubted says that the workload of the exchange has never answered without TLS.
	doubted bool
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
	f.cfg.Underway.Init(&w.under, func() { end(errEnding) })
	w.server.Head, w.looking = w.appendHead, looking{Client: &w.c, w: w}
	w.beginning, w.ending = w.beginEvent, w.endEvent
	w.shared, _ = conn.(interface{ Answered() })
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
	if w.shared != nil {
		w.shared.Answered()
	}
	wait := tunnel.DataIdle
	if w.carried != nil {
		wait = 0 // the edge waits for the end of a response: it ends the connection, or sends more
	}
	w.c.Timed.SetRead(wait)
	w.c.Reader.Park()
	kind, payload, err := preface.Read(&w.c.Reader)
	if err != nil {
		return false
	}
	if w.carried != nil {
		w.carried()
		w.carried = nil
	}
	switch kind {
	case preface.KindRest:
		return w.carryRest(payload)
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

// carryRest has the response of a shared exchange go on on this connection.
func (w *worker) carryRest(payload []byte) bool {
	number, err := preface.ParseRest(payload)
	if err != nil {
		w.f.cfg.Log.Warn("refused the rest of a response", "error", err)
		return false
	}
	if carrier, ok := w.c.Conn.(tunnel.Carrier); ok {
		w.carried = carrier.Carry(number)
		w.c.Timed.ForgetWrite() // it is moved by whoever writes the response
	}
	return w.carried != nil
}

func (w *worker) request(payload []byte) bool {
	w.began, w.route, w.keptOut, w.asks, w.local, w.begun = time.Now(), nil, "", false, "", false
	w.rec, w.watched = nil, false
	if to := w.f.targets.Load(); to != w.to {
		w.to, w.pool = to, nil
	}
	w.visitor.forget()
	if err := preface.ParseRequest(payload, &w.info); err != nil {
		w.f.cfg.Log.Warn("refused an exchange", "error", err)
		return false
	}
	c := &w.c
	defer c.End()
	w.broken = false
	complete, unsent, err := w.carry()
	w.under.End()
	if uses := w.f.cfg.Uses; uses != nil {
		uses.End(&w.visitor.use) // from here on nothing cuts it, and the connection may go on
	}
	if !complete {
		w.f.cfg.Log.Warn("edge sent a malformed request", "request_id", w.info.ID, "error", err)
		return false
	}
	w.report(err)
	if err == nil {
		if !c.BodyDone() {
			w.readAway()
			return false
		}
		return !c.Last && w.ctx.Err() == nil
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
	if w.broken || !c.Body.Discard(relay.MaxDrain) {
		w.readAway()
		return false
	}
	return !c.Last && w.ctx.Err() == nil
}

// readAway ends a data connection on which more may come of a request that is answered: it says that
// nothing follows, and reads until the edge has the answer and ends the connection. A socket that is
// closed before what came was read resets the connection, and the edge loses what it has not read.
func (w *worker) readAway() {
	half, can := w.c.Conn.(interface{ CloseWrite() error })
	w.c.Timed.Rearm()
	if !can || w.ctx.Err() != nil || w.c.Conn.SetDeadline(time.Now().Add(answerTime)) != nil || half.CloseWrite() != nil {
		return
	}
	io.Copy(io.Discard, w.c.Conn)
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
	w.x.Began, w.x.Status, w.x.BytesIn, w.x.BytesOut, w.sayTLS = false, 0, 0, 0, ""
	c := &w.c
	if complete, err = c.ReadRequest(&w.req, headTimeout); !complete {
		return false, true, err
	}
	c.Timed.SetRead(headTimeout)
	c.Last, c.RequestID = !c.Head.KeepAlive(), ""
	w.upgrade = w.req.Upgrade
	w.under.Begin(w.req.Method, w.req.Path.Path, w.began)
	if w.req.Streams() {
		w.under.Stream()
	}
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
	if e := w.route.RequestEdits; e != nil {
		c.Body.Drop(e.Takes)
	}
	relay.Fault(&w.req, "warpgate")
	unsent, err = w.forward()
	return true, unsent, err
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
	u, err := w.to.may.Of(w.route, w.to.MayForward)
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
	w.fwd.Path, w.fwd.Prefix = w.route.Cut(w.req.Path.Path)
	if e := w.route.RequestEdits; e != nil {
		w.req.Edit(e)
	}
	switch {
	case u.Scheme == mezu.UpstreamH2C:
		w.req.Upgrade = "" // there is none in HTTP/2: the workload answers as it does without
		unsent, err = w.share(u)
	case u.Scheme == mezu.UpstreamHTTPS && w.req.Upgrade == "":
		unsent, err = w.share(u)
	default:
		unsent, err = w.plain(u)
	}
	err = w.plainFault(u, err)
	if w.to.Hints != nil {
		w.explain(u, err)
	}
	return unsent, err
}
