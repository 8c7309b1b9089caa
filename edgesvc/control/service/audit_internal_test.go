package service

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

// A9: whatever is written goes through commit, which asks for an audit record, or
// through housekeep, which says that it is nobody's act.
func TestA9_OnlyTwoWaysToWrite(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
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
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Commit" {
				found++
				if name != "commit.go" {
					t.Errorf("%s writes to the store by itself; use commit, or housekeep for what is nobody's act", name)
				}
			}
			return true
		})
	}
	if found != 2 {
		t.Errorf("%d calls of Commit in commit.go, not 2", found)
	}
}

// A9: a change by a caller that does not say what it does, or says it twice, is
// refused, and so is one by nobody.
func TestA9_NoChangeWithoutARecord(t *testing.T) {
	db := sealedtest.Open(t)
	s := &Records{store: db, now: time.Now}
	var err error
	if s.audit, err = audit.Open(t.Context(), audit.Config{Store: db, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	op := by(Caller{Kind: Member, ID: "opr_x", Address: "192.0.2.1", RequestID: "req_x"}, api.OpCreateProject.ID)
	thing := about(kindProject, "prj_x", "x")
	for name, c := range map[string]struct {
		author author
		deeds  int
		code   mezu.Code
	}{
		"none": {op, 0, mezu.CodeInternal}, "two": {op, 2, mezu.CodeInternal}, "nobody": {author{}, 1, mezu.CodeInternal},
		"one": {op, 1, ""}, "internal": {internal(), 0, ""}, "internal, of what callers do too": {internal(), 1, ""},
	} {
		key := "k/" + name
		_, err := s.commit(t.Context(), c.author, func(ch *change) error {
			ch.create(key, "v")
			for range c.deeds {
				ch.audit(thing, nil, mezu.Project{Name: "x"})
			}
			return nil
		})
		if err != nil && mezu.CodeOf(err) != c.code || err == nil && c.code != "" {
			t.Errorf("%s: %v", name, err)
		}
		there, err := optional[string](t.Context(), s, key)
		if err != nil || (there.Revision != 0) != (c.code == "") {
			t.Errorf("%s: written %v, %v", name, there.Revision != 0, err)
		}
	}
	page, err := db.List(t.Context(), "audit/", "", 0)
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("%d records, %v", len(page.Records), err)
	}
	rec, err := decode[mezu.AuditRecord](page.Records[0])
	if r := rec.Value; err != nil || r.Operation != "create-project" || r.Actor != (mezu.AuditActor{Kind: "member", ID: "opr_x", Address: "192.0.2.1"}) ||
		r.RequestID != "req_x" || string(r.After) != `{"name":"x"}` || r.Before != nil || r.Outcome != mezu.AuditDone {
		t.Errorf("%+v, %v", rec.Value, err)
	}
	// Nothing written, nothing to tell.
	if _, err := s.commit(t.Context(), op, func(*change) error { return nil }); err != nil {
		t.Error(err)
	}
}
