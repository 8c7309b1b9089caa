package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/filter"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
	"github.com/mezusphere/mezu/underway"
)

const (
	// graceOverWarpgate is how much longer than the Warpgate the edge waits, for a response
	// and for a silence to end. The Warpgate knows more of the reason, and where its answer
	// comes first the data connection can go on. This covers a slow path between them. A
	// Warpgate that hangs makes a time-out longer by this.
	graceOverWarpgate = time.Second
	// maxAttempts bounds the tries of one request, those on stale connections included.
	maxAttempts = mezu.MaxRetries + 2
)

// client is the public side of an exchange, in the version of HTTP that it speaks. Its
// methods are called from the exchange's goroutine, one request after another.
type client interface {
	relay.Downstream
	// read brings the request into its one form, and sets when it started.
	read(req *relay.Request) error
	// open makes the request's body readable, once it is judged: limit bounds it, if not
	// zero. route is the one that was chosen, nil if none was.
	open(route *policy.Route, limit int64)
	// keep keeps the request's fields as they came while its body is read, for who judges by
	// them afterwards.
	keep()
	// Hold reads the body as far as it is to be held before it is sent on.
	Hold(pace *relay.Pace, store relay.Store) error
	// EndHold ends what Hold left reading the body, and returns when that has ended.
	EndHold()
}

// exchange is one request on its way through the edge, and its response. A connection of
// HTTP/1.1 uses it again for its next request, a stream of HTTP/2 for another stream.
type exchange struct {
	filter.Exchange
	s       *Server
	visit   *visit // of the connection
	relay   relay.Exchange
	up      relay.Server
	pace    relay.Pace // of the request's body
	table   *policy.Table
	ask     policy.Request
	missing *policy.Missing   // what the user lacks, of a refusal for that
	unsure  error             // why it is not known who the visitor is
	cut     func()            // forbid, as a value made once
	event   func() mezu.Event // unserved, as a value made once
	under   underway.Request
	outcome Outcome   // at its end
	because mezu.Code // why it was answered by the rules, if that was a refusal
	detail  string    // of a refusal
	allow   []string  // the methods that would be allowed, of a refusal for the method
	started time.Time
	brief   bool      // it is refused to a client that is refused too often
	ready   time.Time // when it could be sent on: the route's time-out counts from then

	status            int
	bytesIn, bytesOut int64
	broken            bool // a panic left it in an unknown state: it is not used again
}

// init prepares an exchange for the server that it belongs to.
func (x *exchange) init(s *Server) {
	x.s = s
	x.relay.Pace = &x.pace
	x.ask.Carries, x.ask.Session, x.ask.Edge = x.Request.Carries, x.session, true
	x.cut = x.forbid
	s.under.Init(&x.under, x.endNow)
	x.relay.Response, x.relay.Early = x.respond, x.early
	x.up.Head, x.event = x.appendHead, x.unserved
}

// errNoRequest ends a connection on which no request came.
var errNoRequest = errors.New("no request came")

// begin forgets the request before.
func (x *exchange) begin() {
	x.Exchange.Begin()
	x.table, x.allow, x.missing, x.unsure = nil, nil, nil, nil
	x.status, x.bytesIn, x.bytesOut = 0, 0, 0
	x.relay.Began, x.relay.Told = false, false
	x.because, x.detail = "", ""
	x.brief = false
}

// serve serves one request of c. A reply is still to be sent. With an error there is
// nobody to send one to.
func (x *exchange) serve(c client) (*answer, error) {
	x.begin()
	reply, err := x.carry(c)
	if err == errNoRequest {
		return nil, err
	}
	if errors.Is(err, errSessionOver) && !x.relay.Began && x.mayLogin() {
		// It came a moment too early to be sent there by the rules.
		reply, err = x.login(errSessionOver.Detail), nil
	}
	if err == nil && reply != nil {
		x.status = reply.status
	}
	x.end(err)
	var refusal *mezu.Error
	switch {
	case err == nil:
	case errors.As(err, &refusal) && !x.relay.Began:
		reply = x.answerTo(refusal)
	default:
		return nil, err
	}
	x.filter(reply, err == nil && x.because == "")
	x.renew(reply)
	return reply, nil
}

// filter has the filters look at an answer of the edge's own, if a route was chosen. routes says that
// it is the route's, and no refusal. What the edge gives a visitor of its own comes afterwards, so
// that no route takes it away.
func (x *exchange) filter(reply *answer, routes bool) {
	if reply == nil || x.Route == nil {
		return
	}
	from := filter.FromRefusal
	if routes {
		from = filter.FromRoute
	}
	h := relay.ResponseHead{Status: reply.status}
	h.Fields = reply.fields
	x.s.filters.Response(&x.Exchange, &h, from)
	reply.fields = h.Fields
}

// carry judges the request and answers it or carries it to a workload. A panic costs this
// one request only.
func (x *exchange) carry(c client) (reply *answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			x.broken = true
			x.s.cfg.Meter.Panicked()
			err = &mezu.Error{Code: mezu.CodeInternal, Cause: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	x.Step = policy.StepForm
	err = c.read(&x.Request)
	x.Request.Fields = x.Visitor.Take(x.Request.Fields)
	if err != errNoRequest {
		err = cmp.Or(x.excess(), err)
	}
	if err == nil {
		x.under.Begin(x.Request.Method, x.Request.Path.Path, x.started)
		if x.Request.Streams() {
			x.under.Stream()
		}
		reply, err = x.judge()
	}
	c.open(x.Route, x.BodyLimit)
	if err != nil || reply != nil {
		return reply, err
	}
	relay.Fault(&x.Request, "edge")
	if x.Route == nil {
		return x.reserved(c)
	}
	return nil, x.run(c)
}

// errNoMemory refuses requests that there is no memory for.
var errNoMemory = &mezu.Error{Code: mezu.CodeOverloaded, Detail: "the edge is short of memory"}

// excess refuses a request that is one too many, whatever it asks for.
func (x *exchange) excess() error {
	if x.s.cfg.Guard.NoRequest(x.Client) {
		x.Step = policy.StepLoad
		return errNoMemory
	}
	wait, ok := x.s.cfg.Guard.Request(x.Client, x.started)
	if ok {
		return nil
	}
	x.Step, x.Wait = policy.StepLoad, wait
	return &mezu.Error{Code: mezu.CodeRateLimited, Detail: "this address sends more requests than an edge takes of one"}
}

// judge finds the environment and decides by its bundle. Without an error and a reply the
// request goes to a workload if a route was chosen, and is the edge's own if not.
func (x *exchange) judge() (reply *answer, err error) {
	if x.Request.Host != x.visit.host {
		return nil, &mezu.Error{Code: mezu.CodeWrongHost, Detail: "this connection was made for another host"}
	}
	x.ask.Method, x.ask.Path, x.ask.Client, x.ask.Preflight = x.Request.Method, x.Request.Path, x.Client, x.Preflight()
	if reservedPath(x.Request.Path.Path) {
		return nil, x.judgeOwn()
	}
	table, d := x.visit.choose(&x.ask)
	if table == nil {
		return nil, errUnknownHost
	}
	x.table, x.allow, x.Environment = table, d.Allow, table.Bundle().Environment
	if x.Choose(table, &d); d.Code != "" {
		return nil, &mezu.Error{Code: d.Code, Detail: d.Detail}
	}
	if a, err := x.s.filters.Before(&x.Exchange); a != nil || err != nil {
		return x.given(a), err
	}
	table.Authorize(&d, &x.ask)
	x.missing, x.Step = d.Missing, d.Step
	switch {
	case x.unsure != nil:
		if x.Wait = x.Visitor.Wait(); x.Wait > 0 {
			x.Step = policy.StepAddressLimit
		}
		return nil, x.unsure
	case d.Code == mezu.CodeUnauthenticated && x.mayLogin():
		return x.login(d.Detail), nil
	case d.Code != "":
		return nil, &mezu.Error{Code: d.Code, Detail: d.Detail}
	}
	a, err := x.s.filters.After(&x.Exchange)
	return x.given(a), err
}

var errUnknownHost = &mezu.Error{Code: mezu.CodeUnknownHost, Detail: "no environment has this host"}

// judgeOwn judges a request for the edge's own pages on the host. The environment's address rules
// count for them. What programs ask for stays there while the environment is off or under
// maintenance: by it they learn that.
func (x *exchange) judgeOwn() error {
	if x.table = x.visit.table(); x.table == nil {
		return errUnknownHost
	}
	x.BodyLimit = hosted.MaxBody
	if !hosted.ForPrograms(x.Request.Path.Path) {
		if d := x.table.Enter(&x.ask); d.Code != "" {
			x.Step = d.Step
			return &mezu.Error{Code: d.Code, Detail: d.Detail}
		}
	}
	if !x.table.Admits(x.Client) {
		x.Step = policy.StepAddress
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "the client's address is not admitted"}
	}
	x.Step = 0
	return nil
}

// respond has the filters look at the workload's response before it goes to the client.
func (x *exchange) respond(h *relay.ResponseHead) {
	if h.Streams() {
		x.under.Stream()
	}
	x.s.filters.Response(&x.Exchange, h, filter.FromWorkload)
}

// early has them look at a response that comes before it.
func (x *exchange) early(h *relay.ResponseHead) { x.s.filters.Early(&x.Exchange, h) }

// errEnding answers a stream that had no response yet when the edge cut its streams.
var errEnding = &mezu.Error{Code: mezu.CodeOverloaded, Detail: "the edge is being stopped"}

// endNow cuts a stream because the edge ends. It is called from another goroutine.
func (x *exchange) endNow() { x.relay.Forbid(errEnding, mezu.CauseShutdown) }

var (
	errNoWarpgate = &mezu.Error{Code: mezu.CodeNoWarpgate, Detail: "no Warpgate of this environment is connected"}
	errAllDrain   = &mezu.Error{Code: mezu.CodeNoWarpgate, Detail: "all Warpgates of this environment are draining"}
)

// noWarpgate says why there is no Warpgate to choose.
func (x *exchange) noWarpgate() error {
	if x.s.cfg.Tunnels.PickBut(x.table.Bundle().Environment, nil) != nil {
		return errAllDrain
	}
	return errNoWarpgate
}

// run carries the request to a Warpgate and its response back, by another Warpgate if one
// fails and the request can be sent again. An error that is a *mezu.Error has not been
// answered yet, unless the response began.
func (x *exchange) run(c client) error {
	if !x.s.cfg.Sessions.Begin(&x.Visitor, x.cut) {
		return errSessionOver
	}
	defer x.leave()
	defer c.EndHold()
	defer x.pace.End()
	if x.Keep > 0 || x.Judge != nil {
		k := &kept{client: c, x: x, src: c.Source()}
		defer k.free()
		if err := k.inspect(); err != nil {
			return err
		}
		c = k
	}
	x.Request.Fields = x.Visitor.Pass(x.Request.Fields)
	if err := x.gather(c); err != nil {
		return err
	}
	x.ready = time.Now()
	var tried []*tunnel.Session
	var last error
	failovers := x.Route.Retries
	small := x.small(c)
	for attempts := 0; attempts < maxAttempts; {
		s := x.pick(tried...)
		if s == nil && last == nil {
			return x.noWarpgate()
		}
		if s == nil {
			return last
		}
		conn, err := x.checkout(s, c, small)
		if errors.Is(err, tunnel.ErrGone) {
			last, tried = checkoutError(err), append(tried, s)
			continue // the session had ended before anything was sent: that is no attempt
		}
		attempts++
		if errors.Is(err, context.Canceled) {
			return relay.ErrClientGone
		}
		if err != nil {
			last, tried = checkoutError(err), append(tried, s)
			if failovers--; failovers < 0 || errors.Is(err, context.DeadlineExceeded) {
				return last
			}
			continue
		}
		stale := conn.Reused() || conn.Shared()
		again, err := x.try(conn, c)
		if err == nil || again == relay.Never {
			return err
		}
		last, small = err, false
		if x.Request.Framing != relay.NoBody {
			if !c.Rewind() {
				return err
			}
			x.bytesIn = 0
		}
		if stale && again == relay.Anywhere && (failovers == 0 || x.pick(append(tried, s)...) == nil) {
			continue // the next connection of the same Warpgate may be alive
		}
		tried = append(tried, s)
		if failovers--; failovers < 0 {
			return last
		}
	}
	return last
}

// pick chooses a Warpgate that is not one of tried, nil if there is none.
func (x *exchange) pick(tried ...*tunnel.Session) *tunnel.Session {
	bundle := x.table.Bundle()
	return x.s.cfg.Tunnels.PickBut(bundle.Environment, bundle.Draining, tried...)
}

const (
	// smallHead and smallBody bound the head and the body of a request that may share a
	// connection. Together, and with what the edge says of the client, they are less than
	// mux.Budget.
	smallHead, smallBody = 12 << 10, 8 << 10
)

// small reports whether the request may share a connection with others: all of it is here and
// fits, and it begins no stream.
func (x *exchange) small(c client) bool {
	r := &x.Request
	switch {
	case r.Upgrade != "" || r.Expect || r.Streams():
		return false
	case r.Framing == relay.NoBody:
	case r.Framing != relay.Length || r.Length > smallBody || !c.UploadNow():
		return false
	}
	n := len(r.Path.Path) + len(r.Query) + len(r.Authority)
	for _, f := range r.Fields {
		n += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	return n <= smallHead
}

// checkout takes a data connection, and waits for one if none is free. If the client leaves
// meanwhile, the next one that waits gets its turn. Over HTTP/1.1 it isn't noticed that a
// client leaves that has sent more than a buffer full behind its request.
func (x *exchange) checkout(s *tunnel.Session, c client, small bool) (*tunnel.Conn, error) {
	address := tunnel.AddressOf(x.Client)
	if small {
		if conn := s.TryShared(address); conn != nil {
			return conn, nil
		}
	}
	if conn := s.TryCheckout(address); conn != nil {
		return conn, nil
	}
	ctx, leave := context.WithDeadline(x.s.cfg.Cut, x.ready.Add(x.Route.Timeout))
	defer leave()
	c.Watch(leave)
	conn, err := s.Checkout(ctx, address)
	c.Unwatch()
	if err == nil && ctx.Err() != nil { // both happened in the same moment
		conn.Release()
		return nil, ctx.Err()
	}
	return conn, err
}

// errReclaimed is why an exchange was ended whose connection others wait for.
var errReclaimed = &mezu.Error{Code: mezu.CodeOverloaded, Detail: "this address holds more than its share of the connections to the workload"}

// checkoutError is the answer to a client for whom there is no data connection.
func checkoutError(err error) error {
	if errors.Is(err, tunnel.ErrOverloaded) || errors.Is(err, context.DeadlineExceeded) {
		return &mezu.Error{Code: mezu.CodeOverloaded, Detail: "all connections to the workload are in use", Cause: err}
	}
	return &mezu.Error{Code: mezu.CodeNoWarpgate, Detail: "the Warpgate went away", Cause: err}
}

// try carries the request over one data connection.
func (x *exchange) try(conn *tunnel.Conn, c client) (again relay.Retry, err error) {
	r, route := &x.relay, x.Route
	defer func() {
		x.bytesIn += r.BytesIn
		x.bytesOut += r.BytesOut
		if err != nil && conn.Reclaimed() {
			if again, err = relay.Never, errReclaimed; r.Began {
				err = &mezu.Cut{Cause: mezu.CauseOverloaded, Err: errReclaimed}
			}
		}
		if err != nil {
			conn.Failed(err)
		}
		if r.Clean {
			conn.Release()
		} else {
			conn.Discard()
		}
	}()
	x.up.Reset(conn, &conn.WriteBy, conn.Abort)
	if x.up.Drops = nil; route.ResponseEdits != nil {
		x.up.Drops = route.ResponseEdits.Takes
	}
	again, err = r.Carry(&x.up, &relay.Call{Request: &x.Request, Tunnel: true, Since: x.ready, Response: route.Timeout + graceOverWarpgate, Idle: route.IdleTimeout + graceOverWarpgate}, c)
	x.status = r.Status
	return again, err
}

// appendHead appends what goes before the request's body on a data connection: what the
// edge knows of the client, and the request's head.
func (x *exchange) appendHead(dst []byte) []byte {
	info := preface.Request{Client: x.Client, ID: x.Request.ID, Position: x.table.Position(), Grant: x.Visitor.Compact()}
	return x.Request.Append(preface.AppendRequest(dst, &info))
}
