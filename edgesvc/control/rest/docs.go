package rest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mezusphere/mezu/api"
)

// The page at /docs shows every operation with the fields of its body and answer, from
// the same document as /openapi.json. It has no script and loads nothing.

// docsGroup is the operations of one kind of record.
type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary string
	Query                     []string
	Body, Answer              []docsField
	Status                    string
}

type docsField struct{ Name, Type, About string }

// docs makes the handler of the page.
func (r *rest) docs() (http.HandlerFunc, error) {
	page, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return nil, fmt.Errorf("parsing the page of the API: %w", err)
	}
	groups := r.docsGroups()
	return func(w http.ResponseWriter, req *http.Request) {
		nonce := rand.Text()
		var out bytes.Buffer
		if err := page.Execute(&out, map[string]any{"Groups": groups, "Nonce": nonce, "Version": r.huma.OpenAPI().Info.Version}); err != nil {
			r.log.Error("writing the page of the API", "error", err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		// A reader who has gone misses the rest.
		_, _ = w.Write(out.Bytes())
	}, nil
}

// docsGroups sorts the operations by what their path is about.
func (r *rest) docsGroups() []docsGroup {
	var groups []docsGroup
	for _, op := range api.Operations() {
		name := docsNoun(op)
		i := slices.IndexFunc(groups, func(g docsGroup) bool { return g.Name == name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, docsGroup{Name: name})
		}
		groups[i].Operations = append(groups[i].Operations, r.docsOperation(op))
	}
	slices.SortFunc(groups, func(a, b docsGroup) int { return strings.Compare(a.Name, b.Name) })
	return groups
}

// docsNoun is the last collection of a path: its last part that is neither a parameter
// nor something that is done to one record or to all.
func docsNoun(op api.Operation) string {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(op.Path, "/v1/"), "/watch"), "/")
	noun := parts[0]
	for i, part := range parts {
		if strings.HasPrefix(part, "{") && i > 0 {
			noun = parts[i-1]
		}
	}
	if last := parts[len(parts)-1]; strings.HasSuffix(last, "s") || last == "audit" {
		noun = last
	}
	return strings.ReplaceAll(noun, "-", " ")
}

func (r *rest) docsOperation(op api.Operation) docsOperation {
	out := docsOperation{ID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary}
	described := r.describedAt(op)
	if described == nil {
		return out
	}
	for _, p := range described.Parameters {
		if p.In != "path" {
			out.Query = append(out.Query, p.Name)
		}
	}
	if described.RequestBody != nil {
		for _, media := range described.RequestBody.Content {
			out.Body = r.docsFields(media.Schema)
		}
	}
	for _, status := range []string{"200", "201", "204"} {
		if response := described.Responses[status]; response != nil {
			out.Status = status
			for kind, media := range response.Content {
				if kind == "text/event-stream" {
					out.Answer = []docsField{{"", "text/event-stream", "events"}}
				} else {
					out.Answer = r.docsFields(media.Schema)
				}
			}
		}
	}
	return out
}

func (r *rest) describedAt(op api.Operation) *huma.Operation {
	item := r.huma.OpenAPI().Paths[op.Path]
	if item == nil {
		return nil
	}
	return map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete}[op.Method]
}

// docsFields lists the fields of an object.
func (r *rest) docsFields(s *huma.Schema) []docsField {
	s = r.resolved(s)
	if s == nil {
		return nil
	}
	var out []docsField
	for name, field := range s.Properties {
		out = append(out, docsField{Name: name, Type: r.docsType(field), About: field.Description})
	}
	slices.SortFunc(out, func(a, b docsField) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (r *rest) resolved(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return r.huma.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func (r *rest) docsType(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == huma.TypeArray:
		return "list of " + r.docsType(s.Items)
	case s.Format != "":
		return s.Type + ", " + s.Format
	}
	return s.Type
}

const docsPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Mezusphere API</title>
<style nonce="{{.Nonce}}">
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
code, td:first-child { font-family: ui-monospace, monospace; font-size: .92em; }
nav { columns: 4 12rem; margin: 1rem 0 2rem; }
nav a { display: block; text-decoration: none; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); text-transform: capitalize; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary b { display: inline-block; min-width: 4.8em; }
summary span { opacity: .75; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 .8rem; }
td { border-top: 1px solid var(--soft); padding: .15rem .6rem .15rem 0; vertical-align: top; }
</style></head><body>
<h1>Mezusphere API</h1>
<p>Version {{.Version}}. <code>Authorization: Bearer TOKEN</code>, JSON in and out, errors as <code>application/problem+json</code>.
The machine-readable form of this page is <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
<nav>{{range .Groups}}<a href="#{{.Name}}">{{.Name}}</a>{{end}}</nav>
{{range .Groups}}<h2 id="{{.Name}}">{{.Name}}</h2>
{{range .Operations}}<details id="{{.ID}}"><summary><b>{{.Method}}</b> <code>{{.Path}}</code> <span>{{.Summary}}</span></summary>
{{if .Query}}<p>Query and header fields: {{range $i, $q := .Query}}{{if $i}}, {{end}}<code>{{$q}}</code>{{end}}</p>{{end}}
{{if .Body}}<p>Body</p><table>{{range .Body}}<tr><td>{{.Name}}</td><td>{{.Type}}</td><td>{{.About}}</td></tr>{{end}}</table>{{end}}
<p>Answer {{.Status}}</p>{{if .Answer}}<table>{{range .Answer}}<tr><td>{{.Name}}</td><td>{{.Type}}</td><td>{{.About}}</td></tr>{{end}}</table>{{end}}
</details>
{{end}}{{end}}
</body></html>
`
