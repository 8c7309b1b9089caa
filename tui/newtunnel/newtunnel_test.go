package newtunnel_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/newtunnel"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blank is a screen below the dialog.
type blank struct{ opened []newtunnel.Opened }

func (b *blank) Title() string                              { return "Tunnels" }
func (b *blank) Keys(*screen.Context) keymap.Map            { return nil }
func (b *blank) Act(*screen.Context, keymap.Action) tea.Cmd { return nil }
func (b *blank) View(c *screen.Context, w, h int) []string  { return c.Theme.Block(nil, w, h) }
func (b *blank) Take(_ *screen.Context, msg tea.Msg) (cmd tea.Cmd) {
	if msg, ok := msg.(newtunnel.Opened); ok {
		b.opened = append(b.opened, msg)
	}
	return nil
}

// machine is one on which things listen.
type machine struct {
	all   []newtunnel.Listener
	site  newtunnel.Site
	err   error
	away  error // of what is asked about the environment
	asked []newtunnel.Wish
}

func (m *machine) Listening(context.Context) ([]newtunnel.Listener, error) { return m.all, nil }
func (m *machine) Site(context.Context, string) (newtunnel.Site, error)    { return m.site, m.away }
func (m *machine) Open(_ context.Context, w newtunnel.Wish) (newtunnel.Opened, error) {
	m.asked = append(m.asked, w)
	return newtunnel.Opened{Tunnel: mezu.Tunnel{ID: "tun_1", Name: "shop/dev-ada"}}, m.err
}

// drawn is the machine of the drawing.
func drawn() *machine {
	return &machine{all: []newtunnel.Listener{
		{Port: 5173, Program: "node", Command: "vite", Dir: "~/src/shop"}, {Port: 8080, Program: "api", Command: "./api serve", Dir: "~/src/shop"},
		{Port: 3000, Program: "node", Command: "next dev", Dir: "~/src/site", Addresses: []netip.Addr{netip.IPv6Loopback()}}, {Port: 8443, Program: "java", Command: "idp.jar", Dir: "~/src/idp"},
	}, site: newtunnel.Site{Environment: "dev-ada", URL: "https://shop-dev-ada-acme.edge.example.com", Directories: []string{"customers"}}}
}

func shown(t *testing.T, m *machine, w, h int, keys ...string) (*screentest.Stage, *blank) {
	return painted(t, m, look.None, w, h, keys...)
}

func painted(t *testing.T, m *machine, p look.Palette, w, h int, keys ...string) (*screentest.Stage, *blank) {
	b := &blank{}
	st := screentest.New(t, b, w, h, look.New(p, look.Unicode()))
	st.Run(newtunnel.Open(&st.C, m))
	st.Press(keys...)
	return st, b
}

func TestGolden(t *testing.T) {
	refused := drawn()
	refused.err = &mezu.Error{Code: mezu.CodeConflict, Detail: "shop/dev-ada is open here already, to localhost:3000", Hint: "mezu tunnel show shop/dev-ada, or --name NAME"}
	away := drawn()
	away.site, away.away = newtunnel.Site{}, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "your access at control.example.com ended", Hint: "mezu login --profile acme"}
	for name, s := range map[string]struct {
		m    *machine
		keys []string
	}{
		"drawn":    {drawn(), nil},
		"typing":   {drawn(), []string{"./site"}},
		"name":     {drawn(), []string{"tab", "docs"}},
		"password": {drawn(), []string{"tab", "tab", "right", "right", "guest"}},
		"members":  {drawn(), []string{"tab", "tab", "right"}},
		"nothing":  {&machine{}, nil},
		"away":     {away, nil},
		"refused":  {refused, []string{"enter"}},
	} {
		for _, w := range []int{40, 80, 200} {
			st, _ := shown(t, s.m, w, 24, s.keys...)
			screentest.Golden(t, fmt.Sprintf("%s-%d", name, w), st.View(), *update)
		}
	}
	for palette, name := range map[look.Palette]string{look.Basic: "drawn-16", look.Dark: "drawn-dark", look.Light: "drawn-light"} {
		st, _ := painted(t, drawn(), palette, 80, 24)
		screentest.Golden(t, name, st.View(), *update)
	}
}

func TestOpens(t *testing.T) {
	for name, s := range map[string]struct {
		keys []string
		want newtunnel.Wish
	}{
		"the first":            {[]string{"enter"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget}},
		"the second":           {[]string{"down", "enter"}, newtunnel.Wish{Target: "8080", HostHeader: mezu.HostKeep}},
		"what is typed":        {[]string{"./site", "enter"}, newtunnel.Wish{Target: "./site", HostHeader: mezu.HostKeep}},
		"another name":         {[]string{"tab", "docs", "enter"}, newtunnel.Wish{Target: "5173", Name: "docs", HostHeader: mezu.HostTarget}},
		"members of directory": {[]string{"tab", "tab", "right", "enter"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget, Access: newtunnel.Access{Directory: "customers"}}},
		"a password":           {[]string{"tab", "tab", "right", "right", "guest", "enter"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget, Access: newtunnel.Access{User: "guest"}}},
		"ranges":               {[]string{"tab", "tab", "left", "10.0.0.0/8, 192.168.0.0/16", "enter"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget, Access: newtunnel.Access{CIDRs: []string{"10.0.0.0/8", "192.168.0.0/16"}}}},
		"the host kept":        {[]string{"shift+tab", "right", "enter"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostKeep}},
	} {
		m := drawn()
		st, b := shown(t, m, 80, 24, s.keys...)
		if len(m.asked) != 1 || !reflect.DeepEqual(m.asked[0], s.want) {
			t.Errorf("%s: %+v, want %+v", name, m.asked, s.want)
		}
		if st.Overlay != nil || len(b.opened) != 1 {
			t.Errorf("%s: it stays open, and %d tunnels were told", name, len(b.opened))
		}
	}
}

// TestClicks: a click chooses what a key does.
func TestClicks(t *testing.T) {
	target, keep := "target (Vite checks it)", "keep"
	for name, s := range map[string]struct {
		clicks []string
		typed  []string
		want   newtunnel.Wish
	}{
		"a port":          {[]string{"./api serve"}, nil, newtunnel.Wish{Target: "8080", HostHeader: mezu.HostKeep}},
		"the field":       {[]string{"or type"}, []string{"./site"}, newtunnel.Wish{Target: "./site", HostHeader: mezu.HostKeep}},
		"the environment": {[]string{"Environment"}, []string{"docs"}, newtunnel.Wish{Target: "5173", Name: "docs", HostHeader: mezu.HostTarget}},
		"a directory":     {[]string{"people of"}, nil, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget, Access: newtunnel.Access{Directory: "customers"}}},
		"a password":      {[]string{"people of", "password", "Environment", "user:"}, []string{"guest"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget, Access: newtunnel.Access{User: "guest"}}},
		"ranges":          {[]string{"CIDR"}, []string{"10.0.0.0/8"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget, Access: newtunnel.Access{CIDRs: []string{"10.0.0.0/8"}}}},
		"everyone again":  {[]string{"CIDR", "everyone"}, nil, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget}},
		"the host kept":   {[]string{keep}, nil, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostKeep}},
		"the host set":    {[]string{"password", keep, target}, []string{"tab", "tab", "tab", "guest"}, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget, Access: newtunnel.Access{User: "guest"}}},
		"nothing":         {[]string{"What answers", "its address is"}, nil, newtunnel.Wish{Target: "5173", HostHeader: mezu.HostTarget}},
	} {
		m := drawn()
		m.site.URL = ""
		st, _ := shown(t, m, 80, 24)
		for _, text := range s.clicks {
			st.Click(text)
		}
		st.Press(append(s.typed, "enter")...)
		if len(m.asked) != 1 || !reflect.DeepEqual(m.asked[0], s.want) {
			t.Errorf("%s: %+v, want %+v", name, m.asked, s.want)
		}
	}
	st, _ := shown(t, &machine{}, 40, 24)
	st.Click("nothing of yours")
	st.Click("everyone")
	st.View()
}

// In the smallest terminal it is said too, and what is clicked is where it is drawn.
func TestSmallest(t *testing.T) {
	m := drawn()
	m.err = mezu.Errorf(mezu.CodeConflict, "it is open already")
	st, _ := shown(t, m, 40, 12, "enter")
	if v := st.View(); !strings.Contains(v, "it is open already") {
		t.Errorf("%s", v)
	}
	st.Click("Environment")
	st.Press("docs")
	if v := st.View(); !strings.Contains(v, "dev-ada-docs") {
		t.Errorf("%s", v)
	}
}

// What is refused is said, and nothing that was typed is lost.
func TestRefusals(t *testing.T) {
	m := drawn()
	m.err = mezu.Errorf(mezu.CodeConflict, "it is open already")
	st, _ := shown(t, m, 80, 24, "./site", "enter")
	if v := st.View(); !strings.Contains(v, "it is open already") || !strings.Contains(v, "./site") {
		t.Errorf("%s", v)
	}
	for _, keys := range [][]string{{"tab", "tab", "left", "nonsense", "enter"}, {"tab", "tab", "right", "right", "enter"}} {
		m := drawn()
		if st, _ := shown(t, m, 80, 24, keys...); len(m.asked) > 0 || st.Overlay == nil {
			t.Errorf("%q opened %+v", keys, m.asked)
		}
	}
	m = &machine{}
	if shown(t, m, 80, 24, "enter"); len(m.asked) > 0 {
		t.Errorf("nothing opened %+v", m.asked)
	}
	st, _ = shown(t, drawn(), 80, 24, "esc")
	if st.Overlay != nil {
		t.Error("esc doesn't close it")
	}
}

// TestC2_ProgramsNameThemselves: what listens chooses its own name.
func TestC2_ProgramsNameThemselves(t *testing.T) {
	evil := "\x1b[2J\u202e" + strings.Repeat("x", 1<<20)
	m := &machine{all: []newtunnel.Listener{{Port: 1, Program: evil, Command: evil, Dir: evil}}, site: newtunnel.Site{Environment: evil, URL: evil, Directories: []string{evil}}, err: mezu.Errorf(mezu.CodeConflict, "%s", evil)}
	for _, w := range []int{40, 80, 200} {
		st, _ := shown(t, m, w, 24, "tab", "tab", "right", "enter")
		if v := st.View(); strings.Contains(v, "\x1b[2J") || strings.ContainsRune(v, '\u202e') || len(v) > 1<<16 {
			t.Errorf("%d bytes: %.200q", len(v), v)
		}
	}
}
