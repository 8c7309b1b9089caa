package layout_test

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowedState are package variables that change, each with its reason.
func allowedState() map[string]string {
	linker := "set by the linker, before the program starts"
	return map[string]string{
		"cmd/mezu.version":                   linker,
		"cmd/warpgate.version":               linker,
		"cmd/mezusphere.version":             linker,
		"edgesvc/control/rest.replaceErrors": "sets huma's own variables, once",
		"edgesvc/edge/waf.register":          "adds an operator to Coraza's own table, once",
		"edgesvc/control/controltest.read":   "the API's document, the same for each installation of a process",
	}
}

// allowedForeign are variables of other packages that may be set, each with its
// reason.
func allowedForeign() map[string]string {
	return map[string]string{
		"huma.NewError":            "huma has no other place for the form of its refusals",
		"huma.NewErrorWithContext": "as huma.NewError",
		"browser.Stdout":           "the library has no other place for where the output of a browser goes",
		"browser.Stderr":           "as browser.Stdout",
	}
}

func TestNoInit(t *testing.T) {
	for _, p := range load(t) {
		for _, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: init runs before anyone can say how", p.at(fn))
				}
			}
		}
	}
}

// TestNoMutableState finds package variables that are assigned, counted up,
// indexed into for writing, deleted from or pointed at, and those of a kind that is
// only there to change. What a called function does to them it can't see.
func TestNoMutableState(t *testing.T) {
	for _, p := range load(t) {
		vars := packageVars(p)
		for name, spec := range vars {
			if reason := changes(spec, name); reason != "" && allowedState()[p.dir+"."+name] == "" {
				t.Errorf("%s: the package variable %s %s", p.at(spec), name, reason)
			}
		}
		for _, f := range p.code() {
			ast.Inspect(f, func(n ast.Node) bool {
				for _, target := range targets(n) {
					name, foreign := owner(f, target, vars)
					switch {
					case name == "":
					case foreign && allowedForeign()[name] == "":
						t.Errorf("%s: sets the variable %s of another package", p.at(n), name)
					case !foreign && allowedState()[p.dir+"."+name] == "":
						t.Errorf("%s: changes the package variable %s", p.at(n), name)
					}
				}
				return true
			})
		}
	}
}

// packageVars are the variables at package level that have a name.
func packageVars(p *pkg) map[string]*ast.ValueSpec {
	out := map[string]*ast.ValueSpec{}
	for _, f := range p.code() {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				spec := s.(*ast.ValueSpec)
				for _, n := range spec.Names {
					if n.Name != "_" && !embeds(g, spec) {
						out[n.Name] = spec
					}
				}
			}
		}
	}
	return out
}

// embeds reports whether the variable is filled by the compiler.
func embeds(g *ast.GenDecl, spec *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, spec.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// changes says why a declaration is of a variable that is there to change.
func changes(spec *ast.ValueSpec, name string) string {
	if len(spec.Values) == 0 {
		return "has no value: it is there to be set"
	}
	if name == "version" {
		return "is set from outside"
	}
	reason := ""
	ast.Inspect(spec, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // its body is not the variable
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && (x.Name == "sync" && n.Sel.Name != "Pool" || x.Name == "atomic") {
				// What a pool holds has no meaning.
				reason = "is of " + x.Name + "." + n.Sel.Name + ": it is there to change"
			}
		case *ast.CallExpr:
			if x, ok := n.Fun.(*ast.Ident); ok && (x.Name == "make" || x.Name == "new") {
				reason = "is made empty: it is there to be filled"
			}
		case *ast.ChanType:
			reason = "is a channel"
		}
		return true
	})
	return reason
}

// targets are the expressions that a statement changes or takes the address of.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// owner is the package variable below an expression such as x.f[i]: one of this
// package, or one of another as package.Name.
func owner(f *ast.File, e ast.Expr, vars map[string]*ast.ValueSpec) (name string, foreign bool) {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok && id.Obj == nil && imported(f, id.Name) {
				return id.Name + "." + x.Sel.Name, true
			}
			e = x.X
		case *ast.Ident:
			spec, ok := vars[x.Name]
			// The parser resolves names within a file: one that is not resolved
			// is of another file, one that is belongs to what it names.
			if !ok || x.Obj != nil && x.Obj.Decl != spec {
				return "", false
			}
			return x.Name, false
		default:
			return "", false
		}
	}
}

// imported reports whether name is that of an import of the file.
func imported(f *ast.File, name string) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool {
		if i.Name != nil {
			return i.Name.Name == name
		}
		p, _ := strconv.Unquote(i.Path.Value)
		base := path.Base(p)
		return base == name || strings.HasPrefix(base, "v") && path.Base(path.Dir(p)) == name
	})
}

// calls finds the calls of package.Function in a file.
func calls(f *ast.File, pkgName string, names ...string) []ast.Node {
	var out []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, s.Sel.Name) {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkgName && x.Obj == nil && imported(f, pkgName) {
				out = append(out, n)
			}
		}
		return true
	})
	return out
}

func TestNoSleepInTests(t *testing.T) {
	for _, p := range load(t) {
		for name, f := range p.files {
			if !strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, n := range calls(f, "time", "Sleep") {
				t.Errorf("%s: a test that sleeps is slow or wrong; wait for the condition", p.at(n))
			}
		}
	}
}

// endsAtOnce ends a process in which whatever main waits for hangs: on a disk that doesn't
// answer, for example. A signal that asks for the third time must not wait for that.
const endsAtOnce = "cmd/process/atonce.go"

func TestOnlyMainEndsTheProcess(t *testing.T) {
	for _, p := range load(t) {
		for name, f := range p.code() {
			if p.name == "main" && path.Base(name) == "main.go" || strings.HasSuffix(name, endsAtOnce) {
				continue
			}
			for _, n := range slices.Concat(calls(f, "os", "Exit"), calls(f, "syscall", "Exit"), calls(f, "log", "Fatal", "Fatalf", "Fatalln"), calls(f, "runtime", "Goexit")) {
				t.Errorf("%s: only main ends the process", p.at(n))
			}
		}
	}
}

// maxMain is how many lines main may have.
const maxMain = 15

func TestMainIsShort(t *testing.T) {
	for _, p := range load(t) {
		if p.name != "main" || !p.inCmd() {
			continue
		}
		for _, f := range p.code() {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Name.Name != "main" {
					continue
				}
				if lines := p.fset.Position(fn.End()).Line - p.fset.Position(fn.Pos()).Line + 1; lines >= maxMain {
					t.Errorf("%s: main has %d lines", p.at(fn), lines)
				}
			}
		}
	}
}

// TestNoDirector: ReverseProxy.Director lets a client drop headers that it adds
// (golang.org/issue/50580); Rewrite does not.
func TestNoDirector(t *testing.T) {
	for _, p := range load(t) {
		for _, f := range slices.Collect(maps.Values(p.files)) {
			if !imported(f, "httputil") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.KeyValueExpr:
					if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Director" {
						t.Errorf("%s: a ReverseProxy with a Director", p.at(n))
					}
				case *ast.SelectorExpr:
					if n.Sel.Name == "Director" {
						t.Errorf("%s: a ReverseProxy with a Director", p.at(n))
					}
				}
				return true
			})
			for _, n := range calls(f, "httputil", "NewSingleHostReverseProxy") {
				t.Errorf("%s: it makes a ReverseProxy with a Director", p.at(n))
			}
		}
	}
}
