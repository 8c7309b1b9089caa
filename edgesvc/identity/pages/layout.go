package pages

import (
	"bytes"
	_ "embed" // the layout, its style and its script
	"html/template"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// One layout renders all pages: a heading, what went wrong or well, sentences, forms, lists
// and links. A constructor only says what stands in it.
var (
	//go:embed layout.html
	layoutSource string
	//go:embed style.css
	style string
	//go:embed script.js
	script string

	layoutTemplate = template.Must(template.New("layout").Parse(layoutSource))
)

// layout is what stands on a page.
type layout struct {
	status   int
	retry    time.Duration
	title    message // if zero, the heading's words
	Heading  text
	Notice   text // what went well
	Intro    []text
	Facts    []fact
	Sections []section
	Links    []link
	// Wrong marks a page that says what is wrong.
	wrong bool
	// Wide is for lists.
	Wide bool
	// Keep has the script remember the fragment of the page to which the visit returns,
	// because the way there leads through a mail.
	Keep bool

	Lang, Title, Initial, To string
	Brand                    Brand
	Foot                     text
	Icon                     template.URL
	Style, Colors            template.CSS
	Script                   template.JS
}

type fact struct {
	Label  text
	Values []string
}

// section is a part of a page. Only pages with several have headings for them.
type section struct {
	ID      string
	Heading text
	Intro   []text
	Items   []item
	Forms   []form
}

type item struct {
	Title string
	Tag   string
	Lines []line
	Form  *form
}

type line struct {
	Label, Value string
	Time         *moment
}

// moment is a time, for people and for the script, which shows it in their own zone.
type moment struct{ Stamp, Shown string }

type form struct {
	ID      string
	Action  string
	Token   bool // the token comes with the page's fragment
	Alert   text
	Hidden  []hidden
	Fields  []field
	Buttons []button
}

type hidden struct{ Name, Value string }

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
	Auto         bool // what is typed may be of either direction
	Check        bool
	Token        bool
	Reveal       *reveal
}

type reveal struct{ Controls, Label, Text string }

type button struct {
	Label  text
	Spoken string // what is said in its place, if several have one label
	Action string
	Quiet  bool
}

type link struct {
	Label  text
	Href   string
	Button bool
}

// render fills what all pages have.
func (v View) render(l layout) Page {
	lang := v.language()
	l.Lang, l.To, l.Brand = lang.tag(), v.To, v.Brand
	title := l.Heading
	if l.title != 0 {
		title = lang.say(l.title)
	}
	if l.wrong || faulty(l.Sections) {
		title = lang.say(msgErrorTitle, plain("title", title.String()))
	}
	l.Title = title.String()
	if v.Brand.Name != "" {
		l.Title += " · " + v.Brand.Name
	}
	if l.wrong && v.RequestID != "" {
		l.Foot = lang.say(msgRequestID, data("id", v.RequestID))
	}
	l.Initial = initial(v.Brand.Name)
	colors := paint(v.Brand.Color)
	l.Style, l.Colors, l.Script = template.CSS(style), template.CSS(colors), template.JS(script)
	for i := range l.Sections {
		l.Sections[i].finish(i, lang)
	}
	focus(l.Sections)
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
	r, _ := utf8.DecodeRuneInString(strings.TrimSpace(name))
	if r == utf8.RuneError {
		return ""
	}
	return string(r)
}
