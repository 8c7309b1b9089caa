package layout_test

import (
	"go/ast"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// secretFields are the names, in JSON, of fields that hold what opens something.
func secretFields() []string { return []string{"token", "key", "link", "login_link", "secret", "code"} }

// harmlessAnswers are types with such a field that hold nothing secret, each with its reason.
func harmlessAnswers() map[string]string {
	return map[string]string{
		"Problem":       "its code is that of an error",
		"SealStatus":    "its key is the id of one",
		"WatchDeleted":  "its key is that of a record",
		"EdgeRefreshed": "edges get it, and no command",
	}
}

// secretAnswers are the types of api that an operation answers with, and that hold a secret.
func secretAnswers(t *testing.T) map[string]bool {
	out := map[string]bool{}
	for _, p := range load(t) {
		if p.dir != "api" {
			continue
		}
		for _, f := range p.code() {
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok || strings.HasSuffix(spec.Name.Name, "Request") || harmlessAnswers()[spec.Name.Name] != "" {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok && holdsSecret(s) {
					out[spec.Name.Name] = true
				}
				return true
			})
		}
	}
	return out
}

func holdsSecret(s *ast.StructType) bool {
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		if f.Tag == nil {
			return false
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		return slices.Contains(secretFields(), name)
	})
}

// handedOn are packages that get a secret and show it to nobody, each with its reason.
func handedOn() map[string]string {
	return map[string]string{"cli/tunnel/own": "an enrolment token goes to the local daemon, which uses it at once"}
}

// TestSecretsAreMasked: a package of commands that gets a secret from the control plane calls
// terminal.Streams.Mask before it shows it, so that no log of GitHub Actions has it.
func TestSecretsAreMasked(t *testing.T) {
	answers := secretAnswers(t)
	if !answers["ServiceAccountCreated"] || !answers["UserMailed"] || len(answers) < 5 {
		t.Fatalf("found %q only", slices.Sorted(maps.Keys(answers)))
	}
	for _, p := range load(t) {
		if !below(p.dir, "cli") && !below(p.dir, "cmd") {
			continue
		}
		var first ast.Node
		masks := false
		for _, f := range p.code() {
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "api" && answers[sel.Sel.Name] && first == nil {
					first = n
				}
				masks = masks || sel.Sel.Name == "Mask"
				return true
			})
		}
		if first != nil && !masks && handedOn()[p.dir] == "" {
			t.Errorf("%s: a secret comes from the control plane, and %s never calls Mask, as it must before it shows it", p.at(first), p.dir)
		}
	}
}
