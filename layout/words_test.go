package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// word is a word that this project has given up, because it meant several things or
// nothing to a newcomer.
type word struct {
	// kind is what may not have it. A name is compared in lower case with a blank between
	// its parts: lastWord is "last word".
	kind kind
	is   *regexp.Regexp
	// better is what to write in its place.
	better string
	// below are the folders in which it may not stand; if nil, all.
	below []string
	// but are the files and folders in which it may, each with its reason.
	but map[string]string
}

type kind int

const (
	names    kind = iota // of all that is declared
	members              // of types, functions, methods and fields, but not of variables
	types                // of types alone
	comments             // and package comments
	files                // without their ending
)

// words are those of issue 8 and what stands for them now.
func words() []word {
	re := func(s string) *regexp.Regexp { return regexp.MustCompile(`^(.* )?(` + s + `)( .*)?$`) }
	exactly := func(s string) *regexp.Regexp { return regexp.MustCompile(`^(` + s + `)$`) }
	text := func(s string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(` + s + `)\b`) }
	return []word{
		{kind: members, is: exactly("found"), better: "Record for what was read, initialize for what begins an installation"},
		{kind: names, is: re("founding|members found"), better: "initialize; MembersMayCreateOrganizations"},
		{kind: names, is: re("offices?"), better: "lease (package election)"},
		{kind: comments, is: text("offices?"), better: "lease (package election)"},
		{kind: members, is: exactly("place"), better: "resource path, commit id, runtime environment, position or offset, as the case may be"},
		{kind: names, is: re("settle[ds]?|settling"), better: "a verb for the one thing that happens"},
		{kind: members, is: exactly("over"), better: "ended, exceeded or with, as the case may be"},
		{kind: names, is: re("stands?"), better: "a verb for the one thing that is checked"},
		{kind: names, is: re("vouch(ed|es)?|equip(ped|s)?|heard|hearing|stir(red|s)?|lively"), better: "a verb for the one thing that happens"},
		{kind: comments, is: text("vouch(ed|es)?|equip(ped|s)?|stir(red|s)?|lively"), better: "a verb for the one thing that happens"},
		{kind: members, is: exactly("whole"), better: "complete, or what is missing"},
		{kind: names, is: re("deeds?"), better: "audit entry"},
		{kind: names, is: re("book(s|ed)?"), better: "append an audit entry"},
		{kind: names, is: re("ow(e|es|ed|ing)"), better: "enqueue a task; task"},
		{kind: comments, is: text("deeds?|book(s|ed)?|ow(e|es|ed|ing)"), better: "audit entry; append an audit entry; enqueue a task"},
		{kind: names, is: re("state bundle|restate[ds]?|last words?"), better: "add; re-sign; tombstone"},
		{kind: comments, is: text("restate[ds]?|last words?"), better: "re-sign; tombstone"},
		{kind: types, is: exactly("once"), better: "Idempotency"},
		{kind: names, is: exactly("once .*|.* once .*"), better: "idempotency"},
		{kind: names, is: re("talk"), better: "frame"},
		{kind: names, is: re("fates?"), better: "delete note"},
		{kind: names, is: re("people"), better: "members, or users"},
		{kind: names, is: re("documents?"), better: "statement", below: []string{"daemon", "edgesvc/ca", "edgesvc/edge", "policy", "preface", "relay", "trust", "tunnel"}},
		{kind: files, is: exactly("found|guard|care|mark|restored|format"), better: "what the file does", but: map[string]string{
			"cli/terminal/format.go": "it has the type Format, in which results are written",
		}},
		{kind: comments, is: text("he|him|his|himself|she|hers?|herself"), better: "they, or the noun"},
	}
}

// TestWords holds declared names, comments and names of files against the words that
// were given up. CONTRIBUTING.md has those that are ours on purpose.
func TestWords(t *testing.T) {
	list := words()
	used := map[string]bool{}
	for _, p := range load(t) {
		for name, f := range p.code() {
			rel := strings.TrimPrefix(name, root+"/")
			for _, bad := range scan(list, rel, p.fset, f) {
				if of, ok := excepted(bad.word, rel); ok {
					used[of] = true
					continue
				}
				t.Errorf("%s:%d: %s %q: write %s", rel, bad.line, bad.what, bad.text, bad.word.better)
			}
		}
	}
	for _, w := range list {
		for of, reason := range w.but {
			if !used[of] {
				t.Errorf("%s needs no exception any more (%s)", of, reason)
			}
		}
	}
}

// excepted gives the exception of a word that a file falls under.
func excepted(w word, rel string) (string, bool) {
	for of := range w.but {
		if below(rel, of) {
			return of, true
		}
	}
	return "", false
}

// occurrence is a word that was found.
type occurrence struct {
	word word
	what string // the kind of thing that has it
	text string
	line int
}

// scan finds the words in one file.
func scan(list []word, rel string, fset *token.FileSet, f *ast.File) []occurrence {
	var out []occurrence
	say := func(what, text string, pos token.Pos, is func(word) bool) {
		for _, w := range list {
			if is(w) && (w.below == nil || slices.ContainsFunc(w.below, func(dir string) bool { return below(rel, dir) })) {
				out = append(out, occurrence{w, what, text, fset.Position(pos).Line})
			}
		}
	}
	say("file", rel, f.Package, func(w word) bool {
		return w.kind == files && w.is.MatchString(strings.TrimSuffix(path.Base(rel), ".go"))
	})
	for _, d := range declared(f) {
		parts := parts(d.ident.Name)
		say(d.what, d.ident.Name, d.ident.Pos(), func(w word) bool {
			return (w.kind == names || w.kind == members && d.what != "variable" || w.kind == types && d.what == "type") && w.is.MatchString(parts)
		})
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			say("comment", c.Text, c.Pos(), func(w word) bool { return w.kind == comments && w.is.MatchString(c.Text) })
		}
	}
	return out
}

// declaration is a name that a file declares.
type declaration struct {
	what  string
	ident *ast.Ident
}

// declared are the names that a file declares, those inside of functions too.
func declared(f *ast.File) []declaration {
	out := []declaration{{"package", f.Name}}
	add := func(what string, idents ...*ast.Ident) {
		for _, i := range idents {
			out = append(out, declaration{what, i})
		}
	}
	fields := map[*ast.FieldList]bool{} // those of structs and interfaces
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			add("type", n.Name)
		case *ast.FuncDecl:
			add(map[bool]string{true: "method", false: "function"}[n.Recv != nil], n.Name)
		case *ast.StructType:
			fields[n.Fields] = true
		case *ast.InterfaceType:
			fields[n.Methods] = true
		case *ast.FieldList:
			what := "variable" // a parameter or a result
			if fields[n] {
				what = "field"
			}
			for _, one := range n.List {
				add(what, one.Names...)
			}
		case *ast.ValueSpec:
			add("variable", n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				add("variable", idents(n.Lhs...)...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add("variable", idents(n.Key, n.Value)...)
			}
		}
		return true
	})
	return out
}

func idents(exprs ...ast.Expr) []*ast.Ident {
	var out []*ast.Ident
	for _, e := range exprs {
		if i, ok := e.(*ast.Ident); ok {
			out = append(out, i)
		}
	}
	return out
}

// parts are the words of a name in lower case, with blanks between: "http server" of
// HTTPServer.
func parts(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r == '_':
			b.WriteByte(' ')
			continue
		case i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// TestWordsAreSeen shows that the scan finds a word wherever it can stand, and leaves
// others alone.
func TestWordsAreSeen(t *testing.T) {
	const source = `// Package office keeps.
package office

// found is what he read.
type found[T any] struct{ place, foundation T }

type hearing interface{ settle() }

const lastWord = 1

func (f found[T]) whole(over int) (deed int) {
	var talk int
	for book, people := range []int{talk} {
		stands, found, bookmark := book, people, over
		_, _, _ = stands, found, bookmark // restated
	}
	return 0
}

func (once) over() {}

func vouchedEdge(close, onceKey int) { _ = sync.Once{} }

type once struct{ placement, closeOnce, once int }
`
	want := []string{
		"file mark.go", "package office", "comment // Package office keeps.", "comment // found is what he read.", "type found",
		"field place", "type hearing", "field settle", "variable lastWord", "method whole", "variable deed", "method over",
		"variable talk", "variable book", "variable people", "variable stands", "comment // restated",
		"function vouchedEdge", "variable onceKey", "type once",
	}
	var got []string
	for _, o := range seen(t, "mark.go", source) {
		got = append(got, o.what+" "+o.text)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the scan finds\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	const document = "package x\n\ntype document int\n"
	if seen(t, "edgesvc/store/document/x.go", document) != nil || len(seen(t, "trust/x.go", document)) != 1 {
		t.Error("a word of some folders is not one of those alone")
	}
	w := word{but: map[string]string{"bench/people": "a reason"}}
	if _, ok := excepted(w, "bench/people/people.go"); !ok {
		t.Error("an exception of a folder is none of its files")
	}
	if _, ok := excepted(w, "bench/peoples.go"); ok {
		t.Error("an exception of a folder is one of files beside it")
	}
	for name, want := range map[string]string{"HTTPServer": "http server", "lastWord": "last word", "MaxOnceKey": "max once key", "x": "x", "a_b": "a b", "keyID": "key id"} {
		if got := parts(name); got != want {
			t.Errorf("parts of %s are %q; want %q", name, got, want)
		}
	}
}

func seen(t *testing.T, name, source string) []occurrence {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return scan(words(), name, fset, f)
}
