package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// sources are the folders whose types the API's document describes, by their package names.
func sources() map[string]string {
	return map[string]string{"mezu": "../../..", "api": "../../../api", "access": "../access"}
}

// commented is what comments.json has of one type.
type commented struct {
	About  string            `json:"about"`
	Fields map[string]string `json:"fields,omitempty"`
	Values []constantValue   `json:"values,omitempty"`
}

type constantValue struct {
	Value string `json:"value"`
	About string `json:"about,omitempty"`
}

// What is committed of the comments and constants of the API's types is what the sources say,
// and says something of each type and field, in words that a reader of the API understands.
func TestReference(t *testing.T) {
	r := described(t)
	sources := readSources(t)
	out := map[string]commented{}
	for _, of := range r.doc.Schemas().Types() {
		if of.Name() == "" {
			continue
		}
		s, ok := sources[path.Base(of.PkgPath())]
		if !ok {
			t.Errorf("the document has %s, of a package whose sources are not read", of)
			continue
		}
		name, _, _ := strings.Cut(of.Name(), "[")
		out[s.name+"."+name] = s.comment(t, name)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(out); err != nil {
		t.Fatal(err)
	}
	testkit.Written(t, "../openapi", "comments.json", map[string]string{"comments.json": text.String()})
}

// source is one package, parsed and as far as its constants need it with types.
type source struct {
	name   string
	types  map[string]*ast.TypeSpec
	docs   map[string]string           // of types
	values map[string][]*ast.ValueSpec // constants by their type's name
	consts map[string]types.Object     // of all packages, by name
}

func readSources(t *testing.T) map[string]*source {
	t.Helper()
	fset, checked := token.NewFileSet(), map[string]*types.Package{}
	out, all := map[string]*source{}, map[string]types.Object{}
	for _, name := range []string{"mezu", "api", "access"} {
		paths, err := filepath.Glob(filepath.Join(sources()[name], "*.go"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s has no sources: %v", name, err)
		}
		s := &source{name: name, types: map[string]*ast.TypeSpec{}, docs: map[string]string{}, values: map[string][]*ast.ValueSpec{}}
		var files []*ast.File
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		for _, file := range files {
			s.read(file)
		}
		// What is imported is not there, but for constants of time: they are all that is asked for.
		config := types.Config{Error: func(error) {}, Importer: constantsOf{checked}}
		pkg, _ := config.Check(name, fset, files, nil)
		checked["github.com/mezusphere/mezu"+strings.TrimPrefix("/"+name, "/mezu")] = pkg
		for _, n := range pkg.Scope().Names() {
			if c, ok := pkg.Scope().Lookup(n).(*types.Const); ok {
				all[n] = c
			}
		}
		s.consts = maps.Clone(all)
		out[name] = s
	}
	return out
}

// constantsOf imports the packages that were read before, and time.
type constantsOf struct{ checked map[string]*types.Package }

// Import implements types.Importer.
func (c constantsOf) Import(name string) (*types.Package, error) {
	switch {
	case c.checked[name] != nil:
		return c.checked[name], nil
	case name == "time":
		// The whole of it would take seconds.
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "time.go", `package time
			type Duration int64
			const (Nanosecond Duration = 1; Microsecond = 1000 * Nanosecond; Millisecond = 1000 * Microsecond
			Second = 1000 * Millisecond; Minute = 60 * Second; Hour = 60 * Minute)`, 0)
		if err != nil {
			return nil, err
		}
		return new(types.Config).Check(name, fset, []*ast.File{file}, nil)
	}
	return nil, fmt.Errorf("%s is not read", name)
}

func (s *source) read(file *ast.File) {
	for _, d := range file.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		of := ""
		for _, spec := range gen.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				s.types[spec.Name.Name] = spec
				s.docs[spec.Name.Name] = spec.Doc.Text()
				if spec.Doc == nil {
					s.docs[spec.Name.Name] = gen.Doc.Text()
				}
			case *ast.ValueSpec:
				if gen.Tok != token.CONST {
					continue
				}
				if ident, ok := spec.Type.(*ast.Ident); ok {
					of = ident.Name
				} else {
					of = ""
				}
				if of != "" {
					s.values[of] = append(s.values[of], spec)
				}
			}
		}
	}
}

// comment is what is said of one type.
func (s *source) comment(t *testing.T, name string) commented {
	t.Helper()
	names := map[string]string{}
	spec := s.types[name]
	if spec == nil {
		t.Fatalf("%s.%s is nowhere", s.name, name)
	}
	object, _ := spec.Type.(*ast.StructType)
	if object != nil {
		for _, f := range object.Fields.List {
			for _, n := range f.Names {
				if json := jsonName(f); json != "" {
					names[n.Name] = json
				}
			}
		}
	}
	out := commented{About: s.told(t, name, s.docs[name], nil, names)}
	if object == nil {
		for _, v := range s.values[name] {
			c, ok := s.consts[v.Names[0].Name].(*types.Const)
			if !ok || c.Val().Kind() != constant.String {
				continue
			}
			out.Values = append(out.Values, constantValue{constant.StringVal(c.Val()), s.told(t, name, v.Doc.Text()+v.Comment.Text(), []string{v.Names[0].Name}, names)})
		}
		return out
	}
	out.Fields = map[string]string{}
	for _, f := range object.Fields.List {
		for _, n := range f.Names {
			json := jsonName(f)
			if json == "" {
				continue
			}
			text := s.told(t, name+"."+n.Name, f.Doc.Text()+f.Comment.Text(), nil, names)
			if text == "" {
				t.Errorf("%s.%s.%s has no comment, and so the API's document says nothing of %s", s.name, name, n.Name, json)
			}
			out.Fields[json] = text
		}
	}
	return out
}

func jsonName(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag, _ := strconv.Unquote(f.Tag.Value)
	name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	return strings.TrimPrefix(name, "-")
}

var (
	goWord = regexp.MustCompile(`("[^"]*"|` + "`[^`]*`" + `)|(\b[a-z]+\.)?\b[A-Z]\w*\b`)
	absent = regexp.MustCompile(`\b(if|If) (it is |they are )?(nil|zero)\b`)
	camel  = regexp.MustCompile(`[a-z][A-Z]`)
)

// told makes of a comment what a reader of the API understands: fields by their names in JSON,
// constants by their values. Of a constant's own comment, drop is its name.
func (s *source) told(t *testing.T, where, text string, drop []string, names map[string]string) string {
	t.Helper()
	text = strings.Join(strings.Fields(text), " ")
	for _, name := range drop {
		text = strings.TrimPrefix(text, name+": ")
	}
	text = absent.ReplaceAllString(text, "$1 absent")
	text = goWord.ReplaceAllStringFunc(text, func(word string) string {
		if word[0] == '"' || word[0] == '`' {
			return word
		}
		plain := word[strings.IndexByte(word, '.')+1:]
		// A Warpgate is a word of the API's, too.
		if names[plain] != "" && plain == word && (plain != "Warpgate" || strings.HasPrefix(text, word+" is ")) {
			return "`" + names[plain] + "`"
		}
		if c, ok := s.consts[plain].(*types.Const); ok && s.name != "access" {
			return constantText(c)
		}
		if plain != word || camel.MatchString(plain) && !knownWords()[plain] && s.types[plain] == nil {
			t.Errorf("%s: the comment says %s, which is no word of the API's", where, word)
		}
		return word
	})
	if text != "" && !strings.HasSuffix(text, ".") {
		text += "."
	}
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text
}

// knownWords look like names of Go's and are none.
func knownWords() map[string]bool {
	return map[string]bool{"WebSocket": true, "OAuth": true, "KiB": true, "MiB": true, "GiB": true}
}

// constantText writes a constant as people do.
func constantText(c *types.Const) string {
	if c.Val().Kind() == constant.String {
		return "`" + constant.StringVal(c.Val()) + "`"
	}
	n, _ := constant.Int64Val(constant.ToInt(c.Val()))
	named, _ := c.Type().(*types.Named)
	switch {
	case named != nil && named.Obj().Name() == "Duration":
		return mezu.Duration(time.Duration(n)).String()
	case n >= 1<<10 && n%(1<<40) == 0:
		return fmt.Sprintf("%d TiB", n>>40)
	case n >= 1<<10 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
