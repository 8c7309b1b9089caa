// Package screen is what the dashboard and its screens agree on: how a screen is asked for its
// keys and lines, and what it can ask the dashboard for.
//
// What lives here: the interface of a screen, what it is told, and the messages that screens
// send. What may not: drawing, and what any one screen knows. Packages of tui import it.
package screen

import (
	"context"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
)

// Screen is one of the dashboard. It is a plain struct that the one model owns: methods are
// called by one goroutine. Take and Act do no I/O; what has to be done or asked is in the
// commands that they return. View changes nothing.
type Screen interface {
	// Title is its name in the second line: "Tunnels".
	Title() string
	// Keys are those that work now, the most useful first.
	Keys(c *Context) keymap.Map
	// Act does what a key of Keys asks for.
	Act(c *Context, a keymap.Action) tea.Cmd
	// Take takes a message: of a source, of a command that it returned, or one of this
	// package. All screens get all of them, whether they are shown or not.
	Take(c *Context, msg tea.Msg) tea.Cmd
	// View gives the lines between the second and the last: h of them, each w cells wide.
	View(c *Context, w, h int) []string
}

// Part is a part of the dashboard that is no screen: it gets messages, and has lines in the
// palette or sources.
type Part interface {
	Take(c *Context, msg tea.Msg) tea.Cmd
}

// Keys are those of an overlay.
type Keys = keymap.Map

// Typist is a Screen with a field in which somebody may be typing. Then it gets all keys but
// ctrl+c and ctrl+z as Key, and those of Keys don't count.
type Typist interface {
	Typing() bool
	Key(c *Context, k tea.KeyMsg) tea.Cmd
}

// Clicked is a Screen or an Overlay that knows what lies where. The coordinates are cells of the
// screen's View.
type Clicked interface {
	// Click selects what is there; twice opens it.
	Click(c *Context, x, y int, twice bool) tea.Cmd
}

// Pointed is a Screen that knows what lies where. Over an Overlay the wheel does what up and down do.
type Pointed interface {
	Clicked
	// Wheel scrolls what is there by so many rows.
	Wheel(c *Context, x, y, by int) tea.Cmd
}

// Watching is a Screen that follows something. It is called once; what it returns runs on a
// goroutine of its own until its context ends, and gives the dashboard messages. It has its
// own pauses between tries.
type Watching interface {
	Watch() []Source
}

// Source gives messages until ctx ends. Each send returns when the dashboard took it.
type Source func(ctx context.Context, send func(tea.Msg))

// Offering is a Screen that has lines for the palette beside those of its keys.
type Offering interface {
	Offers(c *Context) []Offer
}

// Offer is a line of the palette.
type Offer struct {
	// Text is what is searched and shown, Key the key that does the same, if there is one.
	Text string
	Key  string
	// Do is the command that is run when it is chosen.
	Do tea.Cmd
}

// Scope is the context that commands would have: where the dashboard looks.
type Scope struct {
	Profile, Organization, Project, Environment string
	// Who is the person or account that is logged in; empty if nobody is.
	Who string
}

// Context is what every screen may read. It is the dashboard's.
type Context struct {
	// Life ends with the dashboard. It is for what commands do.
	Life  context.Context
	Theme *look.Theme
	Scope Scope
	// Now is the time of the message or frame.
	Now time.Time
	// Paused says that nothing that moves is shown, until it is let go.
	Paused bool
	// Wide and Narrow are classes of the terminal's width: the columns of screens.
	Layout Layout
	// Width and Height are those of View.
	Width, Height int
	// Timer sends a message after a while; if nil, by the clock. Tests have their own.
	Timer func(d time.Duration, msg tea.Msg) tea.Cmd
	// Shown says that the screen that is called is the one that is shown.
	Shown bool
}

// After is a command that gives a message after a while.
func (c *Context) After(d time.Duration, msg tea.Msg) tea.Cmd {
	if c.Timer != nil {
		return c.Timer(d, msg)
	}
	return tea.Tick(d, func(time.Time) tea.Msg { return msg })
}

// DoTime bounds a change: a call of the API, in the time in which somebody waits for it.
const DoTime = 30 * time.Second

// Within is a command that asks or does something, for which it has so long.
func (c *Context) Within(d time.Duration, do func(ctx context.Context) tea.Msg) tea.Cmd {
	life := c.Life
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(life, d)
		defer cancel()
		return do(ctx)
	}
}

// Layout is the class of the terminal's width.
type Layout uint8

// Layouts: one column below 80 cells, lists above details to 119, lists beside details to 159,
// three columns from 160.
const (
	Column Layout = iota
	Stacked
	Beside
	Triple
)

// LayoutOf is that of a width.
func LayoutOf(w int) Layout {
	switch {
	case w < 80:
		return Column
	case w < 120:
		return Stacked
	case w < 160:
		return Beside
	}
	return Triple
}

// Aside is how wide the details beside a list are; zero where they are below it.
func (c *Context) Aside() int {
	if c.Layout < Beside {
		return 0
	}
	return c.Width * 9 / 20
}

// Headed is a Screen with words of its own in the first line, in the place of who is logged in
// and of the edges.
type Headed interface {
	Heading(c *Context) string
}

// Freed tells all screens that what moves was paused, or let go.
type Freed struct{ Paused bool }

// Entered tells all screens that another one is shown.
type Entered struct{}

// Second tells all screens, once a second, that time goes by.
type Second struct{}

// Edges says how many edges hold a link of the tunnels here, of how many. They are in the first
// line.
type Edges struct{ Up, All int }

// Ends says what quitting ends, for q to say: "closes shop/dev-ada; D leaves it running". Empty
// is nothing.
type Ends struct{ Text string }

// Moved tells all screens that the dashboard looks at another place.
type Moved struct{ Scope Scope }

// Known says who is logged in at a profile, for the first line.
type Known struct{ Profile, Who string }

// GoTo shows a screen by its number, 1 to 6, and gives it a message. Anybody sends it.
type GoTo struct {
	Screen int
	Then   tea.Msg
}

// Say shows a line in the place of the footer for a moment.
type Say struct {
	Text string
	Bad  bool
}

// Ask asks in the last line, before something that cannot be undone. Word is what has to be
// typed; if empty, y does. Then is run if it was.
type Ask struct {
	Question string
	Word     string
	Then     tea.Cmd
}

// Copy copies text to the clipboard, and says that it did or why not. What names it: "the
// URL".
type Copy struct{ What, Text string }

// Browse opens an address in the browser.
type Browse struct{ URL string }

// Edit opens text in the editor of the person, with the terminal given to it, and sends Then of
// what was saved. Name ends with the suffix by which editors know the language.
type Edit struct {
	Name string
	Text []byte
	// Then gets what was saved, or the error; saved says that it is not what it was.
	Then func(text []byte, saved bool, err error) tea.Msg
}

// Save writes text to a file that the person names, 0600.
type Save struct {
	Name string // proposed
	Text []byte
}

// Open shows a form or another thing over the screens, until it sends Close.
type Open struct{ Overlay Overlay }

// Close closes what is open over the screens.
type Close struct{}

// Overlay is something that is shown over the screens and gets all keys but ctrl+c and ctrl+z:
// a form, a dialog, a page.
type Overlay interface {
	// Footer are its keys, for the last line.
	Footer(c *Context) keymap.Map
	Key(c *Context, k tea.KeyMsg) tea.Cmd
	Take(c *Context, msg tea.Msg) tea.Cmd
	// View draws it over the lines of the screen, which are w cells wide.
	View(c *Context, under []string, w, h int) []string
}

// Cmd is a command that gives one message at once.
func Cmd(msg tea.Msg) tea.Cmd { return func() tea.Msg { return msg } }
