package replica

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

const (
	// issuers is how many certificates are got at a time: an edge that starts
	// anew must not occupy the control plane.
	issuers = 4
	// handshakeWait bounds how long a handshake waits for a certificate that is
	// being got: clients give up after some seconds.
	handshakeWait = 3 * time.Second
	// orderPause lies between a failed try and the next one for the same host;
	// it doubles up to maxOrderPause.
	orderPause    = 5 * time.Second
	maxOrderPause = 5 * time.Minute
	// pairLook is how often a configured certificate's files are looked at.
	pairLook = time.Minute
)

// ErrUnknownServer ends a handshake for a server name that is none of ours.
var ErrUnknownServer = errors.New("no certificate for this server name")

// order is the state of getting one endpoint's certificate.
type order struct {
	done     chan struct{} // closed when the try under way has ended; nil when there is none
	err      error         // of the last try
	pause    time.Duration // after the last failure
	notUntil time.Time     // when the next try may begin
}

// issuer is the queue of endpoints that need a certificate.
type issuer struct {
	mu    sync.Mutex
	queue []*endpoint
	wake  chan struct{}
}

func (i *issuer) init() { i.wake = make(chan struct{}, 1) }

// poke wakes one of the goroutines that wait for the queue.
func (i *issuer) poke() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// PublicCertificate gives the certificate for a TLS handshake with the public. It
// fits tls.Config.GetCertificate. Without a configured pair only known hosts have
// one; when it is missing it is got from the control plane, for which a handshake
// waits a short time. Other names get ErrUnknownServer.
func (r *Replica) PublicCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := hello.ServerName
	if r.pair != nil {
		s := r.self.Load()
		if s == nil || len(host) <= len(s.suffix) || !strings.EqualFold(host[len(host)-len(s.suffix):], s.suffix) {
			return nil, ErrUnknownServer
		}
		return r.pair.get(r.log), nil
	}
	e := r.endpoint(host)
	if e == nil {
		if e = r.endpoint(strings.ToLower(host)); e == nil {
			return nil, ErrUnknownServer
		}
	}
	if c := e.public.Load(); c != nil && r.now().Before(c.Leaf.NotAfter) {
		return c, nil
	}
	return r.awaitCertificate(hello.Context(), e)
}

// awaitCertificate waits for a certificate that is missing or has ended.
func (r *Replica) awaitCertificate(ctx context.Context, e *endpoint) (*tls.Certificate, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	done, err := r.orderFirst(e)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(handshakeWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		return nil, fmt.Errorf("getting the certificate of endpoint %s takes too long", e.label)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := e.public.Load(); c != nil && r.now().Before(c.Leaf.NotAfter) {
		return c, nil
	}
	r.issuer.mu.Lock()
	defer r.issuer.mu.Unlock()
	return nil, fmt.Errorf("getting the certificate of endpoint %s: %w", e.label, e.order.err)
}

// orderFirst puts an endpoint at the head of the queue, unless it failed a moment
// ago. The channel is closed when the try has ended.
func (r *Replica) orderFirst(e *endpoint) (<-chan struct{}, error) {
	i := &r.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	if e.order.done != nil {
		return e.order.done, nil
	}
	if e.order.err != nil && r.now().Before(e.order.notUntil) {
		return nil, fmt.Errorf("getting the certificate of endpoint %s: %w", e.label, e.order.err)
	}
	e.order.done = make(chan struct{})
	i.queue = append([]*endpoint{e}, i.queue...)
	i.poke()
	return e.order.done, nil
}

// orderCertificate queues an endpoint whose certificate is missing or due for
// renewal.
func (r *Replica) orderCertificate(e *endpoint) {
	now := r.now()
	if c := e.public.Load(); c != nil && now.Before(renewal(c.Leaf)) {
		return
	}
	i := &r.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	if e.order.done != nil || now.Before(e.order.notUntil) {
		return
	}
	e.order.done = make(chan struct{})
	i.queue = append(i.queue, e)
	i.poke()
}

// orderCertificates looks for endpoints whose certificate is missing or due.
func (r *Replica) orderCertificates() {
	if r.pair != nil {
		return
	}
	for e := range r.hosts.all {
		r.orderCertificate(e)
	}
}

// retryCertificates forgets pauses after failures: the control plane is back.
func (r *Replica) retryCertificates() {
	if r.pair != nil {
		return
	}
	r.issuer.mu.Lock()
	for e := range r.hosts.all {
		e.order.notUntil, e.order.pause = time.Time{}, 0
	}
	r.issuer.mu.Unlock()
	r.orderCertificates()
}

// issue works the queue off until ctx ends.
func (r *Replica) issue(ctx context.Context) {
	i := &r.issuer
	for {
		i.mu.Lock()
		var e *endpoint
		if len(i.queue) > 0 {
			e, i.queue = i.queue[0], i.queue[1:]
			if len(i.queue) > 0 {
				i.poke()
			}
		}
		i.mu.Unlock()
		if e == nil {
			select {
			case <-i.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		r.finishOrder(ctx, e, r.obtain(ctx, e))
	}
}

// finishOrder notes how a try ended and wakes who waits for it.
func (r *Replica) finishOrder(ctx context.Context, e *endpoint, err error) {
	if err != nil && ctx.Err() == nil {
		r.log.Warn("getting the certificate of an endpoint; trying again", "endpoint", e.label, "error", err)
	}
	r.issuer.mu.Lock()
	defer r.issuer.mu.Unlock()
	o := &e.order
	close(o.done)
	o.done, o.err = nil, err
	if err == nil {
		o.pause, o.notUntil = 0, time.Time{}
		return
	}
	o.pause = min(max(2*o.pause, orderPause), maxOrderPause)
	o.notUntil = r.now().Add(o.pause/2 + rand.N(o.pause/2))
}

// obtain gets one certificate and keeps it.
func (r *Replica) obtain(ctx context.Context, e *endpoint) error {
	if r.hosts.get(e.label) != e {
		return nil // taken off meanwhile
	}
	s := r.self.Load()
	host := e.label + s.suffix
	key, keyPEM, err := trust.NewKey()
	if err != nil {
		return err
	}
	csr, err := trust.CSR(key)
	if err != nil {
		return err
	}
	resp, err := api.Invoke[api.PublicCertificateResponse](ctx, s.client, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: csr, Hosts: []string{host}})
	if err != nil {
		return fmt.Errorf("asking for a certificate of %s: %w", host, err)
	}
	cert, err := serverPair([]byte(resp.Certificates), keyPEM, host)
	if err != nil {
		return err
	}
	if r.hosts.get(e.label) != e {
		return nil
	}
	e.public.Store(cert)
	r.save(r.path(certsDir, e.label+".pem"), bytes.Join([][]byte{[]byte(resp.Certificates), keyPEM}, []byte("\n")))
	return nil
}

// serverPair parses a chain and key and checks that they are the host's.
func serverPair(chain, key []byte, host string) (*tls.Certificate, error) {
	cert, err := trust.KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	if err := cert.Leaf.VerifyHostname(host); err != nil {
		return nil, fmt.Errorf("judging a certificate: %w", err)
	}
	return cert, nil
}

// loadCertificates reads the certificates of the endpoints that were loaded;
// those of others are removed.
func (r *Replica) loadCertificates() {
	entries, err := os.ReadDir(r.path(certsDir))
	if err != nil {
		r.log.Error("reading the state directory", "folder", certsDir, "error", err)
		return
	}
	suffix := r.self.Load().suffix
	for _, entry := range entries {
		label, ok := strings.CutSuffix(entry.Name(), ".pem")
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		path := r.path(certsDir, entry.Name())
		e := r.hosts.get(label)
		if e == nil {
			if err := removeFile(path); err != nil {
				r.log.Error("tidying the state directory", "error", err)
			}
			continue
		}
		content, err := readKey(path)
		var cert *tls.Certificate
		if err == nil {
			cert, err = serverPair(content, content, label+suffix)
		}
		if err != nil {
			r.setAside(path, err)
			continue
		}
		e.public.Store(cert)
	}
}

// pair is a configured certificate that is read again when its files change.
type pair struct {
	certFile, keyFile string
	now               func() time.Time
	cert              atomic.Pointer[tls.Certificate]
	next              atomic.Int64 // when to look again, in Unix nanoseconds

	mu      sync.Mutex // held while looking
	changed [2]stamp
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// openPair reads the files for the first time.
func openPair(certFile, keyFile string, now func() time.Time) (*pair, error) {
	p := &pair{certFile: certFile, keyFile: keyFile, now: now}
	if err := p.read(); err != nil {
		return nil, err
	}
	p.next.Store(now().Add(pairLook).UnixNano())
	return p, nil
}

// get is the certificate in use. One handshake each pairLook sees whether the
// files have changed.
func (p *pair) get(log *slog.Logger) *tls.Certificate {
	now := p.now()
	if next := p.next.Load(); now.UnixNano() >= next && p.next.CompareAndSwap(next, now.Add(pairLook).UnixNano()) {
		if err := p.read(); err != nil {
			log.Error("reading the configured certificate again; the one in use stays", "error", err)
		}
	}
	return p.cert.Load()
}

// read takes the files over if they are not those in use.
func (p *pair) read() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stamps [2]stamp
	for i, file := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("reading the configured certificate: %w", err)
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	if p.cert.Load() != nil && stamps == p.changed {
		return nil
	}
	cert, err := trust.LoadKeyPair(p.certFile, p.keyFile)
	if err != nil {
		return err
	}
	p.cert.Store(cert)
	p.changed = stamps
	return nil
}
