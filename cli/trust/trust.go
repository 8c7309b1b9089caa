// Package trust is "mezu trust": it puts the CA of an installation into the stores of this machine
// that browsers and programs trust, and takes it out again.
//
// What may not live here: how a store is changed, which cli/trust/store knows. It imports what
// every command uses, cli/probe and that package; cli and cmd/mezu import it.
package trust

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/trust/store"
	"github.com/mezusphere/mezu/namedfile"
)

// Command is "mezu trust".
func Command(inv *invocation.Invocation) *cli.Command {
	return &cli.Command{
		Name: "trust", Usage: "Have this machine's browsers and programs trust the CA of the installation", Category: "program",
		Description: "Puts the CA of the profile (its ca_file, or --ca-file) into the stores of the system, of NSS (Chromium,\n" +
			"Firefox), of Java (JAVA_HOME), and from WSL into that of Windows. It says first what it will do, and then\n" +
			"of each store what happened. It may be repeated. --undo takes that CA out again, also when its file is gone.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "undo", Usage: "take the CA out again", DisableDefaultText: true},
			&cli.StringFlag{Name: "sha256", Usage: "of several CAs the one whose fingerprint begins with `HEX`"},
			&cli.BoolFlag{Name: "user", Usage: "leave the system's stores alone: only those of your own browsers", DisableDefaultText: true},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			o := newOptions(inv)
			o.SHA256, o.Yes, o.User = c.String("sha256"), c.Bool("yes"), c.Bool("user")
			if c.Bool("undo") {
				return undo(c.Context, o)
			}
			return run(c.Context, o)
		},
	}
}

// options are those of one run.
type options struct {
	*invocation.Invocation
	SHA256  string
	Yes     bool
	User    bool // change only what is of this user
	machine store.Machine
	records records
}

func newOptions(inv *invocation.Invocation) *options {
	return &options{Invocation: inv, records: recordsOf(inv), machine: store.Machine{
		OS: runtime.GOOS, Home: homeOf(inv), Getenv: inv.Getenv, Root: "/", Superuser: os.Geteuid() == 0, Prompt: inv.CanPrompt(),
	}}
}

// homeOf is the folder in which browsers have their databases.
func homeOf(inv *invocation.Invocation) string {
	if home := inv.Getenv("HOME"); home != "" || runtime.GOOS != "windows" {
		return home
	}
	return inv.Getenv("USERPROFILE")
}

func recordsOf(inv *invocation.Invocation) records {
	if inv.Profiles.Dir == "" {
		return records{}
	}
	return records{filepath.Join(inv.Profiles.Dir, "trust")}
}

// maxCAFile is that of invocation.Roots.
const maxCAFile = 1 << 20

// read reads the CAs of a file.
func read(path string) ([]store.CA, error) {
	text, err := namedfile.Read(path, maxCAFile)
	if err != nil {
		return nil, namedfile.Unread("ca-file", "mezu trust --ca-file FILE, with ca.pem of the installation", err)
	}
	all, err := store.Parse(text)
	if err != nil {
		return nil, mezu.Invalid("ca-file", "%s %v", path, err)
	}
	return all, nil
}

// run puts the CA into each store that doesn't trust it.
func run(ctx context.Context, o *options) error {
	s, err := o.Settings()
	if err != nil {
		return err
	}
	if s.CAFile == "" {
		e := exit.Usagef("no CA file is named: %s is checked by what this machine trusts already", api(s))
		e.Hint = "mezu trust --ca-file FILE, with ca.pem of the installation, or --profile NAME"
		return e
	}
	path := o.Path(s.CAFile)
	all, err := read(path)
	if err != nil {
		return err
	}
	ca, err := store.Select(all, o.SHA256)
	if err != nil {
		return err
	}
	if err := ca.Check(o.Clock()); err != nil {
		return mezu.Invalid("ca-file", "%s %v", path, err)
	}
	r, err := o.records.of(ca)
	if err != nil {
		return err
	}
	r.Profile, r.CAFile = s.Profile, path
	stores := o.stores()
	if len(stores) == 0 {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "no store of certificates was found on this machine", Hint: "install ca-certificates, or give programs the file: " + path}
	}
	if user := o.Getenv("SUDO_USER"); user != "" && o.machine.Superuser {
		o.Warnf("browsers are looked for in %s; run it as %s, without sudo, for those of %[2]s: it calls sudo where it has to", terminal.Clean(o.machine.Home), terminal.Clean(user))
	}
	o.nameEarlier(r)
	return o.add(ctx, r, look(ctx, ca, stores))
}

// nameEarlier says which other CAs of the profile are trusted: one that has begun anew leaves that of
// before, whose key may be anywhere.
func (o *options) nameEarlier(r record) {
	known, _ := o.records.all() // what can't be read is undo's to tell
	for _, other := range known {
		if r.Profile != "" && other.Profile == r.Profile && other.ca.SHA256() != r.ca.SHA256() {
			o.Warnf("an earlier CA of profile %s is trusted too; to end that: mezu trust --undo --sha256 %s", r.Profile, other.ca.SHA256()[:16])
		}
	}
}

// stores are those that this run is about.
func (o *options) stores() []store.Store {
	all := o.machine.Stores()
	if o.User {
		all = slices.DeleteFunc(all, func(s store.Store) bool { return !s.OfUser() })
	}
	return all
}

// api is the control plane of the settings, for people.
func api(s invocation.Settings) string {
	if s.API == "" {
		return "the control plane"
	}
	return terminal.Clean(s.API)
}

// looked is what a store has before anything is done.
type looked struct {
	store.Store
	has  store.Presence
	name string // under which it has the CA
	err  error
}

func look(ctx context.Context, ca store.CA, stores []store.Store) []looked {
	out := make([]looked, len(stores))
	for i, s := range stores {
		out[i].Store = s
		out[i].has, out[i].name, out[i].err = s.Has(ctx, ca)
	}
	return out
}

// Results of what was done with a store.
const (
	added   = "added"
	present = "present" // it trusted the CA before
	removed = "removed"
	absent  = "absent" // it had no such CA
	kept    = "kept"   // it has the CA, from somebody else
	failed  = "failed"
)

// result is what happened to one store, as -o json has it.
type result struct {
	Kind     store.Kind `json:"kind"`
	Location string     `json:"location"`
	Result   string     `json:"result"`
	Detail   string     `json:"detail,omitempty"`
}

// report is what a run did.
type report struct {
	Subject string   `json:"subject"`
	SHA256  string   `json:"sha256"`
	Stores  []result `json:"stores"`
	Restart []string `json:"restart"`
}

// add shows what will be done, asks, does it and says what came of it. The record is written before
// a store is changed, so that nothing is left that --undo doesn't know.
func (o *options) add(ctx context.Context, r record, stores []looked) error {
	changes := func(s looked) bool { return s.err == nil && s.has == store.Absent }
	if slices.ContainsFunc(stores, changes) {
		o.introduce(r)
		o.plan("puts it into", stores, changes)
		if err := o.confirm(ctx, "Whoever has the CA's private key is believed by these programs. Trust it?", "trusting a CA"); err != nil {
			return err
		}
	}
	done := o.begin(r)
	for _, s := range stores {
		if changes(s) && done.remade(s.Store) {
			s.has, s.name, s.err = s.Has(ctx, r.ca)
		}
		switch {
		case s.err != nil:
			done.fail(s.Store, s.err)
		case s.has != store.Absent:
			done.say(s.Store, terminal.Good, present, "trusts it already")
		default:
			next := r.with(s.Store)
			if err := o.records.save(next); err != nil {
				done.fail(s.Store, fmt.Errorf("it can't be remembered, and stays as it is: %w", err))
				continue
			}
			if err := s.Add(ctx, r.ca); err != nil {
				done.fail(s.Store, errors.Join(err, o.records.save(r)))
				continue
			}
			r = next
			done.say(s.Store, terminal.Good, added, "trusts it now")
		}
	}
	return done.end()
}

// show writes what a person who is asked has to know, quiet or not.
func (o *options) show(format string, args ...any) {
	s := o.Streams
	s.Quiet = s.Quiet && o.Yes
	s.Sayf(format, args...)
}

// introduce shows the CA.
func (o *options) introduce(r record) {
	c := r.ca.Certificate
	o.show("certificate authority %s", terminal.Clean(r.ca.Subject()))
	o.show("  SHA-256      %s", r.ca.Fingerprint())
	o.show("  good         from %s until %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
	o.show("  constraints  %s", terminal.Clean(r.ca.Constraints()))
	from := r.CAFile
	if r.Profile != "" {
		from += " of profile " + r.Profile
	}
	if from != "" {
		o.show("  from         %s", terminal.Clean(from))
	}
}

// plan shows the stores that will be changed.
func (o *options) plan(does string, stores []looked, changes func(looked) bool) {
	o.show("mezu trust %s", does)
	for _, s := range stores {
		if !changes(s) {
			continue
		}
		how := ""
		if s.Sudo {
			how = " (with sudo)"
		}
		o.show("  %s%s, for %s", terminal.Clean(s.Location), how, terminal.Clean(s.Users))
	}
}

// confirm asks for a yes.
func (o *options) confirm(ctx context.Context, question, what string) error {
	if o.Yes {
		return nil
	}
	if err := o.Confirmable(what); err != nil {
		return err
	}
	return o.Confirm(ctx, question, "changed")
}

// doing collects what a run does.
type doing struct {
	*options
	report report
	bad    bool
}

func (o *options) begin(r record) *doing {
	return &doing{options: o, report: report{Subject: r.ca.Subject(), SHA256: r.ca.SHA256(), Stores: []result{}, Restart: []string{}}}
}

// say says what happened to a store.
func (d *doing) say(s store.Store, sign terminal.Sign, what, text string) {
	d.report.Stores = append(d.report.Stores, result{s.Kind, s.Location, what, text})
	if what == added || what == removed {
		d.restart(s.Restart)
	}
	d.Signf(sign, "%s %s", terminal.Clean(s.Location), terminal.Clean(text))
}

// remade reports whether a store may be another one than before this run: that of Java is made of
// the system's in Debian.
func (d *doing) remade(s store.Store) bool {
	return s.Kind == store.Java && slices.ContainsFunc(d.report.Stores, func(r result) bool { return r.Kind == store.System && (r.Result == added || r.Result == removed) })
}

func (d *doing) fail(s store.Store, err error) {
	d.bad = true
	d.say(s, terminal.Bad, failed, err.Error())
}

func (d *doing) restart(what string) {
	if !slices.Contains(d.report.Restart, what) {
		d.report.Restart = append(d.report.Restart, what)
	}
}

// errStores is how a run ends in which some store failed, of which each was said.
var errStores = errors.New("not every store was changed")

// end writes the report.
func (d *doing) end() error {
	if len(d.report.Restart) > 0 {
		d.Sayf("  restart what is running of: %s", terminal.Clean(strings.Join(d.report.Restart, "; ")))
	}
	if d.Flags.Output != terminal.Table {
		if err := d.WriteValue(d.Flags.Output, d.report); err != nil {
			return err
		}
	}
	if d.bad {
		return &exit.Shown{Err: errStores}
	}
	return nil
}
