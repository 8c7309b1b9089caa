package inspect_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
)

// frames are the frames of an exchange: kind, direction and content of each.
func frames(r *inspect.Record) (out []string) {
	page, _, _ := r.Frames(0, mezu.MaxFrames)
	for _, f := range page {
		way := "in"
		if f.Out {
			way = "out"
		}
		out = append(out, fmt.Sprintf("%s %s %.40q", f.Kind, way, f.Data))
	}
	return out
}

// holds reports whether all of want are in got, in this order.
func holds(got, want []string) bool {
	for _, g := range got {
		if len(want) > 0 && g == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// Frames of both ways are seen while the socket is open, by two libraries with compression.
func TestWebSocket(t *testing.T) {
	long := strings.Repeat("compressible ", 5000)
	workloads := map[string]http.HandlerFunc{
		"coder": func(rw http.ResponseWriter, r *http.Request) {
			c, err := coder.Accept(rw, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover, CompressionThreshold: 1})
			if err != nil {
				t.Error(err)
				return
			}
			c.SetReadLimit(1 << 20)
			for {
				kind, text, err := c.Read(context.Background())
				if err != nil {
					return
				}
				if err := c.Write(context.Background(), kind, text); err != nil {
					t.Error(err)
				}
			}
		},
		"gorilla": func(rw http.ResponseWriter, r *http.Request) {
			up := gorilla.Upgrader{EnableCompression: true, CheckOrigin: func(*http.Request) bool { return true }}
			c, err := up.Upgrade(rw, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.EnableWriteCompression(true)
			for {
				kind, text, err := c.ReadMessage()
				if err != nil {
					return
				}
				if err := c.WriteMessage(kind, text); err != nil {
					t.Error(err)
				}
			}
		},
	}
	for name, h := range workloads {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, serve(t, h).URL, inspect.New(inspect.Config{}), nil)
			c, err := dialSocket(w, name)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			for _, text := range []string{"hello", "", long} {
				if err := c.say(text); err != nil {
					t.Fatal(err)
				}
				if got, err := c.hear(); err != nil || got != text {
					t.Fatalf("%.40q, %v", got, err)
				}
			}
			var open *inspect.Record
			eventually(t, "the frames of the open socket", func() bool {
				page, _, _ := w.i.List(inspect.Query{})
				open = page[0]
				return open.FrameCount() == 6
			})
			if !open.Open || open.Kind != mezu.ExchangeWebSocket || open.Status != 101 {
				t.Errorf("%+v", open)
			}
			c.bye()
			r := w.last()
			want := []string{`text in "hello"`, `text out "hello"`, `text in ""`, `text out ""`, fmt.Sprintf("text in %.40q", long), fmt.Sprintf("text out %.40q", long), `close in "\x03\xe8"`}
			if got := frames(r); !holds(got, want) {
				t.Errorf("frames %q", got)
			}
			if f, ok := r.Frame(5); !ok || f.Size != int64(len(long)) || len(f.Data) != min(len(long), mezu.MaxKeptFrame) {
				t.Errorf("frame 5 is %d of %d bytes, %v", len(f.Data), f.Size, ok)
			}
			if !strings.Contains(r.Response.Field("sec-websocket-extensions"), "permessage-deflate") || r.RequestBody.Size != 0 || r.BytesIn == 0 {
				t.Errorf("%q, %d bytes", r.Response.Head, r.BytesIn)
			}
		})
	}
}

// socket is a client of either library.
type socket struct {
	say   func(string) error
	hear  func() (string, error)
	bye   func()
	close func()
}

func dialSocket(w *world, name string) (*socket, error) {
	url := "ws" + strings.TrimPrefix(w.url, "http")
	if name == "coder" {
		c, _, err := coder.Dial(context.Background(), url, &coder.DialOptions{CompressionMode: coder.CompressionContextTakeover, CompressionThreshold: 1})
		if err != nil {
			return nil, err
		}
		c.SetReadLimit(1 << 20)
		return &socket{
			say:   func(s string) error { return c.Write(context.Background(), coder.MessageText, []byte(s)) },
			hear:  func() (string, error) { _, b, err := c.Read(context.Background()); return string(b), err },
			bye:   func() { c.Close(coder.StatusNormalClosure, "") },
			close: func() { c.CloseNow() },
		}, nil
	}
	d := gorilla.Dialer{EnableCompression: true}
	c, _, err := d.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	c.EnableWriteCompression(true)
	return &socket{
		say:  func(s string) error { return c.WriteMessage(gorilla.TextMessage, []byte(s)) },
		hear: func() (string, error) { _, b, err := c.ReadMessage(); return string(b), err },
		bye: func() {
			c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, ""))
			c.ReadMessage()
		},
		close: func() { c.Close() },
	}, nil
}

// Events are there as they come, and the last ones stay.
func TestEvents(t *testing.T) {
	more := make(chan int)
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		n := 0
		for count := range more {
			for range count {
				n++
				fmt.Fprintf(rw, "event: tick\ndata: %d\n\n", n)
			}
			http.NewResponseController(rw).Flush()
		}
	})
	for _, scheme := range []string{"http", "h2c"} {
		w := newWorld(t, scheme+strings.TrimPrefix(s.URL, "http"), inspect.New(inspect.Config{}), nil)
		ended := make(chan struct{})
		go func() { defer close(ended); w.get("/events") }()
		more <- 1
		eventually(t, "the first event", func() bool {
			page, _, _ := w.i.List(inspect.Query{})
			return len(page) > 0 && page[0].Open && page[0].FrameCount() == 1 && page[0].Kind == mezu.ExchangeEvents
		})
		more <- mezu.MaxFrames + 10
		close(more)
		<-ended
		r := w.last()
		page, total, first := r.Frames(0, 1)
		if total != mezu.MaxFrames+11 || first != 12 || len(page) != 1 || string(page[0].Data) != "12" || page[0].Name != "tick" {
			t.Errorf("%d in all, from %d on: %+v", total, first, page)
		}
		if last, ok := r.Frame(total); !ok || string(last.Data) != fmt.Sprint(total) {
			t.Errorf("the last is %+v", last)
		}
		if _, ok := r.Frame(11); ok {
			t.Error("one that had to go is there")
		}
		more = make(chan int)
	}
}

// unary and stream are calls of a service without a schema.
func greet(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	if in.Value == "" {
		return nil, status.Error(codes.InvalidArgument, "nobody to greet")
	}
	return wrapperspb.String("hello " + in.Value), nil
}

func repeat(srv any, stream grpc.ServerStream) error {
	for {
		in := new(wrapperspb.StringValue)
		if stream.RecvMsg(in) != nil {
			return nil
		}
		if err := stream.SendMsg(in); err != nil {
			return err
		}
	}
}

// Messages of both ways, and the status in the trailers.
func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Greeter", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Greet", Handler: greet}},
		Streams: []grpc.StreamDesc{{StreamName: "Repeat", Handler: repeat, ServerStreams: true, ClientStreams: true}}}, nil)
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-served })
	w := newWorld(t, "h2c://"+l.Addr().String(), inspect.New(inspect.Config{}), nil)
	c, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(w.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out := new(wrapperspb.StringValue)
	if err := c.Invoke(t.Context(), "/test.Greeter/Greet", wrapperspb.String("Ada"), out); err != nil || out.Value != "hello Ada" {
		t.Fatal(out, err)
	}
	message := func(s string) string {
		b, err := proto.Marshal(wrapperspb.String(s))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%q", b)
	}
	r := w.last()
	if code, ok := r.GRPCStatus(); !ok || code != 0 || r.Kind != mezu.ExchangeGRPC || !holds(frames(r), []string{"message in " + message("Ada"), "message out " + message("hello Ada")}) {
		t.Errorf("status %d, %v, %s, %q", code, ok, r.Kind, frames(r))
	}
	if err := c.Invoke(t.Context(), "/test.Greeter/Greet", wrapperspb.String(""), out); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	if code, ok := w.last().GRPCStatus(); !ok || code != int(codes.InvalidArgument) {
		t.Errorf("status %d, %v", code, ok)
	}
	s, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Greeter/Repeat")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := s.SendMsg(wrapperspb.String(text)); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(out); err != nil || out.Value != text {
			t.Fatal(out, err)
		}
	}
	s.CloseSend()
	s.RecvMsg(out)
	if r := w.last(); !holds(frames(r), []string{"message in " + message("one"), "message out " + message("one"), "message in " + message("two"), "message out " + message("two")}) {
		t.Errorf("%q", frames(r))
	}
}
