package e2e

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// peersDir has the programs of others that are held against an edge, and what drives them.
const peersDir = "../tools/peers"

// parts is an installation that real programs speak HTTP/2 with.
type parts struct {
	*world
	e *edgeNode
	// leaving is another edge, which ends before the test does.
	leaving *edgeNode
	// h1 and h2c are the same workload behind either version of HTTP. A request gets to the second
	// one if it says so.
	h1, h2c *talker
	grpc    *grpcWorkload
	data    *partsData
	goOn    chan struct{} // closed to have /parts/pausing end
	// repositories is the folder with those of git.
	repositories string
	peers        programs
}

// A request with this field is for the workload that speaks HTTP/2.
const toH2CName, toH2CValue = "X-Workload", "h2c"

// A call with this value of the field is for the gRPC server whose connections end at connectionAge.
const toAging = "aging"

// TestParts has programs of others speak HTTP/2 with an edge, and through it and a Warpgate with
// workloads. Each is at a version that is installed for it: Debian's packages, the lock file and
// the module of tools/peers.
func TestParts(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *parts)
	}{
		{"h2spec", h2spec}, {"grpc-go", grpcInterop}, {"grpc-js", grpcJS}, {"grpcio", grpcIO}, {"deadline at the server", serverDeadline}, {"connection age", connectionAges}, {"silent stream", silentStream},
		{"registry", containerRegistry}, {"git", gitClone}, {"stripe-go and slack-go", webhookSigners},
		{"curl", curl("curl")}, {"curl-next", curl(nextCurl)}, {"nghttp", nghttp}, {"h2load", h2load},
		{"node", nodeHTTP2}, {"node and GOAWAY", nodeGoAway}, {"python-h2", pythonH2}, {"python-httpx", pythonHTTPX},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, p)
		})
	}
}

func newParts(t *testing.T) *parts {
	t.Helper()
	d := newPartsData(t)
	p := &parts{grpc: newGRPCWorkload(t), data: d, goOn: make(chan struct{}), peers: buildPeers(t)}
	p.h1, p.h2c = p.newWorkload(t, false), p.newWorkload(t, true)
	interop, registry := p.peers.serve(t, "interop"), p.peers.serve(t, "registry")
	p.repositories = t.TempDir()
	git := newGitServer(t, p.repositories).Listener.Addr().String()
	aging := newGRPCWorkload(t, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: connectionAge}))
	targets := map[string]string{"h2c": "h2c://" + p.h2c.addr(), "grpc": "h2c://" + p.grpc.addr, "aging": "h2c://" + aging.addr, "interop": "h2c://" + interop,
		"registry": registry, "git": git}
	p.world = newWorld(t, 2, open,
		mezu.Route{Name: "h2c", Prefix: "/", Headers: map[string]string{toH2CName: toH2CValue}, Upstream: targets["h2c"]},
		mezu.Route{Name: "grpc", Prefix: grpcPrefix, Upstream: targets["grpc"]},
		mezu.Route{Name: "h2spec", Prefix: "/h2c/", Upstream: targets["h2c"]},
		mezu.Route{Name: "aging", Prefix: grpcPrefix, Headers: map[string]string{toH2CName: toAging}, Upstream: targets["aging"]},
		mezu.Route{Prefix: "/hooks/stripe", Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:pay"}, Upstream: targets["h2c"]},
		mezu.Route{Prefix: "/hooks/slack", Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:chat"}},
		mezu.Route{Name: "registry", Prefix: "/v2/", Upstream: registry}, mezu.Route{Name: "git", Prefix: gitPrefix, Upstream: git},
		mezu.Route{Name: "interop", Prefix: "/grpc.testing.", Upstream: targets["interop"]})
	var allow []string
	for _, target := range targets {
		allow = append(allow, "--allow-target", target)
	}
	p.addGate("gate", p.h1.addr(), allow...)
	p.e, p.leaving = p.edges[0], p.edges[1]
	return p
}

// port is that of the edge.
func (p *parts) port() string {
	_, port, _ := net.SplitHostPort(p.e.https)
	return port
}

// at is the address of a path, with the port at which the edge listens.
func (p *parts) at(path string) string { return "https://" + p.host + ":" + p.port() + path }

// programs is the folder with the programs of tools/peers.
type programs string

// buildPeers builds the programs of tools/peers.
func buildPeers(t *testing.T) programs {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-C", peersDir, "-trimpath", "-o", dir+string(filepath.Separator), "./...").CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", peersDir, err, out)
	}
	return programs(dir)
}

func (p programs) path(name string) string { return filepath.Join(string(p), name) }

// serve runs a program as a server, and gives its address.
func (p programs) serve(t *testing.T, name string, args ...string) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	startWith(t, name, nil, p.path(name), append([]string{"-listen", addr}, args...)...)
	listening(t, addr)
	return addr
}

// output runs a program for a while at most, and gives what it writes.
func output(t *testing.T, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	var out, log testkit.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 4000
	if len(s) > most {
		s = "…" + strings.ToValidUTF8(s[len(s)-most:], "")
	}
	return s
}

// python is one that has modules of Debian's packages.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	for _, program := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(program, "-c", "import "+strings.Join(modules, ", ")).Run() == nil {
			return program
		}
	}
	testkit.Missing(t, "python3 with "+strings.Join(modules, ", "))
	return ""
}
