package web

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"strings"

	"github.com/mezusphere/mezu"
)

// errorStyle is the one style sheet of error pages; its hash is what the content
// security policy lets through.
const errorStyle = `:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;margin:0;display:grid;min-height:100vh;place-items:center;background:#f5f6f8;color:#1c2430}main{max-width:34rem;padding:2.5rem;margin:1rem;background:#fff;border-radius:14px;box-shadow:0 1px 3px #0002,0 8px 30px #0001}h1{font-size:1.35rem;margin:0 0 .5rem}p{margin:.4rem 0;white-space:pre-line}code{font:13px ui-monospace,monospace;color:#5a6472}.d::first-letter{text-transform:uppercase}.s{font:600 13px ui-monospace,monospace;color:#6b4fd8;margin:0 0 .75rem}@media(prefers-color-scheme:dark){body{background:#12151b;color:#e8eaee}main{background:#1b2029}code{color:#98a2b3}.s{color:#a893ff}}`

var errorStyleHash = func() string {
	sum := sha256.Sum256([]byte(errorStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

var errorPage = template.Must(template.New("error").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>{{.Status}} {{.Title}}</title><style>` + errorStyle + `</style></head>
<body><main><p class="s">{{.Status}} · {{.Code}}</p><h1>{{.Title}}</h1>{{if .Detail}}<p class="d">{{.Detail}}</p>{{end}}
<p><code>request {{.RequestID}}</code></p></main></body></html>
`))

// shown is a problem as its page says it: the detail is a sentence with a stop at its end, if
// whoever wrote it set none, and maintenance has a title of its own.
func (p problem) shown() problem {
	if p.Detail != "" && !strings.ContainsAny(p.Detail[len(p.Detail)-1:], ".!?\n") {
		p.Detail += "."
	}
	if p.Code == mezu.CodeMaintenance {
		p.Title = "Under maintenance"
	}
	return p
}
