package record

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/store/sealed/sealedtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A9: whatever is written goes through Commit, which asks for an audit record, or
// through Housekeep, which says that it is nobody's act. The nouns can't reach the store
// but for reading; here, and where the whole store is at hand, nobody else writes.
func TestA9_OnlyTwoWaysToWrite(t *testing.T) {
	var files []string
	for _, dir := range []string{".", "../access", "../team", "../fleet", "../config", "../service", "../installation", "../../identity"} {
		of, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(of) < 3 {
			t.Fatalf("%d files in %s, %v", len(of), dir, err)
		}
		files = append(files, of...)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Commit" {
				return true
			}
			// The records' own Commit is called on a variable named s or a field records.
			switch of := sel.X.(type) {
			case *ast.Ident:
				if of.Name == "s" && filepath.Dir(name) == "." {
					return true
				}
			case *ast.SelectorExpr:
				if of.Sel.Name == "records" {
					return true
				}
			}
			found++
			if name != "commit.go" {
				t.Errorf("%s writes to the store by itself; use Commit, or Housekeep for what is nobody's act", name)
			}
			return true
		})
	}
	if found != 2 {
		t.Errorf("%d calls of the store's Commit in commit.go, not 2", found)
	}
}

// A9: a change by a caller that does not say what it does, or says it twice, is
// refused, and so is one by nobody.
func TestA9_NoChangeWithoutARecord(t *testing.T) {
	db := sealedtest.Open(t)
	s := &Records{store: db, Now: time.Now}
	var err error
	if s.Audit, err = audit.Open(t.Context(), audit.Config{Store: db, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	op := Author{Actor: mezu.AuditActor{Kind: "member", ID: "opr_x", Address: "192.0.2.1"}, RequestID: "req_x", Operation: api.OpCreateProject.ID}
	thing := About(KindProject, "prj_x", "x")
	for name, c := range map[string]struct {
		author Author
		told   int
		code   mezu.Code
	}{
		"none": {op, 0, mezu.CodeInternal}, "two": {op, 2, mezu.CodeInternal}, "nobody": {Author{}, 1, mezu.CodeInternal},
		"one": {op, 1, ""}, "internal": {Internal(), 0, ""}, "internal, of what callers do too": {Internal(), 1, ""},
	} {
		key := "k/" + name
		_, err := s.Commit(t.Context(), c.author, func(ch *Change) error {
			ch.Create(key, "v")
			for range c.told {
				ch.Audit(thing, nil, mezu.Project{Name: "x"})
			}
			return nil
		})
		if err != nil && mezu.CodeOf(err) != c.code || err == nil && c.code != "" {
			t.Errorf("%s: %v", name, err)
		}
		there, err := Optional[string](t.Context(), s, key)
		if err != nil || (there.Revision != 0) != (c.code == "") {
			t.Errorf("%s: written %v, %v", name, there.Revision != 0, err)
		}
	}
	page, err := db.List(t.Context(), "audit/", "", 0)
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("%d records, %v", len(page.Records), err)
	}
	rec, err := Decode[mezu.AuditRecord](page.Records[0])
	if r := rec.Value; err != nil || r.Operation != "create-project" || r.Actor != (mezu.AuditActor{Kind: "member", ID: "opr_x", Address: "192.0.2.1"}) ||
		r.RequestID != "req_x" || string(r.After) != `{"name":"x"}` || r.Before != nil || r.Outcome != mezu.AuditDone {
		t.Errorf("%+v, %v", rec.Value, err)
	}
	// Nothing written, nothing to tell.
	if _, err := s.Commit(t.Context(), op, func(*Change) error { return nil }); err != nil {
		t.Error(err)
	}
}
