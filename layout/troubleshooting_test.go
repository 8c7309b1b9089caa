package layout_test

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// troubleshootingPage says of each message what causes it and what helps.
const troubleshootingPage = root + "/docs/troubleshooting.md"

// explainedDirs are the packages whose messages people meet with a tunnel.
var explainedDirs = []string{"cli/tunnel", "cli/status", "cli/daemon", "local", "daemon", "daemon/rest", "daemon/workload", "daemon/forward/hint",
	"cli/tunnel/enrol", "cli/tunnel/own", "cli/tunnel/session", "cli/tunnel/show", "cli/tunnel/target", "cli/trust", "cli/trust/store", "cli/requests", "cli/update", "cli/update/source",
	"api", "cli/declare", "cli/invocation", "cli/login", "cli/profile", "cmd/mezu"}

// TestTroubleshootingPage finds each message with a hint, and each caution, on the page: by the
// longest piece of it that is the same each time.
func TestTroubleshootingPage(t *testing.T) {
	page, err := os.ReadFile(troubleshootingPage)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(page)), " ")
	messages := 0
	for _, p := range load(t) {
		if !slices.Contains(explainedDirs, p.dir) {
			continue
		}
		for _, f := range p.code() {
			for _, m := range messagesOf(f) {
				messages++
				if !strings.Contains(text, m.text) {
					t.Errorf("%s: docs/troubleshooting.md does not explain %q", p.at(m.node), m.text)
				}
			}
		}
	}
	for _, m := range firstWords {
		if !strings.Contains(text, m) {
			t.Errorf("docs/troubleshooting.md does not explain %q", m)
		}
	}
	if messages < 40 {
		t.Errorf("found %d messages only", messages)
	}
}

// firstWords are messages that are put together of parts, or come from elsewhere.
var firstWords = []string{"your access at … ended", "asked for login until now; it stays so (--public opens it)", "its certificate ended at", "vite listens on 5174",
	"Vite refuses the name", "webpack-dev-server refuses the name", "Angular refuses the name", "Rails refuses the name", "Django refuses the name", "Laravel refuses the name", "Symfony refuses the name",
	"Next refuses its development files", "speaks TLS", "speaks no TLS", "is not trusted"}

// putTogether is how pieces of the page's messages begin that no literal has, beside firstWords: they are
// made of parts, or come from a library.
var putTogether = []string{"ca-file: open", "no such file or directory", "can't be trusted: x", "MEZU_TOKEN: holds more than one line", "does not run the routes of", "vite listens on", "trusting a CA has to be confirmed",
	"there is no mezu.yaml here or above", "prefix /) has this match already", "strip_prefix is not enforced by this version", "of the local API, and this program v", "what you wrote is no request: line"}

var (
	standsForOthers = regexp.MustCompile(`…|FILE|FLAG|NAME|PORT|[0-9]+( s|, [0-9]+)?`)
	messageRow      = regexp.MustCompile(`^\| (.+?) \| [0-9, ]*\| .* \|$`)
)

// TestTroubleshootingPage_Rows finds what the page says of messages in those that there are: one that
// was written anew has another row.
func TestTroubleshootingPage_Rows(t *testing.T) {
	page, err := os.ReadFile(troubleshootingPage)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, p := range load(t) {
		for _, f := range p.code() {
			for _, text := range literals(f) {
				all.WriteString(strings.Join(strings.Fields(verb.ReplaceAllString(text, "…")), " ") + "\n")
			}
		}
	}
	said, made, rows := all.String(), slices.Concat(putTogether, firstWords), 0
	for i, line := range strings.Split(string(page), "\n") {
		m := messageRow.FindStringSubmatch(line)
		if m == nil || strings.HasPrefix(m[1], "`") {
			continue
		}
		rows++
		for message := range strings.SplitSeq(m[1], "; ") {
			for _, piece := range standsForOthers.Split(message, -1) {
				piece = strings.Trim(piece, ` ,:;()"/`)
				if len(piece) >= shortestPiece && !strings.Contains(said, piece) && !slices.ContainsFunc(made, func(m string) bool { return strings.HasPrefix(piece, m) }) {
					t.Errorf("docs/troubleshooting.md:%d: nothing says %q", i+1, piece)
				}
			}
		}
	}
	if rows < 100 {
		t.Errorf("found %d rows only", rows)
	}
}

// Each check of mezu doctor has a row.
func TestTroubleshootingPage_Doctor(t *testing.T) {
	page, err := os.ReadFile(troubleshootingPage)
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(root + "/cli/doctor/examination.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## What `mezu doctor` finds")
	names := regexp.MustCompile(`\{"([A-Za-z ]+)", check[A-Z]`).FindAllStringSubmatch(string(code), -1)
	for _, m := range names {
		if !regexp.MustCompile(`(?m)^\| ([A-Za-z ]+, )*` + m[1] + `(, [A-Za-z ]+)* \|`).MatchString(table) {
			t.Errorf("docs/troubleshooting.md does not say what the check %s finds", m[1])
		}
	}
	if len(names) < 15 {
		t.Errorf("found %d checks only", len(names))
	}
}

// message is what stays the same of a text for people.
type message struct {
	node ast.Node
	text string
}

// shortestPiece is how long a piece must be to find a message by.
const shortestPiece = 12

// messagesOf are the messages of a file: details beside a hint, messages of hints, what a usage error
// says in a function that gives it a hint, reasons why the daemon can't be reached, and cautions.
func messagesOf(f *ast.File) (out []message) {
	add := func(n ast.Node, e ast.Expr) {
		if text := longestPiece(e); len(text) >= shortestPiece {
			out = append(out, message{n, text})
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			fields := map[string]ast.Expr{}
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if k, ok := kv.Key.(*ast.Ident); ok {
						fields[k.Name] = kv.Value
					}
				}
			}
			if fields["Hint"] != nil && fields["Detail"] != nil {
				add(n, fields["Detail"])
			}
			if fields["Fixes"] != nil && fields["Message"] != nil {
				add(n, fields["Message"])
			}
		case *ast.CallExpr:
			switch name := calledName(n); {
			case name == "unavailable" && len(n.Args) > 3:
				add(n, n.Args[3])
			case name == "Signf" && len(n.Args) > 1 && named(n.Args[0], "Caution"), name == "Caution" && len(n.Args) > 1:
				add(n, n.Args[1])
			}
		case *ast.FuncDecl:
			if n.Body != nil && setsHint(n.Body) {
				ast.Inspect(n.Body, func(n ast.Node) bool {
					if c, ok := n.(*ast.CallExpr); ok && calledName(c) == "Usagef" && len(c.Args) > 0 {
						add(c, c.Args[0])
					}
					return true
				})
			}
		}
		return true
	})
	return out
}

// setsHint reports whether a function gives an error a hint.
func setsHint(body ast.Node) (sets bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok {
			sets = sets || slices.ContainsFunc(a.Lhs, func(e ast.Expr) bool { return named(e, "Hint") })
		}
		return true
	})
	return sets
}

// named reports whether an expression is x.name.
func named(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == name
}

// calledName is the name of a function that is called.
func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// verb is what a format puts a value in the place of.
var verb = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]|\n`)

// longestPiece is the longest piece of the literals in an expression.
func longestPiece(e ast.Expr) (longest string) {
	for _, text := range literals(e) {
		for _, piece := range verb.Split(text, -1) {
			if piece = strings.Join(strings.Fields(strings.Trim(piece, " ,;:(")), " "); len(piece) > len(longest) {
				longest = piece
			}
		}
	}
	return longest
}
