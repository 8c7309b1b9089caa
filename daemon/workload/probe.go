package workload

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/forward/hint"
)

const (
	// dialWithin bounds the connection, answerWithin the answer: a person waits for both.
	dialWithin   = 2 * time.Second
	answerWithin = time.Second
	// maxAnswer is how much of an answer is looked at.
	maxAnswer = 4 << 10
)

// programFolder is what answers for a folder.
const programFolder = "folder"

// Probe connects to the workload, and says what it finds and how long the connection took. It
// asks for the head of "/", because what speaks first on no side tells nothing by itself.
func (w *Way) Probe(ctx context.Context) (mezu.Workload, time.Duration) {
	if w.Targets.Capture != nil {
		up := true
		return mezu.Workload{Up: &up, Program: mezu.TargetCapture}, 0
	}
	start := time.Now()
	conn, err := forward.Dial(ctx, &net.Dialer{}, w.Targets.Upstream, dialWithin)
	took := time.Since(start)
	is := mezu.Workload{Up: new(bool)}
	if err != nil {
		w.look(ctx, &is, func(h *hint.Watcher) { h.Refuses() })
		return is, took
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	*is.Up = true
	switch {
	case w.Asked.Folder():
		is.Program = programFolder
		return is, took
	case w.Targets.Upstream.Scheme == mezu.UpstreamHTTPS:
		w.shake(ctx, conn, &is)
	case w.Targets.Upstream.Scheme != mezu.UpstreamH2C:
		w.ask(ctx, conn, &is)
	}
	is.Program = w.program(ctx)
	return is, took
}

// look fills in what a hint says.
func (w *Way) look(ctx context.Context, is *mezu.Workload, show func(*hint.Watcher)) {
	show(w.watcher(func(h hint.Hint) {
		f := w.finding(ctx, h)
		is.Code, is.Detail, is.Hint = f.Code, f.Message, f.Hint()
	}))
}

// shake tries the handshake of an https target.
func (w *Way) shake(ctx context.Context, conn net.Conn, is *mezu.Workload) {
	checked := w.Targets.TLS(w.Targets.Upstream) // as of requests
	checked.ServerName, _, _ = net.SplitHostPort(w.Targets.Upstream.Address)
	conn.SetDeadline(time.Now().Add(answerWithin))
	err := tls.Client(conn, checked).HandshakeContext(ctx)
	var distrusted *tls.CertificateVerificationError
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.As(err, &distrusted):
		w.look(ctx, is, func(h *hint.Watcher) { h.Distrusted(distrusted.Err) })
	case errors.As(err, new(tls.RecordHeaderError)):
		w.look(ctx, is, func(h *hint.Watcher) { h.Plain() })
	default:
		is.Code, is.Detail = mezu.CodeWorkloadBadResponse, "what listens at "+w.Targets.Upstream.Address+" does not end the TLS handshake"
	}
}

// ask sends a request and looks at the beginning of the answer. One that takes its time is one,
// too.
func (w *Way) ask(ctx context.Context, conn net.Conn, is *mezu.Workload) {
	host := w.Targets.Upstream.Address
	if w.Targets.Upstream.Scheme == mezu.UpstreamUnix {
		host = "localhost"
	}
	conn.SetDeadline(time.Now().Add(answerWithin))
	_, err := io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: "+host+"\r\nUser-Agent: mezu-probe\r\nConnection: close\r\n\r\n")
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(conn, maxAnswer))
	}
	var late net.Error
	version, rest, _ := strings.Cut(string(text), " ")
	switch {
	case len(text) == 0 && errors.As(err, &late) && late.Timeout():
	case ctx.Err() != nil:
	case strings.HasPrefix(version, "HTTP/"):
		if status, err := strconv.Atoi(rest[:min(len(rest), 3)]); err == nil && status == http.StatusBadRequest {
			w.look(ctx, is, func(h *hint.Watcher) { h.Answer(status, host, "/", text) })
		}
	case w.speaksTLS(ctx):
		w.look(ctx, is, func(h *hint.Watcher) { h.TLS() })
	default:
		is.Code, is.Detail = mezu.CodeWorkloadBadResponse, "what listens at "+w.Asked.Target+" speaks no HTTP"
		is.Hint = w.check()
	}
}

// speaksTLS reports whether the target takes a handshake. Nothing is said over it.
func (w *Way) speaksTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := forward.Dial(ctx, &net.Dialer{}, w.Targets.Upstream, answerWithin)
	if err != nil {
		return false
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil
}
