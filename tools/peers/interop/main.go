// Command interop runs the interop tests of grpc-go through something in between: as the server of
// them, without TLS, or as a client that is reached by another address than its name.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// large is what a message may be: those of 4 MiB, and what is around them.
const large = 8 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "", "address at which to serve the tests")
	addr := flag.String("addr", "", "address of what is in between")
	host := flag.String("host", "", "name of the server")
	ca := flag.String("ca", "", "file of the CA that its certificate is from")
	flag.Parse()
	if *listen != "" {
		return serve(*listen)
	}
	conn, err := dial(*addr, *host, *ca)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, c := range cases {
		if flag.NArg() > 0 && flag.Arg(0) != c.name {
			continue
		}
		// What fails in a case of grpc-go ends the process, and says why.
		fmt.Println("begin", c.name)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := c.run(ctx, conn)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Println("passed", c.name)
	}
	return nil
}

func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(large), grpc.MaxSendMsgSize(large))
	testpb.RegisterTestServiceServer(srv, interop.NewTestServer())
	return srv.Serve(l)
}

func dial(addr, host, ca string) (*grpc.ClientConn, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(large), grpc.MaxCallSendMsgSize(large)))
}

// theirs makes a case of one of grpc-go.
func theirs(run func(context.Context, testpb.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) error {
	return func(ctx context.Context, conn *grpc.ClientConn) error {
		run(ctx, testpb.NewTestServiceClient(conn))
		return nil
	}
}

// cases are those of grpc-go that no cloud's credentials are needed for, and some more.
var cases = []struct {
	name string
	run  func(context.Context, *grpc.ClientConn) error
}{
	{"empty_unary", theirs(interop.DoEmptyUnaryCall)},
	{"large_unary", theirs(interop.DoLargeUnaryCall)},
	{"client_streaming", theirs(interop.DoClientStreaming)},
	{"server_streaming", theirs(interop.DoServerStreaming)},
	{"ping_pong", theirs(interop.DoPingPong)},
	{"empty_stream", theirs(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", theirs(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", theirs(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", theirs(interop.DoCancelAfterFirstResponse)},
	{"status_code_and_message", theirs(interop.DoStatusCodeAndMessage)},
	{"special_status_message", theirs(interop.DoSpecialStatusMessage)},
	{"custom_metadata", theirs(interop.DoCustomMetadata)},
	{"unimplemented_method", func(ctx context.Context, conn *grpc.ClientConn) error {
		interop.DoUnimplementedMethod(ctx, conn)
		return nil
	}},
	{"unimplemented_service", func(ctx context.Context, conn *grpc.ClientConn) error {
		interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(conn))
		return nil
	}},
	{"four_mebibytes", fourMebibytes},
	{"every_status_code", everyStatusCode},
	{"deadline_on_its_way", deadlineOnItsWay},
}

// fourMebibytes sends and gets messages of 4 MiB.
func fourMebibytes(ctx context.Context, conn *grpc.ClientConn) error {
	const size = 4 << 20
	reply, err := testpb.NewTestServiceClient(conn).UnaryCall(ctx, &testpb.SimpleRequest{
		ResponseType: testpb.PayloadType_COMPRESSABLE, ResponseSize: size, Payload: interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, size)})
	if err != nil {
		return err
	}
	if n := len(reply.GetPayload().GetBody()); n != size {
		return fmt.Errorf("the reply has %d bytes", n)
	}
	return nil
}

// everyStatusCode has the server end calls with each code, and with a message that has to be escaped.
func everyStatusCode(ctx context.Context, conn *grpc.ClientConn) error {
	const message = "why: 100 % naïve\t\r\n"
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		_, err := testpb.NewTestServiceClient(conn).UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: int32(code), Message: message}})
		if s := status.Convert(err); s.Code() != code || s.Message() != message {
			return fmt.Errorf("%v comes back as %v with %q", code, s.Code(), s.Message())
		}
	}
	return nil
}

// deadlineOnItsWay has calls end by their deadline in the midst of messages, and the same connection
// goes on.
func deadlineOnItsWay(ctx context.Context, conn *grpc.ClientConn) error {
	client := testpb.NewTestServiceClient(conn)
	for i := range 20 {
		began, err := overdue(metadata.AppendToOutgoingContext(ctx, "round", fmt.Sprint(i)), client, time.Duration(i)*5*time.Millisecond)
		// At the deadline a server resets its stream with CANCEL, which may come a moment before the
		// client notices by itself. Before the server's answer that is a 502.
		if got := status.Code(err); got != codes.DeadlineExceeded && (began || got != codes.Unavailable) {
			return fmt.Errorf("round %d ends with %w", i, err)
		}
	}
	_, err := client.EmptyCall(ctx, &testpb.Empty{})
	return err
}

// overdue has a call end by its deadline, and says whether anything came before.
func overdue(ctx context.Context, client testpb.TestServiceClient, within time.Duration) (began bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	stream, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{ResponseType: testpb.PayloadType_COMPRESSABLE, ResponseParameters: []*testpb.ResponseParameters{
		{Size: 1000}, {Size: 100_000, IntervalUs: 20_000}, {Size: 100_000, IntervalUs: 1_000_000},
	}})
	for err == nil {
		_, err = stream.Recv()
		began = began || err == nil
	}
	return began, err
}
