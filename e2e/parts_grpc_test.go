package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// interopCases is how many cases tools/peers/interop has.
const interopCases = 17

// resetCodesPass says that a client learns with which code a workload has reset a stream. gRPC tells by
// it a call that was given up from one that failed. Today each reset is an INTERNAL_ERROR behind the edge.
const resetCodesPass = false

// grpcInterop runs the interop tests of grpc-go: their client speaks with the edge, and their
// server is a workload of h2c.
func grpcInterop(t *testing.T, p *parts) {
	args := []string{"-addr", p.e.https, "-host", p.host, "-ca", p.caFile()}
	if resetCodesPass {
		args = append(args, "-codes-pass")
	}
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
