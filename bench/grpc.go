package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Names of figures about calls.
const (
	figUnary     = "calls/s"
	figLeanCalls = "calls/s of a lean client (h2load)"
)

const (
	// unaryCall is the method that is called: 1 KiB comes back.
	callService, callMethod = "mezu.bench.Load", "Small"
	unaryCall               = "/" + callService + "/" + callMethod
	// callConnections each carry callsAtOnce calls at a time.
	callConnections, callsAtOnce = h2Connections, h2Streams
)

// takeGRPC makes unary calls through edge and Warpgate and through a ReverseProxy that
// speaks h2c to the same server.
func takeGRPC(ctx context.Context, b *bench, round int) error {
	if !b.have() {
		return errNotOurs
	}
	server, addr, err := b.startHelper("calls")
	if err != nil {
		return err
	}
	defer server.stop()
	proxy, front, err := b.startHelper("goproxy", "-upstream", addr, "-cert", b.pair.cert, "-key", b.pair.key, "-h2c")
	if err != nil {
		return err
	}
	defer proxy.stop()
	targets := []target{{name: nameGoProxy, host: referenceHost, addr: front, secure: true, h2: true, procs: []*process{proxy}}}
	for _, name := range []string{nameBefore, nameOurs} {
		in := b.installations()[name]
		if in == nil {
			continue
		}
		w, t, err := in.addWorkload(ctx, fmt.Sprintf("grpc-%d", round), "h2c://"+addr)
		if err != nil {
			return err
		}
		defer w.stop()
		t.name, w.name = name, b.warpgate.name // in tables
		targets = append(targets, t)
	}
	return inTurn(ctx, round, targets, func(t target) error { return b.takeCalls(ctx, round, t) })
}

func (b *bench) takeCalls(ctx context.Context, round int, t target) error {
	conns, err := dialCalls(ctx, t)
	defer conns.close()
	if err != nil {
		return err
	}
	before, err := t.usage()
	if err != nil {
		return err
	}
	took, length, err := callAtOnce(ctx, conns, b.o.length)
	if err != nil {
		return err
	}
	b.results.put(round, "grpc", t.name, figUnary, float64(len(took))/length.Seconds())
	b.results.put(round, "grpc", t.name, figP50, percentile(took, 50))
	b.results.put(round, "grpc", t.name, figP99, percentile(took, 99))
	if err := errors.Join(b.putCPU(round, "grpc", figCPU, t, before, float64(len(took))/100_000),
		b.putCalls(round, "grpc", figCalls, t, before, float64(len(took)))); err != nil {
		return err
	}
	lean, err := leanCalls(ctx, b.dir, t, b.o.length)
	if err != nil {
		return err
	}
	b.results.put(round, "grpc", t.name, figLeanCalls, lean.perSecond)
	return lean.failed()
}

// leanCalls makes the same calls by h2load, which shows what of a rate is grpc-go's at the
// client. It does not look at trailers.
func leanCalls(ctx context.Context, dir string, t target, length time.Duration) (load, error) {
	message := filepath.Join(dir, "call")
	if err := os.WriteFile(message, make([]byte, 5), 0o600); err != nil { // the head of an empty one
		return load{}, err
	}
	return h2loadOf(ctx, dir, t, length, unaryCall, "-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers")
}

// keepCalling is calls as a load of some length.
func keepCalling(ctx context.Context, _ string, t target, length time.Duration) (load, error) {
	conns, err := dialCalls(ctx, t)
	defer conns.close()
	if err != nil {
		return load{}, err
	}
	_, _, err = callAtOnce(ctx, conns, length)
	return load{}, err
}

// callers are connections of gRPC.
type callers []*grpc.ClientConn

func (c callers) close() {
	for _, conn := range c {
		conn.Close()
	}
}

// dialCalls makes connections with a good call each. They are to be closed, also with an
// error.
func dialCalls(ctx context.Context, t target) (callers, error) {
	config := clientTLS(t, protocolH2)
	config.ServerName = "" // of the authority
	var conns callers
	for range callConnections {
		c, err := grpc.NewClient("passthrough:///"+t.addr, grpc.WithTransportCredentials(credentials.NewTLS(config)),
			grpc.WithAuthority(t.authority()), grpc.WithNoProxy())
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		if err := awaitCall(ctx, c); err != nil {
			return conns, err
		}
	}
	return conns, nil
}

// awaitCall waits for a first good call.
func awaitCall(ctx context.Context, c *grpc.ClientConn) error {
	var last error
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(pollPause) {
		if last = call(ctx, c); last == nil {
			return nil
		}
	}
	return errors.Join(ctx.Err(), last)
}

func call(ctx context.Context, c *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out := new(wrapperspb.BytesValue)
	if err := c.Invoke(ctx, unaryCall, wrapperspb.Bytes(nil), out); err != nil {
		return err
	}
	if len(out.Value) != smallSize {
		return fmt.Errorf("a message of %d bytes", len(out.Value))
	}
	return nil
}

// callAtOnce calls over all connections and gives sorted milliseconds. The first failure
// is one of all.
func callAtOnce(ctx context.Context, conns callers, length time.Duration) ([]float64, time.Duration, error) {
	atOnce := len(conns) * callsAtOnce
	took, errs := make([][]float64, atOnce), make([]error, atOnce)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range atOnce {
		wg.Go(func() {
			for errs[i] == nil && time.Since(begin) < length {
				at := time.Now()
				errs[i] = call(ctx, conns[i%len(conns)])
				took[i] = append(took[i], milliseconds(time.Since(at)))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	return all, time.Since(begin), errors.Join(errs...)
}

// runCallsWorkload is a server of gRPC without TLS. It says its address.
func runCallsWorkload(ctx context.Context, _ []string, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	small := wrapperspb.Bytes(make([]byte, smallSize))
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: callService, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: callMethod,
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return small, decode(new(wrapperspb.BytesValue))
		}}}}, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Fprintln(out, l.Addr())
	<-ctx.Done()
	server.Stop()
	return <-served
}
