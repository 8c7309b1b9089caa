package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// tryTimeout bounds the try whether a plain target speaks TLS. One request at most waits for it.
	tryTimeout = time.Second
	// tryAgain is how long what was found counts: a program that speaks no TLS writes an error
	// to its log at each try.
	tryAgain = time.Minute
	// maxComplaint bounds an answer that is looked at for a complaint of a request without TLS:
	// nginx's has 650 bytes, without its padding for old browsers 250.
	maxComplaint = 4 << 10
)

// errSpeaksTLS is in the chain of the error of a request without TLS to a target that expects it.
var errSpeaksTLS = errors.New("what listens there speaks TLS")

// tlsLook is what is known of a plain target: whether it speaks TLS, and when it was tried.
type tlsLook struct {
	worked atomic.Bool // it has answered without
	trying sync.Mutex
	at     time.Time
	speaks bool
}

// plainFault says of a request that was sent without TLS, and had no response, whether the
// workload speaks TLS. Not all servers say so in words, but all take a handshake.
func (w *worker) plainFault(u mezu.Upstream, err error) error {
	refusal, ok := errors.AsType[*mezu.Error](err)
	if !w.to.TryTLS || u.Scheme == mezu.UpstreamHTTPS || u.Network() != "tcp" || w.ctx.Err() != nil {
		return err
	}
	if w.x.Began {
		if l := w.tlsLook(u); w.sayTLS == "" && !l.worked.Load() {
			l.worked.Store(true)
		}
		return err
	}
	if !ok || refusal.Code != mezu.CodeWorkloadReset || !w.speaksTLS(u) {
		return err
	}
	return &mezu.Error{Code: mezu.CodeWorkloadBadResponse, Detail: "the workload speaks TLS, and its upstream is not https", Cause: fmt.Errorf("%w: write https://%s: %w", errSpeaksTLS, u.Address, err)}
}

// doubts reports whether what u answers to a request without TLS is to be looked at: some servers
// of TLS say in an answer of their own that they want it. One that has answered otherwise is
// looked at no more.
func (w *worker) doubts(u mezu.Upstream) bool {
	return w.to.TryTLS && u.Scheme == mezu.UpstreamHTTP && !w.tlsLook(u).worked.Load()
}

// speaksTLS tries a handshake, unless that was done a short while ago or another request is about
// to. Nothing is said over it.
func (w *worker) speaksTLS(u mezu.Upstream) bool {
	l := w.tlsLook(u)
	if l.worked.Load() || !l.trying.TryLock() {
		return false
	}
	defer l.trying.Unlock()
	if now := time.Now(); l.at.IsZero() || now.Sub(l.at) >= tryAgain {
		l.at, l.speaks = now, shakes(w.ctx, u)
	}
	return l.speaks
}

func (w *worker) tlsLook(u mezu.Upstream) *tlsLook {
	if w.secure == nil || w.secured != u || w.securing != w.to {
		l, _ := w.to.secure.LoadOrStore(u, &tlsLook{})
		w.secure, w.secured, w.securing = l.(*tlsLook), u, w.to
	}
	return w.secure
}

// shakes reports whether a target takes a TLS handshake.
func shakes(ctx context.Context, u mezu.Upstream) bool {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	conn, err := Dial(ctx, &net.Dialer{}, u, tryTimeout)
	if err != nil {
		return false
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil
}
