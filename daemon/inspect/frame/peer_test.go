package frame_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // registers it
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tap is a connection that keeps what passes.
type tap struct {
	net.Conn
	mu       sync.Mutex
	in, sent []byte
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in = append(t.in, b[:n]...)
	return n, err
}

func (t *tap) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.sent = append(t.sent, b...)
	t.mu.Unlock()
	return t.Conn.Write(b)
}

// streams are what passed behind the heads, from client and server, and what was agreed on.
func (t *tap) streams(tb testing.TB) (client, server []byte, extensions string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, client, _ = bytes.Cut(t.sent, []byte("\r\n\r\n"))
	head, server, ok := bytes.Cut(t.in, []byte("\r\n\r\n"))
	if !ok {
		tb.Fatalf("no head in %q", t.in)
	}
	for line := range strings.Lines(string(head)) {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Sec-WebSocket-Extensions") {
			extensions = strings.TrimSpace(value)
		}
	}
	return client, server, extensions
}

// said are messages that compress well, by themselves and with what was said before, and badly.
func said() []string {
	var out []string
	for i := range 40 {
		out = append(out, fmt.Sprintf(`{"type":"update","updates":[{"type":"js-update","path":"/src/App%d.tsx","timestamp":%d}]}`, i, i*i))
	}
	random := make([]byte, 50_000)
	rand.Read(random)
	return append(out, "", strings.Repeat("long ", 10_000), fmt.Sprintf("%x", random[:20_000]), "é", out[0])
}

// dial dials through a tap.
func dial(into **tap) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			*into = &tap{Conn: conn}
			conn = *into
		}
		return conn, err
	}
}

// echoCoder and echoGorilla answer each message with itself.
func echoCoder(mode coder.CompressionMode) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 20)
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	}
}

func echoGorilla(w http.ResponseWriter, r *http.Request) {
	conn, err := (&gorilla.Upgrader{EnableCompression: true}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, data) != nil {
			return
		}
	}
}

// talkCoder and talkGorilla say all messages and hear them.
func talkCoder(mode coder.CompressionMode) func(t *testing.T, url string) *tap {
	return func(t *testing.T, url string) *tap {
		var wire *tap
		transport := &http.Transport{DialContext: dial(&wire)}
		defer transport.CloseIdleConnections()
		conn, _, err := coder.Dial(t.Context(), url, &coder.DialOptions{HTTPClient: &http.Client{Transport: transport}, CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadLimit(1 << 20)
		for _, m := range said() {
			if err := conn.Write(t.Context(), coder.MessageText, []byte(m)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := conn.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close(coder.StatusNormalClosure, "bye")
		return wire
	}
}

func talkGorilla(t *testing.T, url string) *tap {
	var wire *tap
	d := gorilla.Dialer{NetDialContext: dial(&wire), EnableCompression: true}
	conn, _, err := d.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, m := range said() {
		if err := conn.WriteMessage(gorilla.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	conn.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(1000, "bye"))
	conn.ReadMessage()
	return wire
}

// TestWebSocket_Libraries reads what two libraries say to one another, compressed in each way.
func TestWebSocket_Libraries(t *testing.T) {
	takeover, alone := coder.CompressionContextTakeover, coder.CompressionNoContextTakeover
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		talk  func(*testing.T, string) *tap
		with  string // a part of what is agreed on
	}{
		"coder, takeover":    {echoCoder(takeover), talkCoder(takeover), "permessage-deflate"},
		"coder, none":        {echoCoder(alone), talkCoder(alone), "no_context_takeover"},
		"coder, plain":       {echoCoder(coder.CompressionDisabled), talkCoder(takeover), ""},
		"gorilla":            {echoGorilla, talkGorilla, "server_no_context_takeover"},
		"gorilla with coder": {echoGorilla, talkCoder(takeover), "client_no_context_takeover"},
		"coder with gorilla": {echoCoder(takeover), talkGorilla, "permessage-deflate"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			defer server.Close()
			client, back, extensions := c.talk(t, server.URL).streams(t)
			if (extensions == "") != (c.with == "") || !strings.Contains(extensions, c.with) {
				t.Fatalf("agreed on %q", extensions)
			}
			for out, stream := range map[bool][]byte{false: client, true: back} {
				p := frame.NewWebSocket(extensions, out)
				got := all(p, stream, 333)
				var texts []string
				for _, f := range got {
					if f.Problem != "" {
						t.Errorf("%s", f.Problem)
					}
					if f.Kind == mezu.FrameText {
						texts = append(texts, string(f.Data))
					}
				}
				want := said()
				if len(texts) != len(want) { // what is random is another time
					t.Fatalf("%d messages of %d, %d frames", len(texts), len(want), len(got))
				}
				for i := range want {
					if i != 42 && texts[i] != want[i] {
						t.Fatalf("message %d: %.100q", i, texts[i])
					}
				}
				if last := got[len(got)-1]; !out && last.Kind != mezu.FrameClose {
					t.Errorf("ends with %s", last.Kind)
				}
			}
		})
	}
}

// TestWebSocket_Bomb goes on behind a message that grows too much, if others don't depend on it.
func TestWebSocket_Bomb(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mode := coder.CompressionNoContextTakeover
		if r.URL.Path == "/takeover" {
			mode = coder.CompressionContextTakeover
		}
		conn, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			return
		}
		for _, m := range []string{"before", strings.Repeat("\x00", 16<<20), "behind"} {
			conn.Write(r.Context(), coder.MessageText, []byte(m))
		}
		conn.Close(coder.StatusNormalClosure, "")
	}))
	defer server.Close()
	for path, want := range map[string]string{"/": "", "/takeover": "it is compressed with the help of one before, which could not be decompressed"} {
		var wire *tap
		transport := &http.Transport{DialContext: dial(&wire)}
		mode := coder.CompressionNoContextTakeover
		if path == "/takeover" {
			mode = coder.CompressionContextTakeover
		}
		conn, _, err := coder.Dial(t.Context(), server.URL+path, &coder.DialOptions{HTTPClient: &http.Client{Transport: transport}, CompressionMode: mode})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadLimit(32 << 20)
		for range 3 {
			if _, _, err := conn.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		conn.CloseNow()
		transport.CloseIdleConnections()
		_, back, extensions := wire.streams(t)
		got := all(frame.NewWebSocket(extensions, true), back, 1000)
		if len(got) < 3 || string(got[0].Data) != "before" || got[1].Problem == "" || len(got[1].Data) > mezu.MaxKeptFrame || got[2].Problem != want {
			t.Errorf("%s: %d frames, %q, %q", path, len(got), got[1].Problem, got[2].Problem)
		}
	}
}

// TestGRPC_Library reads what grpc-go sends.
func TestGRPC_Library(t *testing.T) {
	for _, compressor := range []string{"", "gzip"} {
		bodies := make(chan []byte, 1)
		encodings := make(chan string, 1)
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies <- body
			encodings <- r.Header.Get("Grpc-Encoding")
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "0")
		}))
		server.Config.Protocols = &protocols
		server.Start()
		conn, err := grpc.NewClient(server.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		options := []grpc.CallOption{grpc.UseCompressor(compressor)}
		if compressor == "" {
			options = nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/shop.v1.Orders/Watch", options...)
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{"one", strings.Repeat("two ", 1000), ""}
		for _, s := range texts {
			if err := stream.SendMsg(wrapperspb.String(s)); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		got := all(frame.NewGRPC(<-encodings), <-bodies, 100)
		var sizes []int64
		for _, f := range got {
			if f.Problem != "" || f.Kind != mezu.FrameMessage || int64(len(f.Data)) != f.Size {
				t.Errorf("%q: %s", compressor, shown(f))
			}
			sizes = append(sizes, f.Size)
		}
		if !slices.Equal(sizes, []int64{5, 4003, 0}) {
			t.Errorf("%q: sizes %d", compressor, sizes)
		}
		cancel()
		conn.Close()
		server.Close()
	}
}
