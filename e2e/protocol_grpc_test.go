package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mezusphere/mezu"
)

// grpcMessage is larger than the messages of the tests: 4 MiB and some.
const grpcMessage = 8 << 20

// grpcDetails is how much a status may bring along: less than a head, and more than
// small servers take.
const grpcDetails = 20 << 10

// grpcWorkload is a gRPC server without TLS with the behaviours that the tests
// need.
type grpcWorkload struct {
	addr    string
	entered chan struct{} // a call of Wait came
	left    chan error    // why the context of a call of Wait ended
}

// grpcService is what the methods are registered on.
type grpcService interface{}

// newGRPCWorkload serves until the test ends.
func newGRPCWorkload(t *testing.T, options ...grpc.ServerOption) *grpcWorkload {
	t.Helper()
	wl := &grpcWorkload{entered: make(chan struct{}, 10), left: make(chan error, 10)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wl.addr = l.Addr().String()
	srv := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(grpcMessage), grpc.MaxSendMsgSize(grpcMessage))...)
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "mezu.test.Echo",
		HandlerType: (*grpcService)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Unary", Handler: wl.unary},
			{MethodName: "Fail", Handler: wl.fail},
			{MethodName: "Wait", Handler: wl.wait},
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "Down", Handler: wl.down, ServerStreams: true},
			{StreamName: "Up", Handler: wl.up, ClientStreams: true},
			{StreamName: "Both", Handler: wl.both, ServerStreams: true, ClientStreams: true},
		},
	}, wl)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	return wl
}

type decoder = func(any) error

// unary echoes its message, and the metadata as header and trailer.
func (wl *grpcWorkload) unary(_ any, ctx context.Context, decode decoder, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.BytesValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	echo := metadata.MD{}
	for _, name := range []string{"tag", "tag-bin", "x-forwarded-for", "x-forwarded-proto"} {
		echo["seen-"+name] = md.Get(name)
	}
	grpc.SetHeader(ctx, echo)
	grpc.SetTrailer(ctx, metadata.Pairs("end", "yes", "end-bin", "\x00\xff"))
	return in, nil
}

// fail answers with an error before anything else, so that the whole response is
// one header section.
func (wl *grpcWorkload) fail(_ any, ctx context.Context, decode decoder, _ grpc.UnaryServerInterceptor) (any, error) {
	grpc.SetTrailer(ctx, metadata.Pairs("why", "because", "details", strings.Repeat("d", grpcDetails)))
	return nil, status.Error(codes.FailedPrecondition, "not now: 100 % sure, naïve\n")
}

// wait waits until the call is given up.
func (wl *grpcWorkload) wait(_ any, ctx context.Context, decode decoder, _ grpc.UnaryServerInterceptor) (any, error) {
	wl.entered <- struct{}{}
	<-ctx.Done()
	wl.left <- ctx.Err()
	return nil, status.FromContextError(ctx.Err()).Err()
}

// down sends as many messages as asked for, then fails if asked for 13.
func (wl *grpcWorkload) down(_ any, s grpc.ServerStream) error {
	in := new(wrapperspb.UInt32Value)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	for i := range in.Value {
		if err := s.SendMsg(wrapperspb.UInt32(i)); err != nil {
			return err
		}
	}
	s.SetTrailer(metadata.Pairs("sent", fmt.Sprint(in.Value), "details", strings.Repeat("d", grpcDetails)))
	if in.Value == 13 {
		return status.Error(codes.DataLoss, "after the last message")
	}
	return nil
}

// up answers with the number of bytes that it was sent.
func (wl *grpcWorkload) up(_ any, s grpc.ServerStream) error {
	sum := uint64(0)
	for {
		in := new(wrapperspb.BytesValue)
		err := s.RecvMsg(in)
		if err == io.EOF {
			return s.SendMsg(wrapperspb.UInt64(sum))
		}
		if err != nil {
			return err
		}
		sum += uint64(len(in.Value))
	}
}

// both answers each message at once, and tells when the stream breaks.
func (wl *grpcWorkload) both(_ any, s grpc.ServerStream) error {
	for {
		in := new(wrapperspb.BytesValue)
		err := s.RecvMsg(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			wl.left <- err
			return err
		}
		if err := s.SendMsg(in); err != nil {
			return err
		}
	}
}

// grpc is a client through one edge.
func (w *world) grpc(t *testing.T, e *edgeNode) *grpc.ClientConn {
	t.Helper()
	dial := dialTo(e.https)
	c, err := grpc.NewClient("passthrough:///"+w.host,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.roots})),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, "tcp", addr) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(grpcMessage), grpc.MaxCallSendMsgSize(grpcMessage)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestGRPC sends every kind of call through an edge to a gRPC server behind
// h2c.
func TestGRPC(t *testing.T) {
	t.Parallel()
	wl := newGRPCWorkload(t)
	w := newWorld(t, 1, mezu.Route{Prefix: grpcPrefix}, mezu.Route{Name: "limited", Prefix: grpcPrefix, Headers: map[string]string{"limited": "yes"}, WAF: mezu.WAFBlock,
		RateLimit: &mezu.RateLimit{Requests: 2, Per: mezu.Duration(time.Hour), By: mezu.LimitByIP}})
	w.addGate("gate", "h2c://"+wl.addr)
	c := w.grpc(t, w.edges[0])
	for _, test := range []struct {
		name string
		run  func(*testing.T, *grpc.ClientConn, *grpcWorkload)
	}{
		{"unary", grpcUnary}, {"error", grpcError}, {"server streaming", grpcDown}, {"client streaming", grpcUp},
		{"ping-pong", grpcPingPong}, {"deadline", grpcDeadline}, {"cancel", grpcCancel}, {"cancel of a stream", grpcCancelStream}, {"beside", grpcBeside}, {"limited", grpcLimited},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c, wl) })
	}
}

const grpcPrefix = "/mezu.test.Echo/"

func grpcUnary(t *testing.T, c *grpc.ClientConn, _ *grpcWorkload) {
	for _, size := range []int{0, 1, 5000, 4 << 20} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ctx = metadata.AppendToOutgoingContext(ctx, "tag", "one", "tag", "two", "tag-bin", "\x00\x01\xfe", "x-forwarded-for", "203.0.113.7")
		sent := bytes.Repeat([]byte{'m'}, size)
		var header, trailer metadata.MD
		got := new(wrapperspb.BytesValue)
		err := c.Invoke(ctx, grpcPrefix+"Unary", wrapperspb.Bytes(sent), got, grpc.Header(&header), grpc.Trailer(&trailer))
		cancel()
		if err != nil || !bytes.Equal(got.Value, sent) {
			t.Fatalf("echo of %d bytes came back as %d: %v", size, len(got.Value), err)
		}
		if strings.Join(header["seen-tag"], " ") != "one two" || strings.Join(header["seen-tag-bin"], "|") != "\x00\x01\xfe" {
			t.Errorf("the workload saw the metadata %q", header)
		}
		if strings.Join(header["seen-x-forwarded-for"], "|") != "127.0.0.1" || strings.Join(header["seen-x-forwarded-proto"], "|") != "https" {
			t.Errorf("the workload saw the forwarded fields %q", header)
		}
		if strings.Join(trailer["end"], "|") != "yes" || strings.Join(trailer["end-bin"], "|") != "\x00\xff" {
			t.Errorf("the trailer is %q", trailer)
		}
	}
}

func grpcError(t *testing.T, c *grpc.ClientConn, _ *grpcWorkload) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var trailer metadata.MD
	err := c.Invoke(ctx, grpcPrefix+"Fail", wrapperspb.Bytes([]byte("x")), new(wrapperspb.BytesValue), grpc.Trailer(&trailer))
	if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "not now: 100 % sure, naïve\n" {
		t.Errorf("the status is %v", s)
	}
	if strings.Join(trailer["why"], "|") != "because" || len(strings.Join(trailer["details"], "|")) != grpcDetails {
		t.Errorf("the trailer is %q", trailer)
	}
	err = c.Invoke(ctx, grpcPrefix+"NoSuch", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that isn't there gives %v", err)
	}
}

func grpcDown(t *testing.T, c *grpc.ClientConn, _ *grpcWorkload) {
	for _, n := range []uint32{0, 1, 13, 3000} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, grpcPrefix+"Down")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.SendMsg(wrapperspb.UInt32(n)), s.CloseSend()); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			got := new(wrapperspb.UInt32Value)
			if err := s.RecvMsg(got); err != nil || got.Value != i {
				t.Fatalf("message %d of %d is %d, %v", i, n, got.Value, err)
			}
		}
		err = s.RecvMsg(new(wrapperspb.UInt32Value))
		if want := codes.DataLoss; n == 13 && status.Code(err) != want || n != 13 && err != io.EOF {
			t.Errorf("after %d messages the stream ends with %v", n, err)
		}
		if got := strings.Join(s.Trailer()["sent"], "|"); got != fmt.Sprint(n) {
			t.Errorf("the trailer is %q", s.Trailer())
		}
		cancel()
	}
}

func grpcUp(t *testing.T, c *grpc.ClientConn, _ *grpcWorkload) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, grpcPrefix+"Up")
	if err != nil {
		t.Fatal(err)
	}
	want := uint64(0)
	for i := range 500 {
		p := make([]byte, i*37%20000)
		want += uint64(len(p))
		if err := s.SendMsg(wrapperspb.Bytes(p)); err != nil {
			t.Fatal(err)
		}
	}
	got := new(wrapperspb.UInt64Value)
	if err := errors.Join(s.CloseSend(), s.RecvMsg(got)); err != nil || got.Value != want {
		t.Errorf("the workload received %d of %d bytes: %v", got.Value, want, err)
	}
}

// grpcPingPong sends each message only when the one before was answered: nothing
// on the way may wait for more.
func grpcPingPong(t *testing.T, c *grpc.ClientConn, _ *grpcWorkload) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, grpcPrefix+"Both")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		sent := bytes.Repeat([]byte{byte(i)}, i*53)
		if err := s.SendMsg(wrapperspb.Bytes(sent)); err != nil {
			t.Fatal(err)
		}
		got := new(wrapperspb.BytesValue)
		if err := s.RecvMsg(got); err != nil || !bytes.Equal(got.Value, sent) {
			t.Fatalf("answer %d of %d bytes came back as %d: %v", i, len(sent), len(got.Value), err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
		t.Errorf("the stream ends with %v", err)
	}
}

func grpcDeadline(t *testing.T, c *grpc.ClientConn, wl *grpcWorkload) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := c.Invoke(ctx, grpcPrefix+"Wait", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the call ends with %v", err)
	}
	select {
	case <-wl.entered:
	case <-time.After(patience):
		t.Fatal("the call never came to the workload")
	}
	wl.sawEnd(t)
}

func (wl *grpcWorkload) sawEnd(t *testing.T) {
	t.Helper()
	select {
	case <-wl.left:
	case <-time.After(patience):
		t.Error("the workload never learned that the call was given up")
	}
}

func grpcCancel(t *testing.T, c *grpc.ClientConn, wl *grpcWorkload) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Invoke(ctx, grpcPrefix+"Wait", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue)) }()
	select {
	case err := <-done:
		t.Fatalf("the call ended by itself: %v", err)
	case <-wl.entered:
	}
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("the call ends with %v", err)
	}
	wl.sawEnd(t)
}

func grpcCancelStream(t *testing.T, c *grpc.ClientConn, wl *grpcWorkload) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, grpcPrefix+"Both")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SendMsg(wrapperspb.Bytes([]byte("x"))), s.RecvMsg(new(wrapperspb.BytesValue))); err != nil {
		t.Fatal(err)
	}
	cancel()
	wl.sawEnd(t)
}

// grpcBeside runs streams beside one another on one connection of HTTP/2.
func grpcBeside(t *testing.T, c *grpc.ClientConn, wl *grpcWorkload) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var streams []grpc.ClientStream
	for range 50 {
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, grpcPrefix+"Both")
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for round := range 3 {
		for i, s := range streams {
			if err := s.SendMsg(wrapperspb.Bytes([]byte{byte(i), byte(round)})); err != nil {
				t.Fatal(err)
			}
		}
		for i, s := range streams {
			got := new(wrapperspb.BytesValue)
			if err := s.RecvMsg(got); err != nil || !bytes.Equal(got.Value, []byte{byte(i), byte(round)}) {
				t.Fatalf("stream %d received %v: %v", i, got.Value, err)
			}
		}
	}
	for _, s := range streams {
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
			t.Errorf("a stream ends with %v", err)
		}
	}
}

// grpcLimited: a stream counts once for its route's limit and is judged once by its firewall, however many
// messages it has, and goes on while others are refused.
func grpcLimited(t *testing.T, c *grpc.ClientConn, _ *grpcWorkload) {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "limited", "yes"), patience)
	defer cancel()
	begin := func() (grpc.ClientStream, error) {
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, grpcPrefix+"Both")
		if err != nil {
			t.Fatal(err)
		}
		return s, turn(s)
	}
	s, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := turn(s); err != nil {
			t.Fatal(err)
		}
	}
	if head, err := s.Header(); err != nil || strings.Join(head["ratelimit"], "|") != `"default";r=1;t=1800` || strings.Join(head["ratelimit-policy"], "|") != `"default";q=2;w=3600` {
		t.Errorf("the head of the first stream is %v, %v", head, err)
	}
	if _, err := begin(); err != nil {
		t.Errorf("a second stream: %v", err)
	}
	if _, err := begin(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "429") {
		t.Errorf("a third stream: %v", err)
	}
	if err := turn(s); err != nil {
		t.Errorf("the first stream, after another was refused: %v", err)
	}
}

// turn sends a message on a stream of Both, and takes its answer. A firewall that looked at it would take
// it for an attack.
func turn(s grpc.ClientStream) error {
	sent := []byte("1' UNION SELECT password FROM users -- ")
	got := new(wrapperspb.BytesValue)
	s.SendMsg(wrapperspb.Bytes(sent)) // what goes wrong is told by what follows
	if err := s.RecvMsg(got); err != nil {
		return err
	}
	if !bytes.Equal(got.Value, sent) {
		return fmt.Errorf("%q came back", got.Value)
	}
	return nil
}
