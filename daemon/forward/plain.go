package forward

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

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
	w.connected(asked, conn.reused)
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
	w.server.Reset(w.recorded(conn.Conn), &conn.writeBy, conn.abort)
	return w.x.Carry(&w.server, &relay.Call{Request: &w.req, Since: w.began, Response: w.route.Timeout, Idle: w.route.IdleTimeout}, w.downstream(u))
}

// appendHead writes the head of the request to the workload.
func (w *worker) appendHead(dst []byte) []byte {
	before := len(dst)
	dst = w.req.AppendForwarded(dst, &w.fwd)
	if w.watched {
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
	code, detail := mezu.CodeWorkloadRefused, "nothing answers at the workload's address"
	nowhere := false
	var dial *net.OpError
	switch {
	case w.ctx.Err() != nil:
		return relay.ErrClientGone
	case errors.As(err, new(tls.RecordHeaderError)):
		code, detail = mezu.CodeWorkloadBadResponse, "the workload speaks no TLS, and its upstream is https"
		err = fmt.Errorf("write http://%s: %w", u.Address, err)
	case errors.As(err, new(*tls.CertificateVerificationError)):
		detail = "the workload's certificate is not trusted"
	case u.Scheme == mezu.UpstreamHTTPS && !(errors.As(err, &dial) && dial.Op == "dial"):
		detail = "the TLS handshake with the workload failed"
	default:
		nowhere = true
	}
	cause := fmt.Errorf("connecting to %s: %w", u, err)
	if nowhere {
		cause = &unreachedError{u, cause}
	}
	return &mezu.Error{Code: code, Detail: detail, Cause: cause}
}

// unreachedError says at which address nothing answers: to whoever's workload it is, and not to
// visitors.
type unreachedError struct {
	at    mezu.Upstream
	cause error
}

func (e *unreachedError) Error() string { return e.cause.Error() }
func (e *unreachedError) Unwrap() error { return e.cause }
