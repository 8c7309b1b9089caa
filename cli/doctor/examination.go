package doctor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// check looks at one thing. It gives no result if there is nothing to look at, or if what it
// depends on has a check of its own that says what is wrong.
type check struct {
	name string
	run  func(context.Context, *examination) []Result
}

// checks are all of them, in the order in which they are shown.
func checks() []check {
	return []check{
		{"settings", checkSettings}, {"version", checkVersion}, {"dns", checkDNS}, {"clock", checkClock}, {"proxy", checkProxy}, {"api", checkAPI}, {"private CA", checkCA},
		{"login", checkLogin}, {"socket", checkSocket}, {"daemon", checkDaemon}, {"edge", checkEdges}, {"certificate", checkCertificates}, {"key", checkKeys},
		{"environment", checkEnvironments}, {"route", checkRoutes}, {"Warpgate", checkWarpgates}, {"workload", checkWorkloads}, {"disk", checkDisk}, {"descriptors", checkDescriptors},
	}
}

// examine runs all checks at once and waits for each as long as it may take. One that does not
// end then is left behind: it hangs in the system, and ends with the process.
func examine(ctx context.Context, e *examination, all []check, allowed time.Duration) []Result {
	patience, enough := context.WithTimeout(ctx, allowed+checkGrace)
	defer enough()
	ctx, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	e.begin(ctx)
	answers := make([]chan []Result, len(all))
	for i, c := range all {
		answers[i] = make(chan []Result, 1)
		go func() { answers[i] <- c.run(ctx, e) }()
	}
	var out []Result
	for i, c := range all {
		var results []Result
		select {
		case results = <-answers[i]:
		case <-patience.Done():
			select {
			case results = <-answers[i]:
			default:
				results = []Result{{State: Fail, Detail: "timed out after " + terminal.Span(allowed), Hint: "mezu doctor, once more"}}
			}
		}
		for _, r := range results {
			r.Check = c.name
			out = append(out, r)
		}
	}
	return out
}

// fact is what several checks depend on. It is found out once.
type fact[T any] struct {
	known chan struct{}
	value T
	err   error
}

func newFact[T any]() *fact[T] { return &fact[T]{known: make(chan struct{})} }

// find finds a fact out. It is called once.
func (f *fact[T]) find(ctx context.Context, how func(context.Context) (T, error)) {
	defer close(f.known)
	ctx, cancel := context.WithTimeout(ctx, factTimeout)
	defer cancel()
	f.value, f.err = how(ctx)
}

// wait gives a fact when it is found out. One that is known is given after the end of ctx as well.
func (f *fact[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-f.known:
	case <-ctx.Done():
		select {
		case <-f.known:
		default:
			var none T
			return none, ctx.Err()
		}
	}
	return f.value, f.err
}

// daemonFact is what the local daemon says.
type daemonFact struct {
	client  *local.Client
	status  local.Status
	tunnels []mezu.Tunnel
}

// examination is what the checks of one run share.
type examination struct {
	inv      *invocation.Invocation
	running  status.Running
	stored   Stored
	settings *fact[invocation.Settings]
	// secrets may be in a keyring, which may hang.
	secrets *fact[secrets]
	daemon  *fact[daemonFact]
	answer  *fact[answerFact]
	self    *fact[selfFact]
	mu      sync.Mutex
	closed  bool
	closers []func()
}

func newExamination(o *options) *examination {
	return &examination{inv: o.Invocation, running: o.Running, stored: o.Log, settings: newFact[invocation.Settings](), secrets: newFact[secrets](), daemon: newFact[daemonFact](), answer: newFact[answerFact](), self: newFact[selfFact]()}
}

// begin finds the facts out.
func (e *examination) begin(ctx context.Context) {
	go e.settings.find(ctx, e.readSettings)
	go e.secrets.find(ctx, e.readSecrets)
	go e.daemon.find(ctx, e.askDaemon)
	go e.answer.find(ctx, e.askPlane)
	go e.self.find(ctx, e.askSelf)
}

// close gives up what the checks opened.
func (e *examination) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, end := range e.closers {
		end()
	}
}

// atEnd closes something when the examination is closed, or now if it is already.
func (e *examination) atEnd(end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		end()
		return
	}
	e.closers = append(e.closers, end)
}

func (e *examination) readSettings(context.Context) (invocation.Settings, error) {
	s, err := e.inv.Settings()
	if s.CAFile != "" {
		s.CAFile = e.inv.Path(s.CAFile)
	}
	return s, err
}

// secrets are what the person calls with.
type secrets struct{ token, refresh string }

func (e *examination) readSecrets(ctx context.Context) (secrets, error) {
	s, err := e.settings.wait(ctx)
	if err != nil {
		return secrets{}, err
	}
	c, err := e.inv.Credential(s)
	return secrets{c.Token, c.Refresh}, err
}

func (e *examination) askDaemon(ctx context.Context) (f daemonFact, err error) {
	s, _ := e.settings.wait(ctx) // without any, the daemon of this user is meant
	if f.client, err = e.running(ctx, s); err != nil {
		return f, err
	}
	e.atEnd(f.client.Close)
	if f.status, err = f.client.Status(ctx); err == nil {
		f.tunnels, err = f.client.Tunnels(ctx)
	}
	return f, err
}

// errUnnamed says that no control plane is named, so that nothing can be asked of one.
var errUnnamed = errors.New("no control plane is named")

// plane are the settings, with a control plane in them.
func (e *examination) plane(ctx context.Context) (invocation.Settings, error) {
	s, err := e.settings.wait(ctx)
	if err == nil && s.API == "" {
		err = errUnnamed
	}
	return s, err
}

// answerFact is how the control plane answers somebody whom it doesn't know.
type answerFact struct {
	took time.Duration
	// unmade says that it could not be asked with these settings.
	unmade bool
}

func (e *examination) askPlane(ctx context.Context) (f answerFact, err error) {
	s, err := e.plane(ctx)
	if err != nil {
		return f, err
	}
	c, err := e.inv.Caller(s)
	if err != nil {
		return answerFact{unmade: true}, err
	}
	defer c.CloseIdle()
	start := time.Now()
	_, err = api.Invoke[api.Self](ctx, c, api.OpSelf, nil)
	if mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		err = nil
	}
	return answerFact{took: time.Since(start)}, err
}

// answers reports whether the control plane answers. If it doesn't, the checks of API, private CA or
// settings say so.
func (e *examination) answers(ctx context.Context) bool {
	_, err := e.answer.wait(ctx)
	return err == nil
}

// unseen is the result of a look at the control plane that failed. Nothing is known to be wrong if
// that is for want of rights.
func unseen(what string, err error) Result {
	r := failed(what+" can't be looked at", err, "mezu doctor, once more")[0]
	if mezu.CodeOf(err) == mezu.CodeForbidden {
		r.State = Warn
	}
	return r
}

// selfFact is who is logged in, and a client to ask as them.
type selfFact struct {
	api.Self
	client *api.Client
}

func (e *examination) askSelf(ctx context.Context) (f selfFact, err error) {
	s, err := e.plane(ctx)
	if err != nil {
		return f, err
	}
	if f.client, err = e.inv.Client(s); err != nil {
		return f, err
	}
	e.atEnd(f.client.CloseIdle)
	f.Self, err = api.Invoke[api.Self](ctx, f.client, api.OpSelf, nil)
	return f, err
}

// site is an environment that matters here.
type site struct {
	organization, project, environment string
	// tunnel is nil if it is not served from here.
	tunnel *mezu.Tunnel
}

func (p site) String() string { return p.organization + "/" + p.project + "/" + p.environment }

// subject names a place where there are several.
func (p site) subject(of []site) string {
	if len(of) < 2 {
		return ""
	}
	return mezu.TunnelName(p.project, p.environment)
}

// maxPlaces is how many environments are looked at: more are looked through by nobody.
const maxPlaces = 16

// places are the environments of the tunnels here, and else that of the context. more are those that
// are not looked at.
func (e *examination) places(ctx context.Context) (out []site, more int) {
	if f, err := e.daemon.wait(ctx); err == nil {
		for _, t := range f.tunnels {
			out = append(out, site{t.Organization, t.Project, t.Environment, &t})
		}
	}
	s, _ := e.settings.wait(ctx) // without any there is no other place
	if len(out) == 0 && s.Organization != "" && s.Project != "" && s.Environment != "" {
		out = append(out, site{s.Organization, s.Project, s.Environment, nil})
	}
	slices.SortStableFunc(out, func(a, b site) int { // those that need a look come first
		return rank(a) - rank(b)
	})
	return most(out)
}

// most cuts off what is too much to be looked at.
func most[T any](all []T) (out []T, more int) {
	out = all[:min(len(all), maxPlaces)]
	return out, len(all) - len(out)
}

// unlooked says that so many were not looked at.
func unlooked(more int, what string) []Result {
	if more == 0 {
		return nil
	}
	return one(Warn, count(more, "further "+what)+" not looked at", "", "mezu tunnel list")
}

func rank(p site) int {
	if p.tunnel == nil || p.tunnel.State == mezu.TunnelLive {
		return 1
	}
	return 0
}

// each looks at all of several things at once.
func each[T any](things []T, look func(T) []Result) []Result {
	results := make([][]Result, len(things))
	var working sync.WaitGroup
	for i, p := range things {
		working.Go(func() { results[i] = look(p) })
	}
	working.Wait()
	return slices.Concat(results...)
}
