package layout_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// root is the repository as seen from this folder.
const root = ".."

// module is the import path of the root package.
const module = "github.com/mezusphere/mezu"

// pkg is one folder with Go files, as it is parsed.
type pkg struct {
	dir   string // relative to the root, "." for the root itself
	name  string
	files map[string]*ast.File // by path; tests included
	fset  *token.FileSet
}

// path is the import path.
func (p *pkg) path() string { return path.Join(module, p.dir) }

// inCmd reports whether the package is a program or a part of programs, which
// tie the rest together.
func (p *pkg) inCmd() bool { return p.dir == "cmd" || strings.HasPrefix(p.dir, "cmd/") }

// code gives the files that are not tests, in order.
func (p *pkg) code() map[string]*ast.File {
	out := map[string]*ast.File{}
	for name, f := range p.files {
		if !strings.HasSuffix(name, "_test.go") {
			out[name] = f
		}
	}
	return out
}

// imports are the import paths of the files that are not tests.
func (p *pkg) imports() []string {
	var out []string
	for _, f := range p.code() {
		for _, i := range f.Imports {
			s, _ := strconv.Unquote(i.Path.Value)
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// at is where a node stands.
func (p *pkg) at(n ast.Node) string {
	pos := p.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", filepath.ToSlash(strings.TrimPrefix(pos.Filename, root+string(filepath.Separator))), pos.Line)
}

// literals are the string literals below a node, each with what it stands for.
func literals(n ast.Node) iter.Seq2[*ast.BasicLit, string] {
	return func(yield func(*ast.BasicLit, string) bool) {
		for n := range ast.Preorder(n) {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					panic(err) // the parser took it
				}
				if !yield(lit, text) {
					return
				}
			}
		}
	}
}

// load gives every package of the module, for all platforms.
func load(t *testing.T) []*pkg {
	t.Helper()
	out, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 5 {
		t.Fatalf("found %d packages only; is %s the repository?", len(out), root)
	}
	return out
}

// parsed parses every package once for all tests, which only read them.
var parsed = sync.OnceValues(func() ([]*pkg, error) {
	var out []*pkg
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "bin" || name == "dist") {
			return filepath.SkipDir
		}
		p, err := parse(dir)
		if p != nil {
			out = append(out, p)
		}
		return err
	})
	return out, err
})

func parse(dir string) (*pkg, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		return nil, err
	}
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		return nil, err
	}
	p := &pkg{dir: filepath.ToSlash(rel), files: map[string]*ast.File{}, fset: token.NewFileSet()}
	for _, name := range names {
		f, err := parser.ParseFile(p.fset, name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		p.files[name] = f
		if !strings.HasSuffix(name, "_test.go") {
			p.name = f.Name.Name
		}
	}
	return p, nil
}

// rule forbids packages below one folder to import others.
type rule struct {
	from   string   // folder; "" is every package
	not    []string // import paths, with all below them
	but    []string // folders to which the rule does not apply
	save   []string // import paths that are not forbidden, though they lie below one that is
	reason string
}

// rules are the forbidden imports.
func rules() []rule {
	ours := func(dirs ...string) []string {
		out := make([]string, len(dirs))
		for i, d := range dirs {
			out[i] = path.Join(module, d)
		}
		return out
	}
	return []rule{
		{from: "cli", not: ours("daemon", "edgesvc", "tui", "cmd"), reason: "the command speaks to services over their API; cmd hands in what runs in process"},
		{from: "tui", not: ours("cli", "daemon", "edgesvc", "cmd"), reason: "the dashboard draws what it is handed"},
		{from: "daemon", not: ours("cli", "edgesvc", "tui", "cmd"), reason: "the Warpgate is linked into a small sidecar and has no terminal"},
		{from: "edgesvc", not: ours("cli", "daemon", "tui", "cmd"), reason: "services have no terminal and are no client of themselves"},
		{from: "", but: []string{"manifest", "release"}, not: []string{"go.yaml.in"}, reason: "files of our own are small and strict by goccy; one that others write is read by manifest, whose tests compare, and goreleaser's by release as goreleaser reads it"},
		{from: "policy", not: ours("api", "relay", "tunnel", "trust"), reason: "a decision depends on a bundle and a request, not on how they came"},
		{from: "relay", not: ours("policy", "api", "trust"), reason: "the relay moves messages and decides nothing"},
		{from: "pipe", not: append(ours("policy", "api", "trust", "tunnel", "relay"), "net/http"), reason: "bytes are carried whatever their protocol: a stream that is no HTTP needs none"},
		{from: "gather", not: append(ours("admission", "api", "policy", "preface", "pipe", "relay", "trust", "tunnel"), "crypto/tls", "net/http"), reason: "bytes wait and go out whatever they mean, and whether they are encrypted"},
		{from: "preface", not: append(ours("policy", "api", "trust", "tunnel", "relay", "pipe"), "net/http"), reason: "what an exchange is comes before the protocol that it speaks: a kind of stream needs no HTTP"},
		{from: "tunnel/mux", not: append(ours("admission", "api", "policy", "preface", "relay", "trust", "backoff"), "net/http", "crypto/tls"), reason: "a stream carries an exchange whatever it says, and whoever may use it"},
		{from: "tunnel", not: ours("policy", "api", "relay"), reason: "the tunnel is transport: it knows no HTTP and makes no decision"},
		{from: "", but: []string{"cli", "daemon", "tui", "cmd", "bench"}, not: ours("local"), reason: "commands and the local daemon meet there, and nobody else has a part in it. The dashboard has its nouns from there, and no client (TestDashboardHasNoClient)"},
		{from: "local", not: append(ours("policy", "relay", "tunnel", "trust", "strictjson"), "github.com/prometheus"), reason: "it is a contract and its client: what an operation does is the daemon's business"},
		{from: "cli/trust/store", not: ours("api", "local", "cli/invocation", "cli/profile", "cli/exit"), reason: "how a store is changed depends on no command and nobody who is asked"},
		{from: "cmd/warpgate/service", not: ours("daemon", "cli", "trust", "api"), reason: "a service is words, files and a manager: what the words mean is the program's business"},
		{from: "daemon/rest", not: ours("policy", "relay", "tunnel", "trust", "daemon/warpgate", "daemon/forward", "daemon/state"), reason: "the API serves what a Host does, and knows no Warpgate"},
		{from: "daemon/page", not: ours("api", "policy", "relay", "tunnel", "trust", "daemon"), reason: "it lets browsers read what it is handed, and can do nothing itself"},
		{from: "daemon/inspect/export", not: append(ours("api", "policy", "relay", "tunnel", "trust", "daemon/mask"), "net"), reason: "it writes what it is handed, masked already"},
		{from: "daemon/event", not: ours("api", "policy", "relay", "tunnel", "trust", "daemon/rest"), reason: "events are carried whatever made them and whoever reads"},
		{from: "daemon/mask", not: append(ours("api", "local", "policy", "relay", "tunnel", "trust", "daemon"), "net", "net/http", "os"), reason: "the sidecar links it: what is secret depends on names and texts alone"},
		{from: "daemon/inspect/filter", not: append(ours("api", "policy", "relay", "tunnel", "trust", "daemon"), "net", "net/http", "os"), reason: "whether an exchange is meant depends on what it is handed"},
		{from: "daemon/inspect/decode", not: append(ours("api", "policy", "relay", "tunnel", "trust", "daemon", "local"), "net", "net/http", "os"), reason: "it undoes bytes that it is handed, and knows no exchange"},
		{from: "daemon/inspect/frame", not: append(ours("api", "policy", "relay", "tunnel", "trust", "daemon", "local"), "net", "net/http", "os"), save: ours("daemon/inspect/decode"), reason: "it reads bytes that pass by, and keeps none"},
		{from: "daemon/inspect/pretty", not: append(ours("api", "policy", "relay", "tunnel", "trust", "daemon"), "net", "net/http", "os"), reason: "it makes text of bytes, masked before"},
		{from: "daemon/inspect/protobuf", not: append(ours("api", "policy", "relay", "tunnel", "trust", "daemon"), "net", "net/http", "os"), reason: "it makes text of messages, whatever they came in"},
		{from: "assertion", not: ours("policy", "api", "relay", "tunnel", "trust", "grant"), reason: "workloads link it, to check what they receive"},
		{from: "trust", not: ours("policy", "api", "relay", "tunnel"), reason: "what a peer may believe depends on signatures alone"},
		{from: "edgesvc/edge", not: ours("edgesvc/control", "edgesvc/ca", "edgesvc/store", "edgesvc/identity"), save: ours("edgesvc/identity/pages"), reason: "an edge can be stolen: it holds no key and no store of the control plane, not even in its program's reach. Pages only render, and one says that the control plane is away"},
		{from: "edgesvc/identity/pages", not: append(ours("api", "policy", "trust", "edgesvc"), "net"), save: ours("edgesvc/identity/pages"), reason: "an edge links it: it renders what it is handed and knows no store and no connection"},
		{from: "edgesvc/edge/front", not: append(ours("policy", "relay", "preface", "pipe", "tunnel", "trust", "edgesvc/edge"), "net/http"), reason: "what is spoken inside TLS is its handlers' business"},
		{from: "edgesvc/edge/web", not: ours("edgesvc/edge/front", "edgesvc/edge/member", "edgesvc/edge/identity", "edgesvc/edge/replica", "edgesvc/edge/certificate", "edgesvc/edge/report", "trust"), reason: "what the web needs of the edge it is handed, by small interfaces of its own"},
		{from: "edgesvc/edge/hosted", not: ours("edgesvc/edge", "admission", "tunnel", "trust"), reason: "a page depends on what one request says, and on the control plane alone"},
		{from: "edgesvc/edge/session", not: ours("edgesvc/edge", "admission", "tunnel", "policy"), reason: "who sends a request does not depend on what the request asks for"},
		{from: "edgesvc/edge/filter", not: ours("edgesvc/edge/web", "edgesvc/edge/front", "edgesvc/edge/member", "edgesvc/edge/replica", "admission", "tunnel", "trust"), reason: "a filter sees one request and its response, and no connection"},
		{from: "edgesvc/edge/waf", not: append(ours("edgesvc/edge", "admission", "api", "policy", "trust"), "net/http"), reason: "whether a request is an attack depends on the request and its route's settings"},
		{from: "", not: []string{"github.com/corazawaf"}, but: []string{"edgesvc/edge/waf"}, reason: "the engine of the firewall belongs to edges alone; a Warpgate never has it"},
		{from: "edgesvc/edge/webhook", not: append(ours("edgesvc/edge", "admission", "api", "policy", "tunnel", "trust"), "net/http"), reason: "who has signed a request depends on the request and a secret alone"},
		{from: "edgesvc/control", not: ours("edgesvc/edge"), reason: "the control plane knows edges by what they report"},
		{from: "edgesvc/edgepart", not: ours("api", "policy", "relay", "tunnel", "trust", "edgesvc/control", "edgesvc/edge", "edgesvc/ca", "edgesvc/store", "edgesvc/seal", "edgesvc/identity"), reason: "what is encrypted to an edge depends on its key alone"},
		{from: "edgesvc/archive", not: ours("api", "edgesvc/control", "edgesvc/ca", "edgesvc/store", "policy"), reason: "what is archived is verified years later, with nothing else at hand"},
		{from: "edgesvc/store", not: ours("api", "edgesvc/control", "edgesvc/ca", "policy"), reason: "the store knows no entity"},
		{from: "", but: []string{"edgesvc/store/badger", "bench/inprocess"}, not: []string{"github.com/dgraph-io/badger"}, reason: "one driver knows the engine, and what is compared with it; everyone else the contract"},
		{from: "", but: []string{"edgesvc/store/etcd", "edgesvc/store/etcdtest", "bench/inprocess"}, not: []string{"go.etcd.io"}, reason: "one driver knows the engine, and what is compared with it; everyone else the contract"},
		{from: "", but: []string{"edgesvc/store/etcdtest", "bench/inprocess"}, not: ours("edgesvc/store/etcdtest", "edgesvc/store/storetest"), reason: "what tests run on stays in tests: it holds the whole of etcd"},
		{from: "", but: []string{"edgesvc/control/controltest", "edgesvc/store/storetest"}, not: ours("testkit"), reason: "it is for tests"},
		{from: "", but: []string{"edgesvc/control/controltest"}, not: ours("edgesvc/control/controltest"), reason: "it is for tests"},
		{from: "", not: ours("edgesvc/control/record/recordtest"), reason: "it is for tests"},
		{from: "", not: ours("tui/screen/screentest"), reason: "it is for tests"},
		{from: "", not: ours("edgesvc/mail/mailtest"), reason: "it is for tests"},
		{from: "", not: ours("edgesvc/identity/pages/pagestest"), reason: "it is for tests"},
		{from: "listening", not: append(ours("api", "cli", "daemon", "edgesvc", "tui", "cmd"), "net/http"), reason: "what listens here is asked of the system; nothing is dialled"},
		{from: "edgesvc/mail", not: ours("edgesvc/control", "edgesvc/identity", "edgesvc/store"), reason: "a transport knows no queue and no words of its mails"},
		{from: "", but: []string{"edgesvc/mail"}, not: []string{"github.com/emersion"}, reason: "everyone else hands over a mail, and knows no SMTP"},
		{from: "", not: ours("grant/granttest"), reason: "it is for tests"},
		{from: "", not: ours("daemon/inspect/inspecttest"), reason: "it is for tests"},
		{from: "", not: ours("cli/manual"), reason: "it writes files that are committed, and tests hold them against the commands"},
		{from: "edgesvc/control/record", not: ours("edgesvc/control/access", "edgesvc/identity", "edgesvc/control/team", "edgesvc/control/fleet", "edgesvc/control/config", "edgesvc/control/service", "edgesvc/control/rest"), reason: "the transaction engine knows no noun and no caller"},
		{from: "edgesvc/control/access", not: ours("edgesvc/identity", "edgesvc/control/team", "edgesvc/control/fleet", "edgesvc/control/config", "edgesvc/control/service", "edgesvc/control/rest"), reason: "who may do what is decided below what they do"},
		{from: "edgesvc/identity", not: ours("edgesvc/edge", "edgesvc/control/team", "edgesvc/control/fleet", "edgesvc/control/config", "edgesvc/control/service", "edgesvc/control/rest"), reason: "nouns beside one another meet in config and service"},
		{from: "edgesvc/identity/password", not: ours("api", "edgesvc/control", "edgesvc/store", "edgesvc/seal", "edgesvc/ca"), reason: "whether a password is a good one, or the right one, depends on no record"},
		{from: "edgesvc/control/team", not: ours("edgesvc/identity", "edgesvc/control/fleet", "edgesvc/control/config", "edgesvc/control/service", "edgesvc/control/rest"), reason: "nouns beside one another meet in config and service"},
		{from: "edgesvc/control/fleet", not: ours("edgesvc/identity", "edgesvc/control/team", "edgesvc/control/config", "edgesvc/control/service", "edgesvc/control/rest"), reason: "nouns beside one another meet in config and service"},
		{from: "edgesvc/control/config", not: ours("edgesvc/control/team", "edgesvc/control/service", "edgesvc/control/rest"), reason: "the front lies above all nouns"},
		{from: "edgesvc/control/installation", not: ours("edgesvc/control/service", "edgesvc/control/rest"), reason: "the front lies above all nouns"},
		{from: "edgesvc/control/service", not: ours("edgesvc/control/rest"), reason: "an operation knows no HTTP"},
		{from: "", but: []string{"edgesvc/store/storetest"}, not: []string{"github.com/anishathalye/porcupine"}, reason: "a checker of histories is for tests"},
		{from: "", but: []string{"edgesvc"}, not: []string{"github.com/danielgtaylor/huma"}, reason: "the server framework stays at the server; the client is linked into small programs"},
		{from: "", but: []string{"cli/keyring"}, not: []string{"github.com/zalando/go-keyring"}, reason: "everyone else gets a keyring, which may be none and may be shut"},
		{from: "", but: []string{"cli/jq"}, not: []string{"github.com/itchyny"}, reason: "an expression of a user is bounded in one place"},
		{from: "", but: []string{"cli"}, not: []string{"github.com/urfave/cli"}, reason: "the flag library ends where the command line does"},
		{from: "", not: []string{"github.com/golang/protobuf", "golang.org/x/net/http2"}, but: []string{"bench", "h2", "testkit/frames"}, reason: "HTTP/2 is spoken by package h2, which has HPACK from there"},
		{from: "", not: []string{"log"}, but: []string{"bench"}, reason: "slog is handed in; the global logger belongs to nobody"},
		{from: "", not: []string{"math/rand", "math/rand/v2"}, but: []string{"backoff", "tunnel", "bench", "daemon", "edgesvc/edge", "relay"}, reason: "secrets and ids of records come from crypto/rand; only jitter and request ids may be guessable"},
		{from: "", not: []string{"unsafe"}, reason: "nothing here needs it"},
	}
}

// matches reports whether an import is one that a rule names: with all below it,
// but for packages of the standard library, each of which stands for itself.
func matches(i, not string) bool {
	if first, _, _ := strings.Cut(not, "/"); strings.Contains(first, ".") {
		return below(i, not)
	}
	return i == not
}

// below reports whether p is dir or lies below it.
func below(p, dir string) bool { return dir == "" || p == dir || strings.HasPrefix(p, dir+"/") }

func TestForbiddenImports(t *testing.T) {
	for _, p := range load(t) {
		for _, r := range rules() {
			if !below(p.dir, r.from) || slices.ContainsFunc(r.but, func(d string) bool { return below(p.dir, d) }) {
				continue
			}
			for _, i := range p.imports() {
				if slices.ContainsFunc(r.not, func(not string) bool { return matches(i, not) }) && !below(i, p.path()) && !slices.Contains(r.save, i) {
					t.Errorf("%s imports %s: %s", p.dir, i, r.reason)
				}
			}
		}
	}
}

func TestRootImportsStandardLibraryOnly(t *testing.T) {
	for _, p := range load(t) {
		if p.dir != "." {
			continue
		}
		for _, i := range p.imports() {
			if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") {
				t.Errorf("the domain imports %s", i)
			}
			if i == "net/http" || i == "database/sql" || i == "flag" || i == "os" {
				t.Errorf("the domain imports %s: it has no HTTP, SQL, flags or files", i)
			}
		}
	}
}

// linked are what a program may never contain, by program.
func linked() map[string]map[string]string {
	return map[string]map[string]string{
		"cmd/warpgate": {
			"github.com/dgraph-io/badger": "the sidecar keeps its state in files",
			"github.com/danielgtaylor":    "the sidecar serves no API",
			"go.etcd.io":                  "the sidecar has no store",
			"github.com/urfave":           "the sidecar is small: flags are the standard library's",
			"github.com/goccy":            "the sidecar is small: it has no configuration file",
			"github.com/emersion":         "the sidecar sends no mail",
			"go.yaml.in":                  "as github.com/goccy",
			"github.com/zalando":          "the sidecar has no login: its key is in a file",
			"github.com/godbus":           "as github.com/zalando",
			module + "/edgesvc":           "a Warpgate holds no part of the services",
			module + "/daemon/folder":     "the sidecar serves no files",
			module + "/cli/update":        "the sidecar is replaced by whoever deploys it",
			"golang.org/x/crypto/ssh":     "as " + module + "/cli/update",
			module + "/tui":               "the sidecar has no dashboard",
			module + "/local":             "the sidecar runs one Warpgate, and nobody asks it for another",
			module + "/listening":         "the sidecar is told its one workload",
			module + "/daemon/rest":       "as " + module + "/local",
			module + "/daemon/inspect":    "the sidecar keeps nothing of what passes",
			module + "/daemon/page":       "the sidecar has no page",
			"github.com/Microsoft":        "the sidecar has no local API",
			"github.com/kardianos":        "units are texts: it writes its own",
			module + "/cli/trust":         "the sidecar changes nobody's browsers",
			module + "/cli/jq":            "the sidecar shows no results",
			"github.com/itchyny":          "as " + module + "/cli/jq",
		},
		"cmd/mezusphere": {
			"go.etcd.io/etcd/server":                "etcd runs in processes of its own; its client alone is linked",
			"go.etcd.io/raft":                       "etcd runs in processes of its own; its client alone is linked",
			module + "/edgesvc/store/etcdtest":      "it is for tests",
			module + "/edgesvc/store/storetest":     "it is for tests",
			module + "/edgesvc/control/controltest": "it is for tests",
			"github.com/anishathalye/porcupine":     "it is for tests",
			"github.com/zalando":                    "services log in nowhere: what they keep is in their store and in files",
			module + "/cli/update":                  "services are replaced by whoever deploys them",
			module + "/cli/jq":                      "services show no results",
			"github.com/itchyny":                    "as " + module + "/cli/jq",
		},
		"cmd/mezu": {
			"go.etcd.io": "etcd is for installations of many machines",
		},
	}
}

func TestLinkedPackages(t *testing.T) {
	for program, never := range linked() {
		out, err := exec.Command("go", "list", "-deps", module+"/"+program).Output()
		if err != nil {
			t.Errorf("listing what %s links: %v", program, err)
			continue
		}
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			for not, reason := range never {
				if below(dep, not) {
					t.Errorf("%s links %s: %s", program, dep, reason)
				}
			}
		}
	}
}

// maxFanOut is how many of our packages one may import: past it a package knows
// all the others.
const maxFanOut = 6

// wide are packages that may import more of ours, each with its reason and its
// number.
func wide() map[string]struct {
	most   int
	reason string
} {
	return map[string]struct {
		most   int
		reason string
	}{
		"cli":                          {36, "assembles the tree of commands, a package for each noun"},
		"cli/daemon":                   {8, "the command's side of the daemon: where it listens, how it is started, what its API answers, what a person is told"},
		"cli/declare":                  {8, "a file, the context around it and the control plane meet in four commands"},
		"cli/doctor":                   {9, "looks at all that a tunnel of this machine depends on"},
		"cli/status":                   {8, "a way over edge and Warpgate is asked of each of those who know a part of it"},
		"cli/audit":                    {7, "a log is followed over a connection that is tried again"},
		"cli/trust":                    {8, "a file of a profile, what is remembered of it, stores, and a look at the address that uses it"},
		"cli/profiles":                 {7, "a profile that is deleted logs out first"},
		"cli/update":                   {10, "what was noted of an installation, where a release is, whose key has signed it, the program and its daemon meet in one command"},
		"cli/tunnel":                   {11, "target, environment, daemon and what is shown of a tunnel, in lines or on a dashboard, meet here"},
		"cli/requests":                 {9, "requests are listed, followed over a stream that is taken up again, edited in a file, sent and written to one"},
		"cli/tunnel/target":            {9, "a target comes from a line, from a file with what was agreed to, or from what listens; and an answer from a file"},
		"tui/log":                      {7, "a screen is made of lists, a field, what is followed, keys and how they look"},
		"tui/users":                    {7, "as tui/log, with a form"},
		"tui/routes":                   {8, "as tui/log, and what the local daemon tells of requests"},
		"tui/warpgates":                {7, "as tui/routes, of links"},
		"cli/invocation":               {7, "flags, variables, files and a profile become a client; and a secret goes into a file"},
		"cli/webhooks":                 {8, "a noun, and a secret that comes from a file or on standard input"},
		"cli/routes":                   {8, "a request is tried on routes as a user, with the code that edges judge by"},
		"daemon":                       {11, "the host of tunnels: what was asked for, Warpgates, workloads, figures, events, the inspector and the look at the network meet here and only here"},
		"tui/requests":                 {7, "nouns, what is told of them, and the four parts of every screen: keys, fields, drawing, and what a screen is"},
		"tui/tunnels":                  {9, "as tui/requests, whose last rows it shows, with the dialog and the forms that it opens"},
		"daemon/forward":               {14, "the second line: what an exchange is, who sends it, whether it may, its way on in either version of HTTP, and which are under way; the password and the hints of a tunnel; and no secret in what is told of it"},
		"daemon/workload":              {7, "what answers for a tunnel: target or folder, password, hints, and who else listens"},
		"daemon/inspect/show":          {8, "what is kept, filters, masks, encodings, forms and schemas meet here, so that nobody shows what another one masks"},
		"daemon/rest":                  {7, "what a Host does, and what its inspector keeps, shown and exported"},
		"daemon/state":                 {8, "every statement that a Warpgate believes, and what it makes of each"},
		"daemon/warpgate":              {8, "the life of a Warpgate: enrolment, state, tunnel, forwarding and sessions meet here and only here"},
		"edgesvc/identity":             {7, "users have roles of projects, accounts that log in, and directories with a logo"},
		"edgesvc/identity/login":       {9, "a flow goes from a form over an account and its password to a page, and a session comes in a cookie"},
		"edgesvc/identity/oauth":       {8, "a login of a program goes from a call over records of persons and tokens to a page"},
		"edgesvc/control":              {9, "assembles the control plane of its parts, and does nothing else"},
		"edgesvc/control/front":        {8, "the one place where listeners, certificate, REST API and pages meet"},
		"edgesvc/control/state":        {8, "one directory holds what several packages keep"},
		"edgesvc/edge":                 {13, "assembles an edge of its parts, and does nothing else"},
		"edgesvc/edge/replica":         {8, "the edge's copy of every statement: what it believes, how it judges, and where both are kept"},
		"edgesvc/edge/identity":        {7, "a certificate, the key beside it that secrets are encrypted to, and how both come and are kept"},
		"edgesvc/edge/member":          {7, "assembles what makes an edge a member of an installation, and does nothing else"},
		"edgesvc/edge/session":         {7, "from a cookie over a grant, and how often a client may show one, to how the session goes on"},
		"edgesvc/edge/hosted":          {7, "what the control plane answers, and the few answers of the edge's own: keys, who is there, the page of an outage"},
		"edgesvc/edge/filter":          {8, "rules of the edge meet here: sessions, cookies, limits, the firewall, signatures of webhooks and what a route says of them"},
		"edgesvc/edge/web":             {13, "the hub of a request: both versions of HTTP, form, session, decision, filter, limits, pages, tunnel and relay meet here, and what is under way"},
		"bench/inprocess":              {11, "puts the operations over both stores together as the control plane does, to time them"},
		"bench/visitors":               {9, "one request of a visitor goes by what both ends do with it"},
		"bench":                        {8, "starts everything it compares"},
		"edgesvc/control/controltest":  {8, "runs a whole control plane for tests"},
		"edgesvc/control/service":      {9, "puts the nouns together, and does nothing else"},
		"edgesvc/control/installation": {8, "keys, stream and backups are of all nouns"},
		"edgesvc/control/record":       {8, "every write is planned, signed, audited and committed here"},
		"edgesvc/control/fleet":        {9, "certificates, statements and presence of edges and Warpgates meet here, and the keys that secrets are encrypted to"},
		"edgesvc/control/config":       {9, "an apply is one transaction over all that a project has, with what is encrypted to edges"},
		"edgesvc/control/rest":         {8, "HTTP on one side, callers, operations and their description on the other"},
	}
}

func TestFanOut(t *testing.T) {
	for _, p := range load(t) {
		if p.inCmd() {
			continue
		}
		var ours []string
		for _, i := range p.imports() {
			if below(i, module) {
				ours = append(ours, i)
			}
		}
		most := maxFanOut
		if w, ok := wide()[p.dir]; ok {
			most = w.most
		}
		if len(ours) > most {
			t.Errorf("%s imports %d of our packages, %d at most: %q", p.dir, len(ours), most, ours)
		}
	}
}

// TestDashboardHasNoClient: the dashboard has the nouns of the local API, and is handed who asks
// for them.
func TestDashboardHasNoClient(t *testing.T) {
	for _, p := range load(t) {
		if p.dir != "tui" && !strings.HasPrefix(p.dir, "tui/") {
			continue
		}
		for _, f := range p.code() {
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				of, ok := sel.X.(*ast.Ident)
				if ok && of.Name == "local" && slices.Contains([]string{"Client", "Stream", "New", "Dial", "Listen"}, sel.Sel.Name) {
					t.Errorf("%s: uses local.%s, and the dashboard is handed what asks the daemon", p.at(n), sel.Sel.Name)
				}
				return true
			})
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range load(t) {
		var with []string
		for name, f := range p.code() {
			if f.Doc != nil {
				with = append(with, filepath.Base(name))
			}
		}
		if len(p.code()) > 0 && len(with) != 1 {
			t.Errorf("package %s has its comment in %d files %q, not in exactly one", p.dir, len(with), with)
		}
		for name, f := range p.code() {
			if f.Doc == nil {
				continue
			}
			want := "Package " + p.name + " "
			if p.name == "main" {
				want = "Command " + path.Base(p.dir) + " "
			}
			if !strings.HasPrefix(f.Doc.Text(), want) {
				t.Errorf("%s: the package comment begins with %q", name, want)
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range load(t) {
		for _, part := range strings.Split(p.dir, "/") {
			switch part {
			case "util", "utils", "common", "helper", "helpers", "misc", "pkg", "shared", "lib", "internal":
				t.Errorf("%s: find the noun", p.dir)
			}
		}
		if p.name != "" && p.name != "main" && p.dir != "." && p.name != path.Base(p.dir) {
			t.Errorf("package %s lies in the folder %s", p.name, p.dir)
		}
	}
}

// TestBuildableEverywhere: no package is empty on a platform that we build for.
func TestBuildableEverywhere(t *testing.T) {
	for _, platform := range []string{"linux", "darwin", "windows"} {
		for _, p := range load(t) {
			if len(p.code()) == 0 {
				continue
			}
			c := build.Default
			c.GOOS, c.GOARCH, c.CgoEnabled = platform, "amd64", false
			if _, err := c.ImportDir(filepath.Join(root, filepath.FromSlash(p.dir)), 0); err != nil {
				t.Errorf("%s on %s: %v", p.dir, platform, err)
			}
		}
	}
}
