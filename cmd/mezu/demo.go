package main

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of the demo workload. Everybody whom the route lets in reaches it through the
// edge, so it has the limits that a workload should have.
const (
	demoHeaderTime = 10 * time.Second
	demoDrain      = 5 * time.Second
	// maxEcho bounds what is sent back: enough to see that bodies pass.
	maxEcho = 64 << 20
	// sseInterval and sseEvents make a stream that can be watched, and ends.
	sseInterval = time.Second
	sseEvents   = 60
)

// demo is the workload of "mezu dev" without a port: a page that shows the
// request it got, and one address for each way in which HTTP is used.
type demo struct {
	listener net.Listener
	server   *http.Server
	// closing ends streams and upgraded connections, which the server's own shutdown
	// doesn't end.
	closing  context.Context
	closeNow context.CancelFunc
	sockets  sync.WaitGroup
}

// listenDemo binds a free port of this machine.
func listenDemo() (*demo, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the demo workload: %w", err)
	}
	d := &demo{listener: l}
	d.closing, d.closeNow = context.WithCancel(context.Background())
	d.server = &http.Server{Handler: d.handler(), ReadHeaderTimeout: demoHeaderTime, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	return d, nil
}

// Addr is host:port of the demo.
func (d *demo) Addr() string { return d.listener.Addr().String() }

// Run serves until ctx ends, then lets requests end.
func (d *demo) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, d.closeNow)
	defer stop()
	served := make(chan error, 1)
	go d.serve(served)
	var err error
	select {
	case <-ctx.Done():
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoDrain)
		defer cancel()
		if d.server.Shutdown(late) != nil {
			d.Close()
		}
		<-served
	case err = <-served:
		d.Close()
	}
	d.sockets.Wait()
	return err
}

func (d *demo) serve(served chan<- error) {
	err := d.server.Serve(d.listener)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	served <- err
}

// Close cuts everything. It is idempotent.
func (d *demo) Close() {
	d.closeNow()
	d.server.Close()
	d.listener.Close()
}

func (d *demo) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", showRequest)
	mux.HandleFunc("/echo", echoBody)
	mux.HandleFunc("/events", d.sendEvents)
	mux.HandleFunc("GET /socket", d.echoSocket)
	return mux
}

//go:embed demo.html
var demoPage string

// showRequest answers with the request as the workload got it: a page for
// browsers, plain text for everyone else.
func showRequest(w http.ResponseWriter, r *http.Request) {
	var lines []string
	for name, values := range r.Header {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	slices.Sort(lines)
	head := r.Method + " " + r.URL.RequestURI() + " " + r.Proto + "\nHost: " + r.Host + "\n" + strings.Join(lines, "\n") + "\n"
	w.Header().Set("Cache-Control", "no-store")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, head)
		return
	}
	page, err := template.New("demo").Parse(demoPage)
	if err != nil {
		http.Error(w, "the page is broken", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'")
	page.Execute(w, head) // an error means that the client left
}

// echoBody sends the body back as it comes.
func echoBody(w http.ResponseWriter, r *http.Request) {
	if t := r.Header.Get("Content-Type"); t != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	c := http.NewResponseController(w)
	c.EnableFullDuplex() // HTTP/2 always is
	buf := make([]byte, 32<<10)
	body := io.LimitReader(r.Body, maxEcho)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil || c.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// sendEvents is a stream of server-sent events.
func (d *demo) sendEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	c := http.NewResponseController(w)
	tick := time.NewTicker(sseInterval)
	defer tick.Stop()
	for i := range sseEvents {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i, time.Now().Format(time.RFC3339)); err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-d.closing.Done():
			return
		}
	}
}

// websocketGUID is what RFC 6455, 1.3 mixes into the accept key.
const websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// echoSocket upgrades to WebSocket and sends every message back.
func (d *demo) echoSocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" || r.Header.Get("Sec-WebSocket-Version") != "13" {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this address speaks WebSocket", http.StatusUpgradeRequired)
		return
	}
	d.sockets.Add(1) // while the server still counts this connection
	defer d.sockets.Done()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot be upgraded", http.StatusNotImplemented)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(d.closing, func() { conn.Close() })()
	sum := sha1.Sum([]byte(key + websocketGUID))
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if err == nil {
		echoFrames(conn, buffered.Reader)
	}
}
