package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mezusphere/mezu/testkit"
)

// interopCases is how many cases tools/peers/interop has.
const interopCases = 17

// grpcInterop runs the interop tests of grpc-go: their client speaks with the edge, and their
// server is a workload of h2c.
func grpcInterop(t *testing.T, p *parts) {
	args := []string{"-addr", p.e.https, "-host", p.host, "-ca", p.caFile()}
	out, log, err := output(t, p.peers.path("interop"), args...)
	if err != nil {
		t.Errorf("%v\n%s%s", err, out, tail(log))
	}
	if n := strings.Count(out, "passed "); n != interopCases {
		t.Errorf("%d cases passed, and not %d:\n%s", n, interopCases, out)
	}
}

// grpcCases are what the other clients of gRPC do.
var grpcCases = []string{"unary", "large", "status", "down", "up", "both", "cancel", "deadline"}

// grpcJS and grpcIO have others call the gRPC server of TestGRPC.
func grpcJS(t *testing.T, p *parts) {
	testkit.Programs(t, "node")
	if _, err := os.Stat(peersDir + "/node_modules/@grpc/grpc-js"); err != nil {
		testkit.Missing(t, "grpc-js")
	}
	p.scriptedOnce(t, grpcCases, false, "node", peersDir+"/node/grpc.mjs")
}

func grpcIO(t *testing.T, p *parts) {
	p.scriptedOnce(t, grpcCases, false, python(t, "grpc"), peersDir+"/python/grpcclient.py")
}

// connectionAge is how old connections of a gRPC server may become: as in production it is so that
// load is spread anew, only sooner.
const connectionAge = 700 * time.Millisecond

// connectionAges: no call fails while the workload ends each of its connections after a moment.
func connectionAges(t *testing.T, p *parts) {
	lasts := 4 * connectionAge
	if os.Getenv(soakVariable) != "" {
		lasts = time.Minute
	}
	c := p.world.grpc(t, p.e)
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), toH2CName, toAging), lasts+patience)
	defer cancel()
	var calls atomic.Int64
	var callers sync.WaitGroup
	end := time.Now().Add(lasts)
	for _, call := range callerKinds {
		for range 3 {
			callers.Go(func() {
				for time.Now().Before(end) {
					if err := call(ctx, c); err != nil {
						t.Errorf("call %d fails: %v", calls.Load(), err)
						return
					}
					calls.Add(1)
				}
			})
		}
	}
	callers.Wait()
	if calls.Load() < 20 {
		t.Errorf("there were %d calls", calls.Load())
	}
	t.Log(calls.Load(), "calls")
}

// callerKinds are calls as connectionAges makes them.
var callerKinds = []func(context.Context, *grpc.ClientConn) error{
	func(ctx context.Context, c *grpc.ClientConn) error {
		return c.Invoke(ctx, grpcPrefix+"Unary", wrapperspb.Bytes([]byte("x")), new(wrapperspb.BytesValue))
	},
	func(ctx context.Context, c *grpc.ClientConn) error {
		return c.Invoke(ctx, grpcPrefix+"Unary", wrapperspb.Bytes(make([]byte, 100_000)), new(wrapperspb.BytesValue))
	},
	func(ctx context.Context, c *grpc.ClientConn) error {
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, grpcPrefix+"Both")
		if err != nil {
			return err
		}
		for range 20 {
			if err := errors.Join(s.SendMsg(wrapperspb.Bytes(make([]byte, 3000))), s.RecvMsg(new(wrapperspb.BytesValue))); err != nil {
				return err
			}
		}
		return s.CloseSend()
	},
}

// silence is longer than it takes a gRPC server to end a connection on which a client asks
// whether it is there more often than every five minutes: it lets three such PINGs pass.
const silence = 25 * time.Second

// silentStream: a stream on which nothing is said goes on, and the server's enforcement of its keepalive
// policy has nothing against what the Warpgate asks meanwhile.
func silentStream(t *testing.T, p *parts) {
	c := p.world.grpc(t, p.e)
	ctx, cancel := context.WithTimeout(t.Context(), silence+patience)
	defer cancel()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, grpcPrefix+"Both")
	if err != nil {
		t.Fatal(err)
	}
	if err := turn(s); err != nil {
		t.Fatal(err)
	}
	<-time.After(silence)
	if err := turn(s); err != nil {
		t.Errorf("after %v of silence: %v", silence, err)
	}
}

// serverDeadline: a call whose deadline passes at the server is given up there, and the client learns that
// it was no failure: its stream is reset with CANCEL, or has that status.
func serverDeadline(t *testing.T, p *parts) {
	out, in := io.Pipe()
	defer in.Close()
	go in.Write([]byte("\x00\x00\x00\x00\x00")) // a message, empty
	req, err := http.NewRequest("POST", "https://"+p.host+grpcPrefix+"Both", out)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Timeout": {"300m"}}
	resp := do(t, p.http2(p.e), req)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	reset := new(http2.StreamError)
	canceled := errors.As(err, reset) && reset.Code == http2.ErrCodeCancel
	told := err == nil && resp.Trailer.Get("Grpc-Status") == fmt.Sprint(int(codes.DeadlineExceeded)) // the method noticed first
	if resp.StatusCode != 200 || len(answer) != 5 || !canceled && !told {
		t.Errorf("the answer is %d with %d bytes, and ends with %v and %v", resp.StatusCode, len(answer), err, resp.Trailer)
	}
}
