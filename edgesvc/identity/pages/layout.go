package pages

import (
	"bytes"
	_ "embed" // the layout, its style and its script
	"encoding/base64"
	"html"
	"html/template"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// One layout renders all pages: a heading, what went well, sentences, forms, lists and
// links. A constructor only says what stands in it.
var (
	//go:embed layout.html
	layoutSource string
	//go:embed style.css
	styleSource string
	//go:embed script.js
	scriptSource string

	// Every page carries both, without what only their readers need.
	style  = indent.ReplaceAllString(styleSource, "")
	script = indent.ReplaceAllString(scriptSource, "\n")
	indent = regexp.MustCompile(`\n\s*(//[^\n]*\n\s*)*`)

	layoutTemplate = template.Must(template.New("layout").Parse(layoutSource))
)

// layout is what stands on a page.
type layout struct {
	status int // if zero, 200
	retry  time.Duration
	wrong  bool    // the page says that something is wrong
	title  message // if zero, the heading's words

	Heading  text
	Notice   text // what went well
	Intro    []text
	Facts    []fact
	Sections []section
	Links    []link
	Wide     bool // the page has lists
	// Keep and Forget have the script remember the fragment of the page to which the visit
	// returns, because the way there leads through a mail, until somebody logs in.
	Keep, Forget bool

	// What render fills.
	Lang, Title, Initial, To string
	Brand                    Brand
	Foot                     text
	Icon                     template.URL
	Style, Colors            template.CSS
	Script                   template.JS
}

// fact is something that is so, such as which roles are needed.
type fact struct {
	Label  text
	Values []string
}

// section is a part of a page. One without a heading is all that the page is about.
type section struct {
	ID      string
	Heading text
	Intro   text
	Fold    text // what unfolds the forms, which lie open if it is empty or Open is set
	Open    bool
	Items   []item
	Forms   []form
}

// item is one of a list, such as a session.
type item struct {
	Title   string
	Tag     text
	Label   text
	Stamp   string // the time for the script, which shows it in the visitor's own zone
	Shown   string
	Address string
	Button  *button
}

type form struct {
	ID      string
	Action  string
	Token   bool // the token comes in the page's fragment
	Alert   text
	Hidden  []hidden
	Fields  []field
	Items   []item
	Buttons []button
	More    []more
}

type hidden struct{ Name, Value string }

// more is another thing that the same form can do.
type more struct {
	Heading text
	Intro   text
	Alert   text
	Button  button
}

type field struct {
	ID           string
	Name         string
	Type         string
	Label        text
	Aside        *link
	Value        string
	Autocomplete string
	InputMode    string
	MaxLength    int
	Hint         text
	Error        text
	Described    string
	Invalid      bool
	Focus        bool
	ReadOnly     bool
	Auto         bool // what is typed may be written in either direction
	Check        bool
	Reveal       *reveal
}

// reveal is the button that shows a password. Its words are part of what is said in their
// place.
type reveal struct{ Spoken, Text string }

type button struct {
	Label       text
	Spoken      string // what is said in the label's place, where several have the same
	Name, Value string
	Action      string // if empty, the form's
	Quiet       bool   // it is not what the page is about
}

type link struct {
	Label  text
	Href   string
	Button bool
}

// render fills in what all pages have.
func (v View) render(l layout) Page {
	lang := v.language()
	if !strings.HasPrefix(v.Brand.Logo, "/") || strings.HasPrefix(v.Brand.Logo, "//") {
		v.Brand.Logo = "" // it is not on this host
	}
	l.Lang, l.Brand, l.Initial = lang.tag(), v.Brand, initial(v.Brand.Name)
	title := l.Heading
	if l.title != 0 {
		title = v.say(l.title)
	}
	if l.wrong || faulty(l.Sections) {
		title = v.say(msgErrorTitle, plain("title", title.String()))
	}
	l.Title = title.String()
	if v.Brand.Name != "" {
		l.Title += " · " + v.Brand.Name
	}
	if l.wrong && v.RequestID != "" {
		l.Foot = v.say(msgRequestID, data("id", v.RequestID))
	}
	for i := range l.Sections {
		l.Sections[i].finish(i)
	}
	focus(l.Sections)
	if v.returns() && (l.Keep || takesToken(l.Sections)) {
		l.To = v.To
	}
	paint := paintOf(v.Brand.Color)
	l.Icon = icon(v.Brand, l.Initial, paint)
	colors := paint.style()
	l.Style, l.Colors, l.Script = template.CSS(style), template.CSS(colors), template.JS(script)
	var body bytes.Buffer
	if err := layoutTemplate.Execute(&body, l); err != nil {
		panic("rendering into memory: " + err.Error()) // the template is a constant, and takes any text
	}
	if l.status == 0 {
		l.status = http.StatusOK
	}
	return Page{Status: l.status, Body: body.Bytes(), CSP: v.policy(colors), RetryAfter: l.retry}
}

// initial is the first letter of a name.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return ""
}

// icon is what a tab shows: the logo, else the initial. A page without one has browsers
// ask the workload for /favicon.ico.
func icon(b Brand, initial string, p paint) template.URL {
	if b.Logo != "" {
		return template.URL(b.Logo)
	}
	svg := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="` + p.light.button.hex() +
		`"/><text x="16" y="22.5" font-family="system-ui,sans-serif" font-size="18" font-weight="600" text-anchor="middle" fill="` + p.light.ink.hex() +
		`">` + html.EscapeString(initial) + `</text></svg>`
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)))
}
