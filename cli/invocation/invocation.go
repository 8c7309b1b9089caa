// Package invocation is one run of the mezu command as its commands see it: the
// streams, the global flags, the context they resolve to, and the client of the
// control plane.
//
// What may not live here: any command. It imports the domain, api and the
// packages of cli that read and write; cli and its commands import it.
package invocation

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/namedfile"
)

// Invocation is what a command has to work with.
type Invocation struct {
	terminal.Streams
	Getenv func(string) string
	// Dir is the working directory, in which the search for mezu.yaml begins.
	Dir      string
	Profiles profile.Store
	// State is the folder for what commands keep between runs; if empty, they keep nothing.
	State   string
	Version string
	Flags   Flags
	// Now is the clock; if nil, time.Now.
	Now func() time.Time

	login *Login
	waker Waker
	kind  Kind
	ends  *ending
}

// Kind is what the global flags can do with a command.
type Kind int

const (
	// Shows: the command changes nothing, so that --watch can repeat it.
	Shows Kind = 1 << iota
	// Named: what it writes has names, which -o name writes alone.
	Named
	// Silent: it writes no result. What -o asks for is the form of its errors.
	Silent
	// Text: it writes text, which has no other form.
	Text
	// Events: it writes what happens, in lines or as JSON.
	Events
)

// Is has a command say of what kind it is, before it runs.
func (i *Invocation) Is(kind Kind) cli.BeforeFunc {
	return func(*cli.Context) error {
		i.kind = kind
		return nil
	}
}

// TakeKind gives the kind of the command that is about to run, and forgets it.
func (i *Invocation) TakeKind() Kind {
	kind := i.kind
	i.kind = 0
	return kind
}

// Waker calls ring when what a command has shown may have changed, until ctx ends or it fails.
type Waker func(ctx context.Context, ring func()) error

// WokenBy has a command that --watch repeats look again when w rings, and not only when its time
// has come.
func (i *Invocation) WokenBy(w Waker) { i.waker = w }

// TakeWaker gives what rings for the command, nil if nothing does, and forgets it.
func (i *Invocation) TakeWaker() Waker {
	w := i.waker
	i.waker = nil
	return w
}

// Login is a client that calls with a login.
type Login struct {
	Settings Settings
	Client   *api.Client
}

// Login is the last client that a command made, nil if it made none.
func (i *Invocation) Login() *Login { return i.login }

// Clock is the time.
func (i *Invocation) Clock() time.Time {
	if i.Now == nil {
		return time.Now()
	}
	return i.Now()
}

// Flags are the global flags as given; what was not given is zero.
type Flags struct {
	Output                                                   terminal.Format
	Organization, Project, Environment, API, CAFile, Profile string
	// Timeout bounds the whole command; if zero, api.DefaultTimeout bounds each
	// call.
	Timeout time.Duration
	// Watch is how long after a look a command looks again; if zero, it looks once.
	Watch time.Duration
}

// Settings are the result of flags, environment variables, mezu.yaml and the profile. The
// first of these that sets a value wins.
type Settings struct {
	API, CAFile string
	// Credential is that of MEZU_TOKEN. If there is none, Invocation.Credential reads the
	// one of the profile, which not every command needs: a keyring may be shut.
	Credential                         profile.Credential
	Organization, Project, Environment string
	// Profile is the name of the profile that API comes from; "" if it comes
	// from elsewhere.
	Profile string
	// Socket is where the tunnels of the profile are hosted, if not by the daemon of this
	// user.
	Socket string
}

// Settings resolves the context. Missing values stay empty, because only the command knows
// what it needs.
func (i *Invocation) Settings() (Settings, error) {
	file, err := profile.Find(i.Dir)
	if err != nil {
		return Settings{}, err
	}
	name := cmp.Or(i.Flags.Profile, i.Getenv("MEZU_PROFILE"))
	named := name != ""
	if !named {
		if name, err = i.Profiles.Default(); err != nil {
			return Settings{}, err
		}
	}
	given, err := mezu.ParseSecret(i.Getenv("MEZU_TOKEN"))
	if wrong, ok := errors.AsType[*mezu.Error](err); ok {
		out := *wrong
		out.Field = "MEZU_TOKEN"
		return Settings{}, &out
	}
	s := Settings{
		API:        cmp.Or(i.Flags.API, i.Getenv("MEZU_API")),
		CAFile:     cmp.Or(i.Flags.CAFile, i.Getenv("MEZU_CA_FILE")),
		Credential: profile.Credential{Token: given},
	}
	var p profile.Profile
	if name != "" {
		loaded, err := i.Profiles.Load(name)
		if err != nil && (named || mezu.CodeOf(err) != mezu.CodeNotFound) {
			return Settings{}, err
		}
		if err == nil {
			p = *loaded
		}
	}
	// The credential, the CA and the defaults of a profile belong to its control plane.
	// They must not be used with another, which would learn the credential.
	if p.API != "" && (s.API == "" || SameHost(s.API, p.API)) {
		s.API, s.Profile, s.Socket, s.CAFile = p.API, name, p.Socket, cmp.Or(s.CAFile, p.CAFile)
	} else {
		p = profile.Profile{}
	}
	s.Organization = cmp.Or(i.Flags.Organization, i.Getenv("MEZU_ORG"), file.Organization, p.Organization)
	s.Project = cmp.Or(i.Flags.Project, i.Getenv("MEZU_PROJECT"), file.Project, p.Project)
	s.Environment = cmp.Or(i.Flags.Environment, i.Getenv("MEZU_ENVIRONMENT"), p.Environment)
	return s, nil
}

// Credential is what a command calls with: the one of the settings, else that of their
// profile. It is empty if nobody is logged in.
func (i *Invocation) Credential(s Settings) (profile.Credential, error) {
	if s.Credential.Token != "" || s.Profile == "" {
		return s.Credential, nil
	}
	kept, repaired, err := i.Profiles.Credential(s.Profile)
	if repaired {
		i.Warnf("the credentials of profile %s could be read by others; they are private again, but replace them if the machine is shared", s.Profile)
	}
	if err != nil || kept.Token == "" {
		return kept, err
	}
	// A login may have led the profile to another control plane since the settings were read.
	// This one must not learn the credential of that.
	p, err := i.Profiles.Load(s.Profile)
	if err != nil {
		return profile.Credential{}, err
	}
	if !SameHost(p.API, s.API) {
		return profile.Credential{}, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "profile " + s.Profile + " is of " + p.API + " now, not of " + s.API, Hint: "mezu login --api " + s.API}
	}
	return kept, nil
}

// RequireOrganization is the organization that a command works in, or an error that
// says how to name one.
func (s Settings) RequireOrganization() (string, error) {
	return required("organization", s.Organization, "--org NAME, MEZU_ORG, or organization: NAME in mezu.yaml")
}

// RequireProject is the project that a command works in.
func (s Settings) RequireProject() (string, error) {
	return required("project", s.Project, "--project NAME, MEZU_PROJECT, or project: NAME in mezu.yaml")
}

// RequireEnvironment is the environment that a command works in.
func (s Settings) RequireEnvironment() (string, error) {
	return required("environment", s.Environment, "--environment NAME or MEZU_ENVIRONMENT")
}

func required(what, name, hint string) (string, error) {
	if name == "" {
		e := exit.Usagef("no %s is named", what)
		e.Hint = hint
		return "", e
	}
	return name, mezu.ValidateName(what, name)
}

// maxTimeout is the longest timeout of a call. A day is longer than any call takes.
const maxTimeout = 24 * time.Hour

// Client makes a client of the control plane that the settings name.
func (i *Invocation) Client(s Settings) (*api.Client, error) {
	caller, err := i.Caller(s)
	if err != nil {
		return nil, err
	}
	if s.Credential, err = i.Credential(s); err != nil {
		return nil, err
	}
	if s.Credential.Token == "" {
		return nil, notLoggedIn(s)
	}
	if i.ends == nil {
		i.ends = &ending{}
	}
	i.ends.credential = s.Credential
	as := *i // the streams of a command that --watch repeats are others at each look, and calls go on
	logged := newSession(&as, s, caller)
	client, err := i.client(s, func(carrier http.RoundTripper) http.RoundTripper { return &bearer{logged, carrier} })
	if err == nil {
		i.login = &Login{Settings: s, Client: client}
	}
	return client, err
}

// Caller makes a client that calls without a token.
func (i *Invocation) Caller(s Settings) (*api.Client, error) {
	if s.API == "" {
		return nil, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "no control plane is named", Hint: "mezu dev 8080, for all of it on this machine, or mezu login --api URL"}
	}
	return i.client(s, nil)
}

func (i *Invocation) client(s Settings, wrap func(http.RoundTripper) http.RoundTripper) (*api.Client, error) {
	if i.Flags.Timeout < 0 || i.Flags.Timeout > maxTimeout {
		return nil, exit.Usagef("--timeout is between 0s and %s, not %s", maxTimeout, i.Flags.Timeout)
	}
	config := &tls.Config{}
	if s.CAFile != "" {
		roots, err := Roots(i.Path(s.CAFile))
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots
	}
	var ends func(time.Time)
	if wrap != nil {
		ends = i.ends.note
	}
	return api.NewClient(api.ClientConfig{Ends: ends, BaseURL: s.API, TLS: config, UserAgent: "mezu/" + i.Version, Timeout: i.Flags.Timeout, Wrap: wrap})
}

// Path resolves a path that the user typed.
func (i *Invocation) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(i.Dir, p)
}

// maxCAFile is room for some hundred certificates.
const maxCAFile = 1 << 20

// Roots reads the certificates that a command trusts. A file without a certificate is an
// error, and never means the system's roots. Other than trust.LoadRoots it takes one that is
// no CA's: that of a proxy before the control plane may be self-signed.
func Roots(path string) (*x509.CertPool, error) {
	data, err := namedfile.Read(path, maxCAFile)
	if err != nil {
		return nil, namedfile.Unread("ca-file", api.HintCAFile, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, mezu.Invalid("ca-file", "%s holds no certificate in PEM", path)
	}
	return roots, nil
}

// Complete turns a function that lists candidates for a command's argument into the form
// that the flag library wants. If the function fails, nothing is proposed.
func Complete(candidates func(ctx context.Context) ([]string, error)) cli.BashCompleteFunc {
	return func(c *cli.Context) {
		names, err := candidates(c.Context)
		if err != nil {
			return
		}
		fmt.Fprintln(c.App.Writer, strings.Join(names, "\n"))
	}
}

// localTime bounds a look-up at the local daemon when somebody presses the tab key: it answers
// within milliseconds, or is busy.
const localTime = 200 * time.Millisecond

// CompleteLocal is Complete for what the local daemon knows. It is asked if it runs, and not
// waited for.
func CompleteLocal(candidates func(ctx context.Context) ([]string, error)) cli.BashCompleteFunc {
	return Complete(func(ctx context.Context) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, localTime)
		defer cancel()
		return candidates(ctx)
	})
}

// Pause waits for a time, or less with the error of ctx when that ends.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SameHost reports whether two addresses are of one control plane.
func SameHost(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	return a == b || err1 == nil && err2 == nil && u.Scheme == v.Scheme && strings.EqualFold(u.Host, v.Host)
}
