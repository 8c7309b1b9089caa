package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/edge"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tunnel"
)

// domain is the edge domain of mezu dev. Browsers resolve every name below localhost to
// this machine (RFC 6761, 6.3).
const domain = "localhost"

// loopback is how the parts of a run reach one another. The name and the folder of the
// edge are made of it.
const loopback = "127.0.0.1"

// devRun is one run of "mezu dev".
type devRun struct {
	dev.Options
	log   *slog.Logger
	out   *devOutput
	state string
	// linesLost is how many lines were dropped because nobody read them.
	linesLost func() uint64

	control *control.Control
	edge    *edge.Edge
	tunnels *hosting // of the profile; among them that of this run
	demo    *demo    // nil if the user named a workload
	file    *devFile // nil if the user named none
	// serving is the control plane at work, which the others are set up through.
	serving     *serving
	developer   *developer
	environment mezu.Environment
	key         string // with which the Warpgate registers
	port        int    // of public HTTPS
	mailbox     *mailbox
	socket      string // on which commands reach the tunnels; empty if there is none
	// profileName is the profile's. profiled is the token with which it was written, if it was.
	profileName string
	profiled    atomic.Pointer[string]
	listed      *registered // among all runs
}

// runDev runs everything until ctx ends.
func runDev(ctx, cut context.Context, folders home.Home, o dev.Options, linesLost func() uint64) (err error) {
	if err := process.CheckDescriptors(process.MinWarpgate); err != nil {
		return err
	}
	r := &devRun{Options: o, log: devLogger(o, slog.LevelWarn), linesLost: linesLost, mailbox: newMailbox()}
	r.out = newDevOutput(o, r.log)
	defer context.AfterFunc(ctx, r.out.stopping)()
	defer func() { r.out.stopped(err) }()
	removeAbandoned(time.Now())
	remove, err := r.chooseState(folders)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	all := runsOf(folders, r.Profiles)
	if err := r.claim(ctx, all); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.listed.end()) }()
	listening := false
	defer func() {
		if dead := r.release(); !listening {
			err = errors.Join(err, dead) // why the control plane died is why nobody could be set up
		}
	}()
	if err := r.listen(ctx); errors.Is(err, atomicfile.ErrLocked) {
		return r.lockedState(all, err)
	} else if err != nil {
		return err
	}
	listening = true
	return process.RunParts(ctx, cut, r.parts()...)
}

// parts are the services in the order in which they stop. The edge comes first, because
// it needs the Warpgate for the requests in progress, and the control plane last.
func (r *devRun) parts() []process.Part {
	parts := []process.Part{
		{Name: "waiting for the first request", Run: r.announce},
		{Name: "keeping the token", Run: r.keepToken},
		{Name: "edge", Run: r.runEdge, Close: r.closeEdge},
	}
	parts = append(parts, r.tunnels.parts(r.runTunnels)...)
	if r.file != nil {
		parts = append(parts, process.Part{Name: "watching the file", Run: r.file.watch})
	}
	if r.demo != nil {
		parts = append(parts, process.Part{Name: "demo workload", Run: r.demo.Run, Close: r.demo.Close})
	}
	return append(parts, process.Part{Name: "control plane", Run: r.runControl, Close: func() { r.control.Close() }})
}

// devLogger logs what goes wrong and nothing else: a healthy run shows events. The
// control plane's warnings are left out, because they advise operators.
func devLogger(o dev.Options, level slog.Level) *slog.Logger {
	if o.Quiet {
		level = slog.LevelError
	}
	return process.PlainLogger(o.Err, level)
}

// chooseState chooses the folder for everything that is kept. remove removes it after an
// ephemeral run.
func (r *devRun) chooseState(folders home.Home) (remove func() error, err error) {
	keep := func() error { return nil }
	switch {
	case r.Ephemeral:
		var removeState func() error
		if r.state, removeState, err = makeEphemeral(); err != nil {
			return nil, err
		}
		// The folder of the socket may be elsewhere.
		return func() error {
			return errors.Join(removeState(), os.RemoveAll(filepath.Dir(devSocket(r.state))))
		}, nil
	case r.Options.State != "":
		r.state = r.Path(r.Options.State)
	default:
		r.state = filepath.Join(folders.State, "dev")
	}
	if err := atomicfile.EnsureOwnDir(r.state); err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: fmt.Sprintf("the folder can't be used: %v", err),
			Hint: cmp.Or(atomicfile.Remedy(err), "name another with --state DIR, or use --ephemeral"), Cause: err}
	}
	return keep, nil
}

// listen assembles the services and binds their sockets, the control plane's
// first: the others need its address, its CA and a way in.
func (r *devRun) listen(ctx context.Context) (err error) {
	r.control, err = control.New(control.Config{
		StateDir: filepath.Join(r.state, "control"), APIAddr: r.APIAddr, Domain: domain, PublicPort: r.port,
		APIHosts: []string{"localhost", loopback}, Log: devLogger(r.Options, slog.LevelError).With("service", "control"), Version: version,
		Connections: devConnections().API, LinesLost: r.linesLost, OnMail: r.onMail,
		Pages: map[string]http.Handler{r.mailbox.path: r.mailbox},
	})
	if err != nil {
		return err
	}
	if err := r.control.Listen(); err != nil {
		return err
	}
	r.serving = serve(r.control.Run)
	r.developer, err = newDeveloper(r.apiURL(), r.control.CAFile(), filepath.Join(r.state, tokenFile), r.control.BootstrapCode)
	if err != nil {
		return err
	}
	r.developer.renewed, r.developer.users = r.updateProfile, r.File == nil
	if r.Chosen {
		r.developer.near = r.nearEnvironments()
	}
	if err := r.developer.signIn(ctx); err != nil {
		return fmt.Errorf("issuing a token: %w", err)
	}
	r.environment, r.key, err = r.developer.setUp(ctx, r.Organization, r.Project, r.Environment)
	if errors.Is(err, errMisspelt) {
		return err
	}
	if err != nil {
		return fmt.Errorf("setting up %s/%s/%s: %w", r.Organization, r.Project, r.Environment, err)
	}
	r.out.serves(r.environment.Endpoint + "." + domain)
	if err := r.applyFile(ctx); err != nil {
		return err
	}
	if err := r.listenEdge(); err != nil {
		return err
	}
	return r.makeTunnels()
}

// nearEnvironments are environments that are there or about to be, by the file or by default.
func (r *devRun) nearEnvironments() []string {
	if r.File == nil {
		return []string{dev.DefaultEnvironment}
	}
	if _, ok := r.File.Manifest.Environments[r.Environment]; ok {
		return nil // it is meant
	}
	return slices.Sorted(maps.Keys(r.File.Manifest.Environments))
}

// serving is a service that runs in a goroutine of its own.
type serving struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // after done
}

// serve starts a service. The caller calls end.
func serve(run func(context.Context) error) *serving {
	ctx, stop := context.WithCancel(context.Background())
	s := &serving{stop: stop, done: make(chan struct{})}
	go s.work(ctx, run)
	return s
}

func (s *serving) work(ctx context.Context, run func(context.Context) error) {
	defer close(s.done)
	s.err = run(ctx)
}

// end stops the service and waits for it. It may be called twice.
func (s *serving) end() error {
	s.stop()
	<-s.done
	return s.err
}

// runControl stays until ctx or the control plane ends.
func (r *devRun) runControl(ctx context.Context) error {
	select {
	case <-r.serving.done:
	case <-ctx.Done():
	}
	r.developer.client.CloseIdle()
	return r.serving.end()
}

// devConnections is how many each service may have open.
func devConnections() process.Connections {
	return process.Divide(process.Services{API: true, Edge: true, Warpgate: true})
}

// applyFile applies the file, if there is one, before requests are served.
func (r *devRun) applyFile(ctx context.Context) (err error) {
	if r.File == nil {
		return nil
	}
	r.file = &devFile{run: r}
	if r.file.last, err = r.file.look(); err != nil {
		return err
	}
	// It may have changed since its names were read.
	return r.file.reapply(ctx)
}

// listenEdge makes the edge and binds its listener. The control plane learns the address
// of an edge only when it enrols. So name and folder are made of the address: at another
// address it is another edge, and the one before is removed.
func (r *devRun) listenEdge() (err error) {
	address := mezu.Dialable(r.HTTPSAddr, loopback)
	name := mezu.NameFrom("dev-"+address, "dev")
	if err := removeOthers(r.state, "edge-", name); err != nil {
		return err
	}
	r.edge, err = edge.New(edge.Config{
		Control: r.apiURL(), CAFile: r.control.CAFile(), JoinToken: r.joinToken,
		StateDir: filepath.Join(r.state, "edge-"+name), HTTPSAddr: r.HTTPSAddr, Name: name, PublicAddress: address, TunnelAddress: address,
		EnvironmentShare: 100, // nobody else is here
		FirstGrace:       firstGrace,
		Unserved:         r.out.unserved,
		Log:              r.log.With("service", "edge"), Version: version, Connections: devConnections().Edge, MaxConns: r.maxConns(), LinesLost: r.linesLost,
	})
	if err != nil {
		return err
	}
	return r.edge.Listen()
}

// maxConns is how many requests there may be at once.
func (r *devRun) maxConns() int {
	n, _ := process.DataConns(r.MaxConns, edge.DataPlaces(devConnections().Edge), tunnel.MaxConns)
	return n
}

// removeOthers removes the folders in dir that begin with prefix, but for
// prefix+keep.
func removeOthers(dir, prefix, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for folders of earlier runs: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && e.Name() != prefix+keep {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("removing what an earlier run left: %w", err)
			}
		}
	}
	return nil
}

// joinToken lets the edge enrol: it is asked for when there is a new one.
func (r *devRun) joinToken() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), api.DefaultTimeout)
	defer cancel()
	return r.developer.joinToken(ctx)
}

// makeTunnels makes the host of all tunnels of the profile. That of this run is one of them,
// which nobody can stop.
func (r *devRun) makeTunnels() (err error) {
	upstream := r.Target.String()
	if r.Target == (mezu.Upstream{}) {
		if r.demo, err = listenDemo(); err != nil {
			return err
		}
		upstream = r.demo.Addr()
	}
	// Its warnings are events, and shown as such.
	log := devLogger(r.Options, slog.LevelError).With("service", "warpgate")
	r.tunnels, err = newHosting(daemon.Config{
		StateDir: filepath.Join(r.state, "tunnels"), Kind: local.HostDev, Version: version, MaxConns: r.maxConns(), Log: log,
		Given: []daemon.Given{{
			Spec: mezu.TunnelSpec{
				Profile: r.profileName, API: r.apiURL(), CAFile: r.control.CAFile(), Organization: r.Organization, Project: r.Project, Environment: r.Environment,
				TunnelTarget: mezu.TunnelTarget{Target: upstream},
			},
			Warpgate: warpgate.Config{
				API: r.apiURL(), CAFile: r.control.CAFile(), Token: func() (string, error) { return r.key, nil },
				Environment: r.Environment, StateDir: filepath.Join(r.state, "warpgate"), SameMachine: true,
				Log: log, Version: version, Events: r.out.event, MayForward: r.mayForward,
			},
			Say: r.out.hindered,
		}},
	}, "", nil)
	if err != nil {
		return err
	}
	return r.listenTunnels()
}

// listenTunnels takes the folder of the tunnels and the socket beside it.
func (r *devRun) listenTunnels() error {
	if err := r.tunnels.Host.Listen(); err != nil {
		return err
	}
	path := devSocket(r.state)
	if err := r.tunnels.listen(path); err != nil {
		return err
	}
	r.socket = path
	return nil
}

// devSocket is where commands reach the tunnels of a run with that folder.
func devSocket(state string) string { return home.Socket(filepath.Join(state, "run", "daemon.sock")) }

// mayForward allows what the file names.
func (r *devRun) mayForward(u mezu.Upstream) bool { return r.file != nil && r.file.mayForward(u) }

// edgePoll is how often to look whether the edge has enrolled.
const edgePoll = 20 * time.Millisecond

// runTunnels runs the tunnels as soon as the edge has enrolled. A Warpgate gets the list
// of edges when it registers, and would ask again only after a while.
func (r *devRun) runTunnels(ctx context.Context) error {
	tick := time.NewTicker(edgePoll)
	defer tick.Stop()
	for !r.edge.Ready() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return r.tunnels.Host.Run(ctx)
}

// release closes what listen made, if not all of it came to run. The error is how the
// control plane ended.
func (r *devRun) release() (err error) {
	if r.demo != nil {
		r.demo.Close()
	}
	if r.tunnels != nil {
		r.tunnels.close()
	}
	if r.edge != nil {
		r.edge.Close()
	}
	if r.developer != nil {
		r.developer.client.CloseIdle()
	}
	if r.serving != nil {
		err = r.serving.end()
	}
	if r.control != nil {
		if err := r.control.Close(); err != nil {
			r.log.Error("closing the control plane", "error", err)
		}
	}
	return err
}

// apiURL is where the REST API answers.
func (r *devRun) apiURL() string {
	return "https://" + mezu.Dialable(r.control.Addr(), loopback)
}

// siteURL is where people reach the pages of the control plane.
func (r *devRun) siteURL() string {
	_, port, err := net.SplitHostPort(r.control.Addr())
	if err != nil {
		return r.apiURL()
	}
	return "https://" + net.JoinHostPort(domain, port)
}

// onMail takes a mail of the control plane.
func (r *devRun) onMail(m control.Mail) {
	r.mailbox.add(m, time.Now())
	r.out.mail(m)
}

// keepToken keeps the developer's token new until ctx ends.
func (r *devRun) keepToken(ctx context.Context) error {
	r.developer.keep(ctx, func(err error) { r.log.Warn("the developer's token could not be renewed", "error", err) })
	return nil
}

// profile is what other commands need to find this run.
func (r *devRun) profile() profile.Profile {
	return profile.Profile{API: r.apiURL(), CAFile: r.control.CAFile(), Organization: r.Organization, Project: r.Project, Environment: r.Environment, Socket: r.socket}
}

// saveProfile writes the profile, so that other commands find this run, and makes
// it the default if there is none.
func (r *devRun) saveProfile() error {
	r.listed.update(func(is *runRecord) {
		is.URL, is.APIAddr, is.API, is.Socket = r.publicURL(), r.control.Addr(), r.apiURL(), r.socket
	})
	token := r.developer.current()
	if err := r.Profiles.Save(r.profileName, r.profile(), profile.Credential{Token: token}); err != nil {
		return err
	}
	r.profiled.Store(&token)
	current, err := r.Profiles.Default()
	if err != nil || current != "" {
		return err
	}
	return r.Profiles.SetDefault(r.profileName)
}

// ownsProfile reports whether this run wrote the profile last.
func (r *devRun) ownsProfile() (bool, error) {
	written := r.profiled.Load()
	if written == nil {
		return false, nil
	}
	kept, _, err := r.Profiles.Credential(r.profileName)
	return err == nil && kept.Token != "" && kept.Token == *written, err
}

// updateProfile gives the profile another token.
func (r *devRun) updateProfile(token string) {
	owns, err := r.ownsProfile()
	if err == nil && owns {
		if err = r.Profiles.Save(r.profileName, r.profile(), profile.Credential{Token: token}); err == nil {
			r.profiled.Store(&token)
		}
	}
	if err != nil {
		r.log.Warn("the profile could not be given the new token", "error", err)
	}
}

// fixPort chooses a port where 0 asks for any. The control plane needs the public port
// before the edge listens, because it is part of every address that it gives out.
func fixPort(addr string) (string, int, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, mezu.Invalid("https-addr", "is host:port, not %q", addr)
	}
	if text != "0" {
		port, err := strconv.Atoi(text)
		return addr, port, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", 0, fmt.Errorf("looking for a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return net.JoinHostPort(host, strconv.Itoa(port)), port, l.Close()
}
