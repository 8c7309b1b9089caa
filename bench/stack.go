package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// edgeDomain is the domain of the endpoints. Nothing looks it up: every client
// here connects to an address.
const edgeDomain = "localhost"

// maxConns is the cap of data connections of a Warpgate: idleSockets at once need
// more than the default.
const maxConns = "4096"

// callRate is a limit of calls that no measure reaches: what lies behind it is measured.
const callRate = "1000000"

// programs are the built programs and where they came from.
type programs struct{ mezusphere, warpgate, mezu string }

// programsIn are those that lie in a directory.
func programsIn(dir string) (programs, error) {
	dir, err := filepath.Abs(dir)
	return programs{filepath.Join(dir, "mezusphere"), filepath.Join(dir, "warpgate"), filepath.Join(dir, "mezu")}, err
}

// build makes the programs as they are shipped. With an overlay they get what the
// overlay adds.
func build(ctx context.Context, dir, overlay string) (programs, error) {
	p := programs{filepath.Join(dir, "mezusphere"), filepath.Join(dir, "warpgate"), filepath.Join(dir, "mezu")}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", dir}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	const module = "github.com/mezusphere/mezu/cmd/"
	cmd := exec.CommandContext(ctx, "go", append(args, module+"mezusphere", module+"warpgate", module+"mezu")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return p, fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return p, nil
}

// installation is a control plane and its edge, set up with one environment.
type installation struct {
	dir           string
	bin           programs
	inside        []string // what starts a program where the Warpgates are, if that is elsewhere
	control, edge *process // the same one for "mezusphere all"
	api           string   // host:port
	https         string   // host:port of the edge
	ca            string   // file
	key           string   // file with the service account key
	client        *api.Client
	token         string // of the operator
	host          string // of the endpoint
}

// startControl starts a control plane on a fresh state and sets up the environment.
// Of a flag that is given twice the last one counts.
func startControl(ctx context.Context, dir string, bin programs, more ...string) (*installation, error) {
	in := &installation{dir: dir, bin: bin}
	if err := in.prepare(); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "control")
	var err error
	args := []string{bin.mezusphere, "control", "--state", state, "--api-addr", in.api,
		"--domain", edgeDomain, "--public-port", port(in.https), "--admin-addr", "", "--call-rate", callRate, "--log-level", "warn"}
	in.control, err = start(dir, "control", false, profileSocket(dir, "control"), append(args, more...)...)
	if err != nil {
		return in, err
	}
	return in, in.setUp(ctx, state)
}

// startInstallation starts control plane and edge as two processes, on a fresh
// state, and sets up one environment with one public route.
func startInstallation(ctx context.Context, dir string, bin programs) (*installation, error) {
	in, err := startControl(ctx, dir, bin)
	if err != nil {
		return in, err
	}
	if in.edge, err = in.startEdge(ctx, "edge", in.https, "", "--max-conns", maxConns); err != nil {
		return in, err
	}
	_, err = in.edge.awaitListening(ctx, in.https)
	return in, err
}

// startEdge starts an edge on a fresh state directory of that name.
func (in *installation) startEdge(ctx context.Context, name, https, admin string, more ...string) (*process, error) {
	join, err := api.Invoke[api.JoinTokenResponse](ctx, in.client, api.OpCreateJoinToken, nil)
	if err != nil {
		return nil, err
	}
	token := filepath.Join(in.dir, name+".join")
	if err := os.WriteFile(token, []byte(join.Token), 0o600); err != nil {
		return nil, err
	}
	args := []string{in.bin.mezusphere, "edge", "--state", filepath.Join(in.dir, name), "--control", "https://" + in.api,
		"--ca-file", in.ca, "--join-token-file", token, "--name", name, "--https-addr", https, "--admin-addr", admin, "--log-level", "warn"}
	return start(in.dir, name, false, profileSocket(in.dir, name), append(args, more...)...)
}

// startAll starts both in one process, and sets up the same.
func startAll(ctx context.Context, dir string, bin programs) (*installation, error) {
	in := &installation{dir: dir, bin: bin}
	if err := in.prepare(); err != nil {
		return nil, err
	}
	var err error
	in.edge, err = start(dir, "all", false, nil, bin.mezusphere, "all", "--state", dir, "--api-addr", in.api, "--domain", edgeDomain,
		"--public-port", port(in.https), "--https-addr", in.https, "--admin-addr", "", "--edge-admin-addr", "", "--log-level", "warn")
	if err != nil {
		return in, err
	}
	in.control = in.edge
	return in, in.setUp(ctx, filepath.Join(dir, "control"))
}

func (in *installation) prepare() (err error) {
	if in.api, err = freeAddr(); err != nil {
		return err
	}
	in.https, err = freeAddr()
	return err
}

// stop ends what runs.
func (in *installation) stop() {
	if in == nil {
		return
	}
	in.edge.stop()
	if in.control != in.edge {
		in.control.stop()
	}
}

// setUp comes in by the bootstrap link and makes an environment with a route.
func (in *installation) setUp(ctx context.Context, state string) error {
	code, err := in.bootstrapCode(ctx, filepath.Join(state, "bootstrap"))
	if err != nil {
		return err
	}
	in.ca = filepath.Join(state, "ca.pem")
	roots, err := trust.LoadRoots(in.ca)
	if err != nil {
		return err
	}
	in.client, err = api.NewClient(api.ClientConfig{BaseURL: "https://" + in.api, TLS: &tls.Config{RootCAs: roots}, UserAgent: "bench",
		Token: func() (string, error) { return in.token, nil }})
	if err != nil {
		return err
	}
	bearer, err := api.Invoke[api.TokenResponse](ctx, in.client, api.OpBootstrap, api.BootstrapRequest{Code: code})
	if err != nil {
		return err
	}
	in.token = bearer.Token
	in.host, in.key, err = in.addEnvironment(ctx, "bench")
	return err
}

// addEnvironment makes an organization of that name with one environment and
// gives its host and the file with a key for Warpgates.
func (in *installation) addEnvironment(ctx context.Context, name string) (host, key string, err error) {
	const project, environment = "load", mezu.EnvironmentProduction
	if _, err := api.Invoke[mezu.Organization](ctx, in.client, api.OpCreateOrganization, mezu.Organization{Name: name}); err != nil {
		return "", "", err
	}
	if _, err := api.Invoke[mezu.Project](ctx, in.client, api.OpCreateProject, mezu.Project{Name: project}, name); err != nil {
		return "", "", err
	}
	made, err := api.Invoke[mezu.Environment](ctx, in.client, api.OpCreateEnvironment, mezu.Environment{Name: environment}, name, project)
	if err != nil {
		return "", "", err
	}
	route := mezu.Route{Prefix: "/"}
	if _, err := api.Invoke[mezu.Route](ctx, in.client, api.OpCreateRoute, route, name, project, environment); err != nil {
		return "", "", err
	}
	account := mezu.ServiceAccount{Name: "warpgate", Permissions: []mezu.Permission{mezu.PermWarpgateRegister}}
	created, err := api.Invoke[api.ServiceAccountCreated](ctx, in.client, api.OpCreateServiceAccount, account, name, project)
	if err != nil {
		return "", "", err
	}
	u, err := url.Parse(made.URL)
	if err != nil {
		return "", "", err
	}
	key = filepath.Join(in.dir, name+".key")
	return u.Hostname(), key, os.WriteFile(key, []byte(created.Key), 0o600)
}

// bootstrapCode waits for the link of a new installation.
func (in *installation) bootstrapCode(ctx context.Context, path string) (string, error) {
	if _, err := in.control.awaitListening(ctx, in.api); err != nil {
		return "", err
	}
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); time.Sleep(pollPause) {
		text, err := os.ReadFile(path)
		if _, code, ok := strings.Cut(strings.TrimSpace(string(text)), "#"); err == nil && ok {
			return code, nil
		}
		if in.control.ended() || ctx.Err() != nil {
			break
		}
	}
	return "", fmt.Errorf("no bootstrap link:\n%s", in.control.tail())
}

// target is the endpoint.
func (in *installation) target(warpgate *process) target {
	return target{name: nameOurs, host: in.host, addr: in.https, secure: true, h2: true, procs: []*process{in.edge, warpgate}}
}

// startWarpgate starts a Warpgate under the state directory of that name.
func (in *installation) startWarpgate(name, workload string, events bool, more ...string) (*process, error) {
	args := append(slices.Clone(in.inside), in.bin.warpgate, "--api", "https://"+in.api, "--ca-file", in.ca, "--token-file", in.key, "--upstream", workload,
		"--state", filepath.Join(in.dir, "state-"+name), "--log-level", "warn")
	if events {
		args = append(args, "--json")
	}
	return start(in.dir, name, events, profileSocket(in.dir, name), append(args, more...)...)
}

// addWorkload makes an environment of that name with a Warpgate for one workload.
func (in *installation) addWorkload(ctx context.Context, name, workload string) (*process, target, error) {
	own := *in
	var err error
	if own.host, own.key, err = in.addEnvironment(ctx, name); err != nil {
		return nil, target{}, err
	}
	w, err := own.startWarpgate(name, workload, false)
	return w, own.target(w), err
}

// awaitGood asks until requests come through, each on a new connection, and says
// when the first of several in a row did.
func awaitGood(ctx context.Context, t target) (time.Time, error) {
	const inRow = 10
	head := t.head("GET", pathSmall, "")
	var last error
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); {
		var began time.Time
		good := 0
		for ; good < inRow; good++ {
			if last = once(ctx, t, head); last != nil {
				break
			}
			if good == 0 {
				began = time.Now()
			}
		}
		if good == inRow {
			return began, nil
		}
		if ctx.Err() != nil {
			return began, ctx.Err()
		}
		time.Sleep(pollPause)
	}
	return time.Time{}, fmt.Errorf("%s serves nothing: %w", t.name, last)
}

// once makes a connection for one request.
func once(ctx context.Context, t target, head []byte) error {
	c, err := dial(ctx, t)
	if err != nil {
		return err
	}
	return errors.Join(c.get(head), c.Close())
}

func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return p
}
