package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward/hint"
	"github.com/mezusphere/mezu/relay"
)

// hints gives who recognises what is in the way of requests to u, nil for nobody: it is about
// one target.
func (w *worker) hints(u mezu.Upstream) *hint.Watcher {
	if u != w.to.Upstream {
		return nil
	}
	return w.to.Hints
}

// looking is the edge's side of an exchange that is looked at as it passes.
type looking struct {
	*relay.Client
	w    *worker
	body taped // of the request, if that is recorded
}

func (l *looking) Deliver(h *relay.ResponseHead, body relay.Source, closing bool) error {
	return l.w.deliver(h, body, closing)
}

// Interim sends a 1xx response. None goes before the answer to a preflight, which says no more
// than what that is about.
func (l *looking) Interim(h *relay.ResponseHead) error {
	if l.w.asks {
		return nil
	}
	l.w.tellInterim(h)
	return l.Client.Interim(h)
}

// downstream is the edge's side of an exchange.
func (w *worker) downstream(u mezu.Upstream) relay.Downstream {
	w.doubted = w.doubts(u)
	if w.watcher = w.hints(u); w.watcher == nil && !w.asks && w.rec == nil && !w.doubted {
		return &w.c
	}
	return &w.looking
}

// deliver sends a response on, and shows its beginning to whoever recognises it.
func (w *worker) deliver(h *relay.ResponseHead, body relay.Source, closing bool) error {
	if w.asks {
		return w.deliverPreflight(h, body, closing)
	}
	watcher := w.watcher
	suspects := watcher != nil && watcher.Suspects(h.Status, h.Length)
	wantsTLS := w.doubted && h.Status == statusBadRequest && h.Length <= maxComplaint
	if !suspects && !wantsTLS || !looks(h) {
		return w.send(h, body, closing)
	}
	l := &lookedAt{Source: body, show: func(text []byte) {
		if suspects {
			watcher.Answer(h.Status, w.req.Host, w.req.Path.Path, text)
		}
		if wantsTLS && hint.PlainToTLS(string(text)) {
			w.sayTLS = w.pooled.Address
		}
	}}
	defer l.end()
	return w.send(h, l, closing)
}

// looks reports whether a response's fields say that it can be looked at.
func looks(h *relay.ResponseHead) bool {
	var kind, encoding string
	for i := range h.Fields {
		switch f := &h.Fields[i]; {
		case f.Is("content-type"):
			kind = string(f.Value)
		case f.Is("content-encoding"):
			encoding = string(f.Value)
		}
	}
	return hint.Looks(kind, encoding)
}

// lookedAt is a body whose beginning is shown once it has passed.
type lookedAt struct {
	relay.Source
	text []byte
	show func([]byte)
}

func (l *lookedAt) Next() ([]byte, error) {
	piece, err := l.Source.Next()
	if l.show != nil {
		l.text = append(l.text, piece[:min(len(piece), hint.MaxLook-len(l.text))]...)
		if len(l.text) == hint.MaxLook {
			l.end()
		}
	}
	return piece, err
}

func (l *lookedAt) end() {
	if l.show != nil {
		l.show(l.text)
		l.text, l.show = nil, nil
	}
}

// explain tells whoever recognises it how a request to u ended.
func (w *worker) explain(u mezu.Upstream, err error) {
	watcher := w.hints(u)
	if watcher == nil {
		return
	}
	if w.x.Began { // and nothing is made for what is not in the way
		watcher.Worked()
		return
	}
	refusal, isRefusal := errors.AsType[*mezu.Error](err)
	distrusted, isDistrusted := errors.AsType[*tls.CertificateVerificationError](err)
	dial, isDial := errors.AsType[*net.OpError](err)
	switch {
	case w.ctx.Err() != nil, !isRefusal:
	case isDistrusted:
		watcher.Distrusted(distrusted.Err)
	case errors.As(err, new(tls.RecordHeaderError)):
		watcher.Plain()
	case errors.Is(err, errSpeaksTLS):
		watcher.TLS()
	case refusal.Code == mezu.CodeWorkloadRefused && isDial && dial.Op == "dial":
		watcher.Refuses()
	case refusal.Code == mezu.CodeWorkloadBadResponse && w.req.Upgrade != "":
		watcher.Upgrade(w.req.Host, w.req.Path.Path)
	case refusal.Code == mezu.CodeWorkloadBadResponse, refusal.Code == mezu.CodeWorkloadReset:
		if watcher.MayTryTLS() {
			w.f.beside.Go(func() { w.f.tryTLS(u, watcher) })
		}
	}
}

// tryTLS finds out, beside the request, whether a target that is spoken to without TLS expects
// it. Not all servers say so in words, but all take a handshake.
func (f *Forwarder) tryTLS(u mezu.Upstream, watcher *hint.Watcher) {
	ctx, cancel := context.WithTimeout(f.life, tryTimeout)
	defer cancel()
	if shakes(ctx, u) {
		watcher.TLS()
	}
}
