package openapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mezusphere/mezu/api"
)

// The page at /docs shows every operation with its parameters, body and answer, and every type,
// from the same document as /openapi.json. It has no script and loads nothing.

// pageGroup is the operations of one tag.
type pageGroup struct {
	Name       string
	About      template.HTML
	Operations []pageOperation
}

type pageOperation struct {
	ID, Method, Path, Summary string
	About                     []template.HTML
	Parameters                []pageField
	Body                      *pageContent
	Status                    string
	Answer                    *pageContent
}

// pageContent is a body or an answer.
type pageContent struct {
	Kinds   string
	Type    pageType
	Example string
	Fields  []pageField
}

// pageType is a type as a reader sees it; Link is the part of it that is on the page.
type pageType struct{ Before, Link, After string }

type pageField struct {
	Name string
	Type pageType
	// Required is how a reader is told that it is.
	Required string
	About    template.HTML
}

// pageSchema is a type that has a name.
type pageSchema struct {
	Name   string
	About  template.HTML
	Values []string
	Fields []pageField
}

// Page makes the handler of the page, of a document that is finished.
func (d *Document) Page(log *slog.Logger) http.HandlerFunc {
	// It is written when somebody asks for it first. Each answer has a nonce of its own.
	made := sync.OnceValues(d.page)
	return func(w http.ResponseWriter, _ *http.Request) {
		page, err := made()
		if err != nil {
			log.Error("writing the page of the API", "error", err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		before, after, _ := strings.Cut(page, nonceHere)
		nonce := rand.Text()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		// A reader who has gone misses the rest.
		_, _ = io.WriteString(w, before+nonce+after)
	}
}

func (d *Document) page() (string, error) {
	page, err := template.New("docs").Parse(pageText)
	if err != nil {
		return "", fmt.Errorf("parsing the page: %w", err)
	}
	var made strings.Builder
	err = page.Execute(&made, map[string]any{"Groups": d.groups(), "Schemas": d.pageSchemas(), "Version": d.Info.Version, "About": paragraphs(d.Info.Description)})
	return made.String(), err
}

// groups sorts the operations by their tags.
func (d *Document) groups() []pageGroup {
	var groups []pageGroup
	for _, tag := range d.Tags {
		group := pageGroup{Name: tag.Name, About: inline(tag.Description)}
		for _, op := range api.Operations() {
			if described := d.At(op); described != nil && slices.Contains(described.Tags, tag.Name) {
				group.Operations = append(group.Operations, d.pageOperation(op, described))
			}
		}
		groups = append(groups, group)
	}
	return groups
}

func (d *Document) pageOperation(op api.Operation, described *huma.Operation) pageOperation {
	out := pageOperation{ID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary, About: paragraphs(described.Description)}
	for _, p := range described.Parameters {
		if p.In != "path" {
			out.Parameters = append(out.Parameters, pageField{Name: p.Name, Type: typeText(p.Schema), About: inline(p.Description)})
		}
	}
	if described.RequestBody != nil {
		out.Body = d.content(described.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(described.Responses)) {
		if status[0] == '2' {
			out.Status = status
			out.Answer = d.content(described.Responses[status].Content)
		}
	}
	return out
}

// content describes what goes one way, nil if nothing does.
func (d *Document) content(media map[string]*huma.MediaType) *pageContent {
	if len(media) == 0 {
		return nil
	}
	kinds := slices.Sorted(maps.Keys(media))
	first := media[kinds[0]]
	out := &pageContent{Kinds: strings.Join(kinds, ", "), Type: typeText(first.Schema), Fields: d.fields(d.resolved(first.Schema))}
	if first.Example != nil {
		// What is written here is one of ours.
		text, _ := json.Marshal(first.Example)
		var indented bytes.Buffer
		_ = json.Indent(&indented, text, "", "  ")
		out.Example = indented.String()
	}
	return out
}

// pageSchemas lists the types that have names.
func (d *Document) pageSchemas() []pageSchema {
	var out []pageSchema
	all := d.schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		of := all[name]
		s := pageSchema{Name: name, About: inline(of.Description), Fields: d.fields(of)}
		for _, v := range of.Enum {
			s.Values = append(s.Values, fmt.Sprint(v))
		}
		out = append(out, s)
	}
	return out
}

// fields lists the fields of an object, those first that are always there.
func (d *Document) fields(s *huma.Schema) []pageField {
	if s == nil {
		return nil
	}
	var out []pageField
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		of := s.Properties[name]
		field := pageField{Name: name, Type: typeText(of), About: inline(of.Description)}
		switch {
		case !slices.Contains(s.Required, name):
		case s.AdditionalProperties == false:
			field.Required = "needed"
		default:
			field.Required = "always there"
		}
		out = append(out, field)
	}
	slices.SortStableFunc(out, func(a, b pageField) int { return -strings.Compare(a.Required, b.Required) })
	return out
}

func (d *Document) resolved(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return d.schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// typeText names a type.
func typeText(s *huma.Schema) pageType {
	switch {
	case s == nil:
		return pageType{}
	case s.Ref != "":
		return pageType{Link: strings.TrimPrefix(s.Ref, refPrefix)}
	case len(s.AnyOf) > 0:
		out := typeText(s.AnyOf[0])
		out.After += " or null"
		return out
	case len(s.OneOf) > 0:
		return pageType{Before: "number or string"}
	case s.Type == huma.TypeArray:
		out := typeText(s.Items)
		out.Before = "list of " + out.Before
		return orNull(out, s)
	case s.Type == huma.TypeObject:
		if of, ok := s.AdditionalProperties.(*huma.Schema); ok {
			out := typeText(of)
			out.Before = "mapping to " + out.Before
			return orNull(out, s)
		}
	case s.Format == "date-time", s.Format == "binary":
		return orNull(pageType{Before: map[string]string{"date-time": "time", "binary": "file"}[s.Format]}, s)
	case s.ContentEncoding != "":
		return orNull(pageType{Before: "bytes in " + s.ContentEncoding}, s)
	case len(s.Enum) > 0:
		return orNull(pageType{Before: "one of " + alternatives(s.Enum)}, s)
	case s.Type == "":
		return pageType{Before: "anything"}
	}
	return orNull(pageType{Before: s.Type}, s)
}

// alternatives are the values of a type that has no name.
func alternatives(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}

func orNull(t pageType, s *huma.Schema) pageType {
	if s.Nullable {
		t.After += " or null"
	}
	return t
}

// paragraphs are those of a description.
func paragraphs(text string) []template.HTML {
	var out []template.HTML
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		out = append(out, inline(p))
	}
	return out
}

// inline makes HTML of a description, which is Markdown: code and what is strong.
func inline(text string) template.HTML {
	escaped := template.HTMLEscapeString(text)
	for _, mark := range []struct{ is, tag string }{{"`", "code"}, {"**", "strong"}} {
		parts := strings.Split(escaped, mark.is)
		var b strings.Builder
		for i, part := range parts {
			switch {
			case i%2 == 1 && i < len(parts)-1:
				b.WriteString("<" + mark.tag + ">" + part + "</" + mark.tag + ">")
			case i%2 == 1:
				b.WriteString(mark.is + part)
			default:
				b.WriteString(part)
			}
		}
		escaped = b.String()
	}
	return template.HTML(escaped) // escaped above
}

// nonceHere is where the nonce of an answer goes.
const nonceHere = "NONCE-OF-THE-ANSWER"

const pageText = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Mezusphere API</title>
<style nonce="` + nonceHere + `">
:root { color-scheme: light dark; --line: #8886; --soft: #8883; --link: light-dark(#0645c8, #8ab4ff); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; background: light-dark(#fff, #16181c); color: light-dark(#1a1a1a, #e8e8e8); }
code, pre, .name { font-family: ui-monospace, monospace; font-size: .92em; }
pre { background: var(--soft); border-radius: 6px; padding: .5rem .8rem; overflow-x: auto; }
a { color: var(--link); }
nav { columns: 4 11rem; margin: 1rem 0 2rem; }
nav a { display: block; padding: .1rem 0; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h2::first-letter, nav a::first-letter { text-transform: capitalize; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
details:target::details-content { content-visibility: visible; block-size: auto; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.8em; }
summary span { display: block; padding-left: 4.8em; }
h3 { font-size: 1em; margin: 1rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 .8rem; table-layout: fixed; }
td { border-top: 1px solid var(--soft); padding: .2rem .8rem .2rem 0; vertical-align: top; }
td:nth-child(1) { width: 24%; } td:nth-child(2) { width: 22%; }
small { display: block; }
@media (max-width: 40rem) { table, tbody, tr, td { display: block; width: auto !important; border: 0; padding: 0; } tr { border-top: 1px solid var(--soft); padding: .3rem 0; } summary span { padding-left: 0; } }
</style></head><body><main>
<h1>Mezusphere API</h1>
<p>Version {{.Version}}. The machine-readable form of this page is <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1), from which clients can be generated.</p>
{{range .About}}<p>{{.}}</p>
{{end}}<nav aria-label="Operations and types">{{range .Groups}}<a href="#{{.Name}}">{{.Name}}</a>{{end}}<a href="#types">types</a></nav>
{{define "type"}}{{.Before}}{{if .Link}}<a href="#type-{{.Link}}">{{.Link}}</a>{{end}}{{.After}}{{end}}
{{define "fields"}}<table><tbody>{{range .}}<tr><td><span class="name">{{.Name}}</span>{{with .Required}} <small>{{.}}</small>{{end}}</td><td>{{template "type" .Type}}</td><td>{{.About}}</td></tr>
{{end}}</tbody></table>{{end}}
{{define "content"}}<code>{{.Kinds}}</code>{{if or .Type.Link .Type.Before}}, {{template "type" .Type}}{{end}}{{end}}
{{range .Groups}}<h2 id="{{.Name}}">{{.Name}}</h2>
<p>{{.About}}</p>
{{range .Operations}}<details id="{{.ID}}"><summary><b>{{.Method}}</b> <code>{{.Path}}</code> <span>{{.Summary}}</span></summary>
{{range .About}}<p>{{.}}</p>
{{end}}{{if .Parameters}}<h3>Query and header</h3>{{template "fields" .Parameters}}{{end}}
{{with .Body}}<h3>Body: {{template "content" .}}</h3>{{if .Example}}<pre>{{.Example}}</pre>{{end}}{{template "fields" .Fields}}{{end}}
<h3>Answer {{.Status}}{{with .Answer}}: {{template "content" .}}{{end}}</h3>{{with .Answer}}{{template "fields" .Fields}}{{end}}
</details>
{{end}}{{end}}
<h2 id="types">types</h2>
{{range .Schemas}}<details id="type-{{.Name}}"><summary><b class="name">{{.Name}}</b></summary>
<p>{{.About}}</p>
{{if .Values}}<p>One of {{range $i, $v := .Values}}{{if $i}}, {{end}}<code>{{$v}}</code>{{end}}.</p>{{else if .Fields}}{{template "fields" .Fields}}{{end}}
</details>
{{end}}
</main></body></html>
`
