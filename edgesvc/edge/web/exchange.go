package web

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

const (
	// graceOverWarpgate is how much longer than the Warpgate the edge waits, for a
	// response and for a silence to end: the Warpgate knows more, and where its
	// answer comes first the data connection goes on. It covers a slow path between
	// them; a Warpgate that hangs makes a time-out longer by no more.
	graceOverWarpgate = time.Second
	// maxAttempts bounds the tries of one request, stale connections included.
	maxAttempts = mezu.MaxRetries + 2
)

// exchange is one request on its way through the edge. It is reused by a
// connection for its next one.
type exchange struct {
	s        *Server
	req      relay.Request
	relay    relay.Exchange
	head     func([]byte) []byte // appendHead, as a value made once
	pace     relay.Pace          // of the request's body
	table    *policy.Table
	ask      policy.Request
	decision policy.Decision
	client   netip.Addr
	started  time.Time
	ready    time.Time // the request was here and judged: the route's time-out counts from then

	status            int
	bytesIn, bytesOut int64
	broken            bool // a panic left it in an unknown state
}

// serve serves one request: prepare makes it canonical and judges it; d is its
// client. A reply is still to be sent; with an error there is nobody to send one
// to.
func (x *exchange) serve(d downstream, prepare func() error) (*answer, error) {
	reply, err := x.carry(d, prepare)
	x.end(err)
	if err == nil {
		return reply, nil
	}
	var refusal *mezu.Error
	if errors.As(err, &refusal) && !x.relay.Began {
		return x.answerTo(refusal), nil
	}
	return reply, err
}

// carry is serve without its books. A panic costs this one request only.
func (x *exchange) carry(d downstream, prepare func() error) (reply *answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			x.broken = true
			x.s.cfg.Meter.Panicked()
			err = &mezu.Error{Code: mezu.CodeInternal, Cause: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	if err := prepare(); err != nil {
		return nil, err
	}
	relay.Fault(&x.req, "edge")
	if reservedPath(x.req.Path.Path) {
		return x.reservedAnswer()
	}
	return nil, x.run(d)
}

// init prepares an exchange for the server that it belongs to.
func (x *exchange) init(s *Server) {
	x.s = s
	x.relay.Pace = &x.pace
	x.ask.Carries = x.req.Carries
	x.relay.Tunnel = true
	x.head = x.appendHead
}

// begin starts the books of one exchange. The request id is there from the
// start, so that even a refusal of the head names one.
func (x *exchange) begin() {
	x.started = time.Now()
	x.req = relay.Request{Fields: x.req.Fields[:0]}
	x.table, x.decision = nil, policy.Decision{}
	x.status, x.bytesIn, x.bytesOut = 0, 0, 0
	x.relay.Began = false
}

// judge finds the environment and decides by its bundle. A nil error means that
// the request may be sent on.
func (x *exchange) judge(sni string) error {
	if x.req.Host != sni {
		return &mezu.Error{Code: mezu.CodeWrongHost, Detail: "this connection was made for another host"}
	}
	x.table = x.s.cfg.Hosts.Host(x.req.Host)
	if x.table == nil {
		return &mezu.Error{Code: mezu.CodeUnknownHost, Detail: "no environment has this host"}
	}
	if reservedPath(x.req.Path.Path) {
		return nil
	}
	x.ask.Method, x.ask.Path, x.ask.Client = x.req.Method, x.req.Path, x.client
	x.decision = x.table.Decide(policy.Edge, &x.ask)
	if x.decision.Code != "" {
		return &mezu.Error{Code: x.decision.Code, Detail: x.decision.Detail}
	}
	if x.req.Upgrade != "" && !x.decision.Route.WebSocket {
		x.req.Upgrade = ""
	}
	if max := x.decision.Route.MaxBody; max > 0 && x.req.Framing == relay.Length && x.req.Length > max {
		return relay.ErrOverrun
	}
	return nil
}

// bodyLimit is the route's bound on the body; zero if there is none.
func (x *exchange) bodyLimit() int64 {
	if x.decision.Route == nil {
		return 0
	}
	return x.decision.Route.MaxBody
}

var errNoWarpgate = &mezu.Error{Code: mezu.CodeNoWarpgate, Detail: "no Warpgate of this environment is connected"}

// run carries the request to a Warpgate and its response back. An error that is
// a *mezu.Error has not been answered yet, unless the response began.
func (x *exchange) run(d downstream) error {
	gathered := false
	defer func() {
		if gathered {
			x.pace.End()
			d.Settle()
		}
	}()
	var tried []*tunnel.Session
	var last error = errNoWarpgate
	bundle := x.table.Bundle()
	failovers := x.decision.Route.Retries
	for attempts := 0; attempts < maxAttempts; {
		s := x.s.cfg.Tunnels.PickBut(bundle.Environment, bundle.Draining, tried...)
		if s == nil {
			return last
		}
		if !gathered {
			gathered = true
			waited, err := x.gather(d)
			if err != nil {
				return err
			}
			x.ready = time.Now()
			if waited {
				continue // s may be busy or gone by now
			}
		}
		conn, err := x.checkout(s, d)
		if errors.Is(err, tunnel.ErrGone) {
			last, tried = checkoutError(err), append(tried, s)
			continue // of a session that ended nothing was tried
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
		stale := conn.Reused()
		again, err := x.try(conn, d)
		if err == nil || again == relay.Never {
			return err
		}
		last = err
		if x.req.Framing != relay.NoBody {
			if !d.Rewind() {
				return err
			}
			x.bytesIn = 0
		}
		if stale && again == relay.Anywhere && (failovers == 0 || x.s.cfg.Tunnels.PickBut(bundle.Environment, bundle.Draining, append(tried, s)...) == nil) {
			continue // the next connection of the same Warpgate may be alive
		}
		tried = append(tried, s)
		if failovers--; failovers < 0 {
			return last
		}
	}
	return last
}

// checkout takes a data connection. A client that leaves while it waits for one
// gives its place to the next; of one that has sent more than a buffer full behind
// its request only HTTP/2 tells.
func (x *exchange) checkout(s *tunnel.Session, d relay.Downstream) (*tunnel.Conn, error) {
	client := tunnel.AddressOf(x.client)
	if conn := s.TryCheckout(client); conn != nil {
		return conn, nil
	}
	ctx, leave := context.WithDeadline(x.s.cfg.Cut, x.ready.Add(x.decision.Route.Timeout))
	defer leave()
	d.Watch(leave)
	conn, err := s.Checkout(ctx, client)
	d.Unwatch()
	if err == nil && ctx.Err() != nil { // it came in the same moment
		conn.Release()
		return nil, ctx.Err()
	}
	return conn, err
}

// errReclaimed: the exchange was ended in favour of others.
var errReclaimed = &mezu.Error{Code: mezu.CodeOverloaded, Detail: "this address holds more than its share of the connections to the workload"}

func checkoutError(err error) error {
	if errors.Is(err, tunnel.ErrOverloaded) || errors.Is(err, context.DeadlineExceeded) {
		return &mezu.Error{Code: mezu.CodeOverloaded, Detail: "all connections to the workload are in use", Cause: err}
	}
	return &mezu.Error{Code: mezu.CodeNoWarpgate, Detail: "the Warpgate went away", Cause: err}
}

// try carries the request over one data connection.
func (x *exchange) try(conn *tunnel.Conn, d relay.Downstream) (again relay.Retry, err error) {
	r, route := &x.relay, x.decision.Route
	defer func() {
		x.bytesIn += r.BytesIn
		x.bytesOut += r.BytesOut
		if err != nil && conn.Reclaimed() {
			if again, err = relay.Never, errReclaimed; r.Began {
				err = &relay.Cut{Cause: mezu.CauseOverloaded, Err: errReclaimed}
			}
		}
		if r.Clean {
			conn.Release()
		} else {
			conn.Discard()
		}
	}()
	up := relay.Upstream{Conn: conn, WriteBy: &conn.WriteBy, Abort: conn.Abort}
	again, err = r.Carry(up, &relay.Call{Request: &x.req, Head: x.head, Since: x.ready, Response: route.Timeout + graceOverWarpgate, Idle: route.IdleTimeout + graceOverWarpgate}, d)
	x.status = r.Status
	return again, err
}

// appendHead writes what precedes the request's body on a data connection.
func (x *exchange) appendHead(dst []byte) []byte {
	info := relay.RequestInfo{Client: x.client, ID: x.req.ID, Position: x.table.Position()}
	return x.req.Append(relay.AppendRequestInfo(dst, &info))
}
