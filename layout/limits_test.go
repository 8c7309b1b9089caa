package layout_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// limitsPage is the page of every bound that somebody can meet.
const limitsPage = root + "/docs/limits.md"

// limitsHeader is the header of each table of that page.
const limitsHeader = "| bound | default | constant | reason | how to change it | what exceeding it looks like | test |"

// boundedDirs are the packages that read what peers, tenants and files say. Each of
// their constants named max… or Max… has to be on the page.
var boundedDirs = []string{".", "admission", "api", "daemon/asked", "daemon/inspect", "daemon/inspect/decode", "daemon/inspect/filter", "daemon/inspect/frame", "daemon/inspect/pretty", "daemon/inspect/protobuf", "daemon/mask", "daemon/folder", "daemon/forward", "daemon/forward/guard", "daemon/forward/hint", "daemon/event", "daemon/inspect/export", "daemon/inspect/show", "daemon/page", "daemon/rest", "daemon/state", "daemon/workload", "edgesvc/console", "edgesvc/control", "edgesvc/control/front", "edgesvc/control/rest", "edgesvc/control/service", "edgesvc/control/installation", "edgesvc/control/record", "edgesvc/control/access", "edgesvc/control/team", "edgesvc/control/fleet", "edgesvc/control/config",
	"edgesvc/identity", "edgesvc/identity/password", "edgesvc/mail", "edgesvc/control/snapshot", "edgesvc/control/state", "edgesvc/control/upkeep", "edgesvc/control/vault",
	"edgesvc/edge", "edgesvc/edge/certificate", "edgesvc/edge/filter", "edgesvc/edge/front", "edgesvc/edge/hosted", "edgesvc/edge/identity", "edgesvc/edge/labels", "edgesvc/edge/logout", "edgesvc/edge/member", "edgesvc/edge/replica", "edgesvc/edge/report", "edgesvc/edge/session", "edgesvc/edge/shed", "edgesvc/edge/waf", "edgesvc/edge/web", "edgesvc/edge/webhook",
	"cli/update", "cli/update/record", "cli/update/source", "cli/update/sshsig",
	"gather", "grant", "h2", "cookie", "listening", "local", "logo", "manifest", "pipe", "policy", "preface", "relay", "strictjson", "trust", "trust/ledger", "trust/statedir", "tunnel"}

// TestLimitsPage holds docs/limits.md against the code: a default is the value of
// its constant, a test exists, and no bound is missing.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile(limitsPage)
	if err != nil {
		t.Fatal(err)
	}
	pkgs := load(t)
	consts, tests := evaluateConstants(pkgs), testNames(pkgs)
	rows := limitRows(t, string(page))
	if len(rows) < 20 {
		t.Fatalf("found %d rows only: is the header of the tables still %q?", len(rows), limitsHeader)
	}
	for _, r := range rows {
		r.check(t, consts, tests)
	}
	for _, m := range inside.FindAllStringSubmatch(string(page), -1) {
		if dir, ident, _ := cutLast(m[1], "."); consts[strings.Replace(dir, "mezu", ".", 1)+"#"+ident] == nil {
			t.Errorf("docs/limits.md names `%s`, which is no constant any more", m[1])
		}
	}
	for name := range consts {
		if dir, c, _ := strings.Cut(name, "#"); slices.Contains(boundedDirs, dir) && isBound(c) {
			if shown := shownConstant(dir, c); !strings.Contains(string(page), "`"+shown+"`") {
				t.Errorf("docs/limits.md does not name `%s`: add a row, or name it at the end among those that nobody meets", shown)
			}
		}
	}
}

// inside is a line of the list of bounds that nobody meets.
var inside = regexp.MustCompile("(?m)^- `([^`]+)`$")

// isBound reports whether a constant is a bound by its name.
func isBound(name string) bool {
	rest, ok := strings.CutPrefix(name, "max")
	if !ok {
		rest, ok = strings.CutPrefix(name, "Max")
	}
	return ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z'
}

// shownConstant is how the page writes a constant: folder.Name, the root's package
// by its name.
func shownConstant(dir, name string) string {
	if dir == "." {
		dir = "mezu"
	}
	return dir + "." + name
}

// limitRow is one row of a table.
type limitRow struct {
	line  int
	cells []string
}

// limitRows reads the tables that have limitsHeader.
func limitRows(t *testing.T, page string) []limitRow {
	var out []limitRow
	in := false
	for i, line := range strings.Split(page, "\n") {
		switch {
		case line == limitsHeader:
			in = true
		case !strings.HasPrefix(line, "|"):
			in = false
		case in && !strings.HasPrefix(line, "|---"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for j := range cells {
				cells[j] = strings.TrimSpace(cells[j])
			}
			if len(cells) != strings.Count(limitsHeader, "|")-1 {
				t.Errorf("docs/limits.md:%d: %d cells instead of %d", i+1, len(cells), strings.Count(limitsHeader, "|")-1)
				continue
			}
			out = append(out, limitRow{line: i + 1, cells: cells})
		}
	}
	return out
}

// check holds one row against the code.
func (r limitRow) check(t *testing.T, consts map[string]constant.Value, tests []string) {
	for i, cell := range r.cells {
		if cell == "" {
			t.Errorf("docs/limits.md:%d: the cell %d is empty", r.line, i+1)
		}
	}
	if name := r.cells[2]; name != "—" { // a default that is computed at the start has no constant
		dir, ident, _ := cutLast(strings.Trim(name, "`"), ".")
		if dir == "mezu" {
			dir = "."
		}
		value, ok := consts[dir+"#"+ident]
		if !ok {
			t.Errorf("docs/limits.md:%d: there is no constant %s", r.line, name)
		} else if want, err := parseBound(r.cells[1]); err != nil {
			t.Errorf("docs/limits.md:%d: %v", r.line, err)
		} else if got, _ := constant.Float64Val(constant.ToFloat(value)); got != want {
			t.Errorf("docs/limits.md:%d: %s is %v, the page says %q", r.line, name, value, r.cells[1])
		}
	}
	name, _, _ := strings.Cut(strings.Trim(r.cells[6], "`"), "/")
	if !slices.Contains(tests, name) {
		t.Errorf("docs/limits.md:%d: there is no test %s", r.line, name)
	}
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// bound is how a default begins: a number, with commas between thousands, and a
// unit of time or size if it has one. What follows is for the reader.
var bound = regexp.MustCompile(`^([0-9][0-9,.]*)(?: (B|KiB|MiB|GiB|ms|s|min|h|days?))?\b`)

// parseBound reads a default: bytes, nanoseconds or a plain number.
func parseBound(cell string) (float64, error) {
	m := bound.FindStringSubmatch(cell)
	if m == nil {
		return 0, fmt.Errorf("the default %q does not begin with a number", cell)
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
	if err != nil {
		return 0, err
	}
	units := map[string]float64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "ms": float64(time.Millisecond),
		"s": float64(time.Second), "min": float64(time.Minute), "h": float64(time.Hour), "day": float64(24 * time.Hour), "days": float64(24 * time.Hour)}
	return n * units[m[2]], nil
}

// TestSecurityPage holds the proofs that docs/security.md names against the tests that there
// are.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(load(t))
	named := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 20 {
		t.Fatalf("found %d proofs only", len(named))
	}
	for _, m := range named {
		if !slices.Contains(tests, m[1]) {
			t.Errorf("docs/security.md names `%s`, which is no test", m[1])
		}
	}
}

// testNames are the names of all tests.
func testNames(pkgs []*pkg) []string {
	var out []string
	for _, p := range pkgs {
		for _, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
					out = append(out, fn.Name.Name)
				}
			}
		}
	}
	return out
}

// constants evaluates the numeric constants of all packages from their source, so
// that unexported ones can be read as well.
type constants struct {
	pkgs   map[string]*pkg                 // by folder
	source map[string]map[string]constExpr // by folder and name
	values map[string]constant.Value       // by folder#name; nil while it is evaluated
}

// constExpr is the value of a constant as it is written.
type constExpr struct {
	file *ast.File
	expr ast.Expr
}

// evaluateConstants gives the value of every numeric constant by folder#name.
func evaluateConstants(pkgs []*pkg) map[string]constant.Value {
	c := constants{pkgs: map[string]*pkg{}, source: map[string]map[string]constExpr{}, values: map[string]constant.Value{}}
	for _, p := range pkgs {
		c.pkgs[p.dir] = p
		c.source[p.dir] = map[string]constExpr{}
		for _, f := range p.code() {
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.CONST {
					continue
				}
				for _, s := range g.Specs {
					spec := s.(*ast.ValueSpec)
					for i, n := range spec.Names {
						if i < len(spec.Values) {
							c.source[p.dir][n.Name] = constExpr{f, spec.Values[i]}
						}
					}
				}
			}
		}
	}
	out := map[string]constant.Value{}
	for dir, names := range c.source {
		for name := range names {
			if v := c.value(dir, name); v != nil && (v.Kind() == constant.Int || v.Kind() == constant.Float) {
				out[dir+"#"+name] = v
			}
		}
	}
	return out
}

// value is one constant's, nil if it is not to be had.
func (c *constants) value(dir, name string) constant.Value {
	key := dir + "#" + name
	if v, ok := c.values[key]; ok {
		return v
	}
	c.values[key] = nil
	if src, ok := c.source[dir][name]; ok {
		c.values[key] = c.eval(dir, src.file, src.expr)
	}
	return c.values[key]
}

// eval evaluates an expression of literals, constants, operators and conversions.
func (c *constants) eval(dir string, f *ast.File, e ast.Expr) constant.Value {
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0)
	case *ast.ParenExpr:
		return c.eval(dir, f, e.X)
	case *ast.Ident:
		return c.value(dir, e.Name)
	case *ast.SelectorExpr:
		return c.foreign(f, e)
	case *ast.CallExpr: // a conversion
		if len(e.Args) == 1 {
			return c.eval(dir, f, e.Args[0])
		}
	case *ast.UnaryExpr:
		if x := c.eval(dir, f, e.X); x != nil && x.Kind() != constant.String {
			return constant.UnaryOp(e.Op, x, 0)
		}
	case *ast.BinaryExpr:
		return operate(c.eval(dir, f, e.X), e.Op, c.eval(dir, f, e.Y))
	}
	return nil
}

// foreign is a constant of another package: of this module or of package time.
func (c *constants) foreign(f *ast.File, e *ast.SelectorExpr) constant.Value {
	x, ok := e.X.(*ast.Ident)
	if !ok {
		return nil
	}
	for _, i := range f.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name != x.Name {
			continue
		}
		if p == "time" {
			if d, ok := map[string]time.Duration{"Nanosecond": 1, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
				"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}[e.Sel.Name]; ok {
				return constant.MakeInt64(int64(d))
			}
			return nil
		}
		if p == module {
			return c.value(".", e.Sel.Name)
		}
		if dir, ok := strings.CutPrefix(p, module+"/"); ok {
			return c.value(dir, e.Sel.Name)
		}
	}
	return nil
}

// operate applies an operator of numbers.
func operate(x constant.Value, op token.Token, y constant.Value) constant.Value {
	if x == nil || y == nil || x.Kind() == constant.String || y.Kind() == constant.String {
		return nil
	}
	switch op {
	case token.SHL, token.SHR:
		n, _ := constant.Uint64Val(constant.ToInt(y))
		return constant.Shift(constant.ToInt(x), op, uint(n))
	case token.QUO:
		if x.Kind() == constant.Int && y.Kind() == constant.Int {
			op = token.QUO_ASSIGN // of integers
		}
		return constant.BinaryOp(x, op, y)
	case token.ADD, token.SUB, token.MUL, token.REM:
		return constant.BinaryOp(x, op, y)
	}
	return nil
}
