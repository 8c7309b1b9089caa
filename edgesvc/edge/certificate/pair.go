package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// pairLook is how often a configured certificate's files are looked at.
const pairLook = time.Minute

// pair is a configured certificate that is read again when its files change.
type pair struct {
	certFile, keyFile string
	now               func() time.Time
	cert              atomic.Pointer[tls.Certificate]
	next              atomic.Int64 // when to look again, in Unix nanoseconds

	mu      sync.Mutex // held while looking
	changed [2]stamp
}

// stamp is different for different contents of a file, as far as its directory shows.
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

// get is the certificate in use. Every pairLook one handshake checks whether the files have
// changed.
func (p *pair) get(log *slog.Logger) *tls.Certificate {
	now := p.now()
	if next := p.next.Load(); now.UnixNano() >= next && p.next.CompareAndSwap(next, now.Add(pairLook).UnixNano()) {
		if err := p.read(); err != nil {
			log.Error("reading the configured certificate again; the one in use stays", "error", err)
		}
	}
	return p.cert.Load()
}

// read reads the files if they have changed.
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

// noticeInterval is how often the end of a configured certificate is said again.
const noticeInterval = 24 * time.Hour

// noticeEnd says at once and then every day that a configured certificate ends within a week, or
// has ended, until ctx ends.
func (p *pair) noticeEnd(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(noticeInterval)
	defer tick.Stop()
	for {
		end := p.get(log).Leaf.NotAfter
		if notice := mezu.EndNoticeOf(end, p.now()); notice != "" {
			log.Warn(notice, "what", "the certificate of the endpoints", "at", end.UTC().Format(time.RFC3339), "try", "renew the file of --tls-cert; it is read again by itself")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
