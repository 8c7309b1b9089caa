package cli_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts runs every script of testdata/script with the real Main in this
// process. Scripts have, beside the usual commands:
//
//	mezu ARG…   runs the command; "! mezu" expects a code other than 0
//	tty FILE …  the same on a terminal at which someone types FILE; "-" nothing
//	pipe FILE … the same with FILE as standard input
//	logins N    how many logins of programs go on at the control plane
//	code N      the exit code of the last run
//	mezu-token HOW       sets MEZU_TOKEN to $GOOD as files and shells spoil it
//	mezu-line-ends NAME…  puts a line end behind variables
//
// $BROWSER says what somebody does in the browser that opens (endpoint.visit), and $LATER by
// how much the clock of the command is ahead.
func TestScripts(t *testing.T) {
	runScripts(t, "script", startControlPlane(t))
}

// TestEntityScripts runs the scripts of testdata/entity on a control plane as it is:
// one for each noun. They have some commands more:
//
//	register KEY [NAME]  registers a Warpgate; its id is $WARPGATE
//	connect KEY [UPSTREAM ALLOWED…]
//	                     registers one that an edge holds, and that says to what it forwards
//	enrol NAME           enrols an edge
//	reset-operator NAME  sets NAME to a new bootstrap link
//	keep NAME PATTERN    sets NAME to what matches the group of PATTERN in stdout
//	image FILE           writes a PNG
func TestEntityScripts(t *testing.T) {
	runScripts(t, "entity", startRealPlane(t))
}

// TestTargetScripts runs those that have an edge tell of Warpgates: others count edges.
func TestTargetScripts(t *testing.T) {
	runScripts(t, "targets", startRealPlane(t))
}

func runScripts(t *testing.T, dir string, endpoint endpoint) { runWith(t, dir, endpoint, nil) }

// runWith runs the scripts of a folder, which have more commands.
func runWith(t *testing.T, dir string, endpoint endpoint, more map[string]func(*testscript.TestScript, bool, []string)) {
	params := testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(env *testscript.Env) error {
			env.Setenv("MEZU_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("MEZU_API", endpoint.url)
			env.Setenv("MEZU_CA_FILE", endpoint.caFile)
			env.Setenv("MEZU_TOKEN", endpoint.token)
			// Each script has an organization of its own.
			env.Setenv("MEZU_ORG", endpoint.organization(env.T()))
			env.Values["code"] = new(int)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mezu": func(ts *testscript.TestScript, neg bool, args []string) { endpoint.runMezu(ts, neg, args, "", false) },
			"pipe": func(ts *testscript.TestScript, neg bool, args []string) {
				endpoint.runMezu(ts, neg, args[1:], ts.ReadFile(args[0]), false)
			},
			"logins": func(ts *testscript.TestScript, neg bool, args []string) {
				if going, _ := endpoint.authority.logins(); (fmt.Sprint(going) == args[0]) == neg {
					ts.Fatalf("%d logins go on", going)
				}
			},
			"tty": func(ts *testscript.TestScript, neg bool, args []string) {
				typed := ""
				if args[0] != "-" {
					typed = ts.ReadFile(args[0])
				}
				endpoint.runMezu(ts, neg, args[1:], typed, true)
			},
			"mezu-token":     spoilToken,
			"mezu-line-ends": addLineEnds,
			"register":       endpoint.register,
			"connect":        endpoint.connect,
			"enrol":          endpoint.enrol,
			"reset-operator": endpoint.resetOperator,
			"keep": func(ts *testscript.TestScript, _ bool, args []string) {
				found := regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
				if found == nil {
					ts.Fatalf("%q is not in the output", args[1])
				}
				ts.Setenv(args[0], found[1])
			},
			"image": func(ts *testscript.TestScript, _ bool, args []string) {
				f, err := os.Create(ts.MkAbs(args[0]))
				ts.Check(err)
				ts.Check(errors.Join(png.Encode(f, image.NewGray(image.Rect(0, 0, 8, 8))), f.Close()))
			},
			"code": func(ts *testscript.TestScript, neg bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				if got := *ts.Value("code").(*int); (got == want) == neg {
					ts.Fatalf("exit code %d", got)
				}
			},
		},
	}
	maps.Copy(params.Cmds, more)
	testscript.Run(t, params)
}

func spoilToken(ts *testscript.TestScript, _ bool, args []string) {
	good := ts.Getenv("GOOD")
	spoilt, ok := map[string]string{"lf": good + "\n", "crlf": good + "\r\n", "bom": "\ufeff" + good + " \n", "twolines": good + "\n" + good, "umlaut": good + "ä", "empty": "\r\n"}[args[0]]
	if !ok {
		ts.Fatalf("there is no way %q", args[0])
	}
	ts.Setenv("MEZU_TOKEN", spoilt)
}

func addLineEnds(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Setenv(name, ts.Getenv(name)+"\r\n")
	}
}

// runMezu is the program as a script sees it.
func (e endpoint) runMezu(ts *testscript.TestScript, neg bool, args []string, typed string, tty bool) {
	folders, _ := home.Of(ts.Getenv) // some scripts have no home
	var out, talk testkit.Buffer
	inv := invocation.Invocation{
		Streams: terminal.Streams{
			In: strings.NewReader(typed), Out: &out, Err: &talk,
			InTerminal: tty, OutTerminal: tty, ErrTerminal: tty,
		}.Under(ts.Getenv),
		Getenv: ts.Getenv, Dir: ts.MkAbs("."), Profiles: profile.Store{Dir: folders.Config}, State: folders.State,
	}
	if later := ts.Getenv("LATER"); later != "" {
		d, err := time.ParseDuration(later)
		ts.Check(err)
		inv.Now = func() time.Time { return time.Now().Add(d) }
	}
	inv.Masking = true
	var opening atomic.Bool
	opened := make(chan error, 1)
	code := cli.Main(context.Background(), args, inv, cli.Config{Version: "1.2.3", Dev: printOptions, Open: func(address string) error {
		opening.Store(true)
		err := e.visit(ts.Getenv("BROWSER"), address)
		opened <- err
		return err
	}})
	if opening.Load() {
		if err := <-opened; err != nil && ts.Getenv("BROWSER") != "none" {
			ts.Fatalf("the browser: %v", err)
		}
	}
	fmt.Fprint(ts.Stdout(), out.String())
	fmt.Fprint(ts.Stderr(), unmasked(ts, out.String(), talk.String()))
	*ts.Value("code").(*int) = code
	if (code == 0) == neg {
		ts.Fatalf("exit code %d", code)
	}
}

// secret is what opens something: a key, a token, or a link with one in its fragment.
var secret = regexp.MustCompile(`\bmezu[a-z]*_[\w-]{20,}|\bhttps://[^\s"]+#[^\s"]+`)

// unmasked is stderr without the lines that tell GitHub Actions what to hide. Every command
// of every script runs as if it were there: what is secret must be hidden before it is shown.
func unmasked(ts *testscript.TestScript, out, talk string) string {
	hidden := map[string]bool{}
	rest := ""
	for line := range strings.Lines(talk) {
		if one, ok := strings.CutPrefix(line, "::add-mask::"); ok {
			hidden[strings.TrimSpace(one)] = true
			continue
		}
		rest += line
	}
	for _, shown := range secret.FindAllString(out+rest, -1) {
		if !hidden[shown] {
			ts.Fatalf("%s is shown and was not masked", shown)
		}
	}
	return rest
}

// printOptions stands in for the services: it says what "mezu dev" asks for.
func printOptions(_ context.Context, o dev.Options) error {
	target := o.Target.String()
	if o.Target.Address == "" {
		target = "demo"
	}
	fmt.Fprintf(o.Out, "target=%s state=%s ephemeral=%v https=%s api=%s json=%v names=%s/%s/%s\n",
		target, o.State, o.Ephemeral, o.HTTPSAddr, o.APIAddr, o.JSON, o.Organization, o.Project, o.Environment)
	return nil
}
