package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// startH2 serves what the workload does, over HTTP/2.
func startH2(t *testing.T) target {
	t.Helper()
	small := bytes.Repeat([]byte("x"), smallSize)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathSmall, func(w http.ResponseWriter, _ *http.Request) { w.Write(small) })
	mux.HandleFunc("GET "+pathBytes, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(filepath.Base(r.URL.Path), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		sendBody(w, make([]byte, copySize), n)
	})
	mux.HandleFunc("POST "+pathSink, func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != r.ContentLength {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it says what floods it ends
	server.StartTLS()
	t.Cleanup(server.Close)
	return target{host: "a", addr: server.Listener.Addr().String(), secure: true, h2: true}
}

// TestH2Conn has the client of HTTP/2 speak to net/http's server.
func TestH2Conn(t *testing.T) {
	c, err := dialH2(t.Context(), startH2(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	const size = 3<<20 + 1
	for name, move := range map[string]func(int) error{
		"small":    func(int) error { return c.ask() },
		"download": func(int) error { return c.download(size) },
		"upload":   func(int) error { return c.upload(size) },
	} {
		if _, err := moveAll(8, move); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := c.request("GET", "/nothing", usualWindow, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.begun(); err == nil {
		t.Error("an answer of 404 passes for a good one")
	}
	// A stream whose window is spent stops none beside it, and goes on when it is given more.
	stalled, err := c.request("GET", pathEndless, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := stalled.begun(); err != nil {
		t.Fatal(err)
	}
	await := func(n int64) {
		for stalled.taken.Load() < n {
			if err := c.ask(); err != nil {
				t.Fatalf("beside a stalled stream: %v", err)
			}
		}
		if got := stalled.taken.Load(); got != n {
			t.Errorf("%d bytes come through a window of %d", got, n)
		}
	}
	await(usualWindow)
	if err := c.more(stalled.id, copySize); err != nil {
		t.Fatal(err)
	}
	await(usualWindow + copySize)
}

// TestH2Socket opens WebSockets as RFC 8441 says, at a server that takes them, and finds out
// that one doesn't.
func TestH2Socket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- echoH2(l) }()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := newH2(raw, target{host: "a", addr: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if !c.extended {
		t.Error("it passes for a server without WebSockets")
	}
	for range 2 {
		if err := c.openSocket(); err != nil {
			t.Error(err)
		}
	}
	c.Close()
	if err := <-served; err != io.EOF {
		t.Error(err)
	}
	plain, err := dialH2(t.Context(), startH2(t))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if plain.extended {
		t.Error("net/http's server passes for one with WebSockets")
	}
}

// echoH2 takes every stream of one connection that is a WebSocket, and sends its bytes back.
func echoH2(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return err
	}
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status := byte(0x80 | 8) // 200 in the static table
			if frame.PseudoValue("method") != "CONNECT" || frame.PseudoValue("protocol") != "websocket" || frame.PseudoValue("path") != pathEcho || frame.StreamEnded() {
				status = 0x80 | 12 // 400
			}
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: []byte{status}, EndHeaders: true})
		case *http2.DataFrame:
			f.WriteData(frame.StreamID, false, frame.Data())
		}
	}
}

// TestFloods: each kind begins as frames that a server can read, a server that ends the
// connection is believed, and one that doesn't is too.
func TestFloods(t *testing.T) {
	to := startH2(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, kind := range floods {
		f := &flooder{t: to}
		f.Framer = http2.NewFramer(&f.out, &f.out)
		f.AllowIllegalWrites = true
		kind.batch(f, 0)
		f.AllowIllegalReads = true
		frames := 0
		for {
			if _, err := f.ReadFrame(); err == io.EOF {
				break
			} else if err != nil && !strings.HasPrefix(kind.name, "made-you-reset") {
				t.Fatalf("%s: frame %d: %v", kind.name, frames, err)
			}
			frames++
		}
		if frames == 0 {
			t.Errorf("%s has no frames", kind.name)
		}
		if kind.name == "HPACK bomb" {
			end, err := floodOnce(ctx, to, kind)
			if err != nil || end.at == 0 {
				t.Errorf("%s ends with %+v, %v", kind.name, end, err)
			}
		}
	}
	begun, end := context.WithCancel(ctx)
	quiet := floodKind{batch: func(_ *flooder, n int) {
		if n == 1 {
			end()
		}
	}}
	if got, err := floodOnce(begun, to, quiet); err != nil || got.at != 0 {
		t.Errorf("a connection that nobody ended: %+v, %v", got, err)
	}
}

// TestCalls has the caller of gRPC speak to its server.
func TestCalls(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	r, w := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- runCallsWorkload(ctx, nil, w) }()
	line := make([]byte, 256)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	c, err := grpc.NewClient("passthrough:///"+strings.TrimSpace(string(line[:n])), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if err := awaitCall(ctx, c); err != nil {
		t.Error(err)
	}
	took, _, err := callAtOnce(ctx, callers{c}, time.Millisecond)
	if err != nil || len(took) == 0 {
		t.Errorf("%d calls, %v", len(took), err)
	}
	c.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
