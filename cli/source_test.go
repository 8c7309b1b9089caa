package cli_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source calls see for each file of Go below root that is no test and belongs to the programs that
// people run.
func source(t *testing.T, root string, see func(path string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "testdata", "testkit", "tools", "bin", "dist", "bench", "e2e", "layout", "release"}, d.Name()) || strings.HasSuffix(d.Name(), "test") && path != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		see(filepath.ToSlash(path), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// variables are the variables of ours that the code reads or sets: each is a string of its own, or
// begins one that is set.
func variables(t *testing.T, root string) []string {
	name := regexp.MustCompile(`^"(MEZU_[A-Z_]+)(?:=.*)?"$`)
	var out []string
	source(t, root, func(_ string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if m := name.FindStringSubmatch(lit.Value); m != nil {
					out = append(out, strings.TrimRight(m[1], "_")) // one that ends so is one of many
				}
			}
			return true
		})
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// exitCodes are the constants of package exit.
func exitCodes(t *testing.T) []string {
	var out []string
	source(t, "exit", func(_ string, f *ast.File) {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				for _, v := range s.(*ast.ValueSpec).Values {
					if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.INT {
						if _, err := strconv.Atoi(lit.Value); err == nil {
							out = append(out, lit.Value)
						}
					}
				}
			}
		}
	})
	if len(out) < 10 {
		t.Fatalf("found %q only", out)
	}
	return out
}
