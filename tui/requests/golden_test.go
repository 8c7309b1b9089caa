package requests_test

import (
	"fmt"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

// sideways stands left of the requests where there are three columns.
type sideways struct{}

func (sideways) Side(c *screen.Context, w, h int) []string {
	return look.Panel{Title: "Tunnels"}.Draw(c.Theme, nil, w, h)
}

// states are those of the screen.
func states() map[string]struct {
	k    func() *kept
	keys []string
	then func(*screentest.Stage)
} {
	type state = struct {
		k    func() *kept
		keys []string
		then func(*screentest.Stage)
	}
	empty := func() *kept { return &kept{state: local.InspectorState{MaxKept: 500, MaxBytes: 64 << 20}} }
	return map[string]state{
		"list":      {k: drawn, keys: []string{"/", "path:/hooks status:>=400", "enter"}},
		"typing":    {k: drawn, keys: []string{"/", "path:/hooks/s"}},
		"bad":       {k: drawn, keys: []string{"/", "bad:x"}},
		"detail":    {k: drawn, keys: []string{"tab", "down", "down"}},
		"unmasked":  {k: drawn, keys: []string{"u"}},
		"response":  {k: drawn, keys: []string{"tab", "right"}},
		"timing":    {k: drawn, keys: []string{"tab", "right", "right"}},
		"diff":      {k: drawn, keys: []string{"tab", "left"}},
		"hex":       {k: drawn, keys: []string{"tab", "x", "G"}},
		"whole":     {k: drawn, keys: []string{"enter"}},
		"frames":    {k: socket, keys: []string{"enter", "up"}},
		"searching": {k: socket, keys: []string{"enter", "/", "connected"}},
		"empty":     {k: empty},
		"none":      {k: empty, keys: []string{"/", "status:500", "enter"}},
		"away": {k: empty, then: func(st *screentest.Stage) {
			st.Send(feed.Away{Err: &mezu.Error{Code: mezu.CodeUnavailable, Detail: "no daemon is running", Cause: local.ErrNotRunning}})
		}},
		"stale": {k: drawn, then: func(st *screentest.Stage) {
			st.Screen.(keeping).k.err = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "no daemon is running", Cause: local.ErrNotRunning, Hint: "mezu tunnel PORT"}
			st.Send(feed.Away{Err: st.Screen.(keeping).k.err})
			st.Pass(120_000_000_000)
		}},
		"new": {k: drawn, keys: []string{"down"}, then: func(st *screentest.Stage) {
			k := st.Screen.(keeping).k
			for n := range 31 {
				k.rows = append([]mezu.Exchange{{ID: fmt.Sprintf("new%09d", n), Sequence: uint64(1000 + n), Revision: uint64(1000 + n), Method: "GET", Path: "/", Status: 200}}, k.rows...)
			}
			st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: mezu.EventRequest}}}})
			st.Pass(1_000_000_000)
		}},
		"busy": {k: func() *kept {
			k := drawn()
			k.state.Depth, k.state.LeftOut = mezu.DepthNone, 12345
			return k
		}},
	}
}

func TestGolden(t *testing.T) {
	for name, s := range states() {
		for _, w := range []int{40, 80, 200} {
			st := shown(t, s.k(), w, 24, screentest.Plain(), s.keys...)
			if s.then != nil {
				s.then(st)
			}
			screentest.Golden(t, fmt.Sprintf("%s-%d", name, w), st.View(), *update)
		}
	}
	for palette, name := range map[look.Palette]string{look.Basic: "list-16", look.Dark: "list-dark", look.Light: "list-light"} {
		screentest.Golden(t, name, shown(t, drawn(), 80, 24, look.New(palette, look.Unicode())).View(), *update)
	}
	screentest.Golden(t, "list-ascii", shown(t, drawn(), 80, 24, look.New(look.None, look.ASCII()), "u").View(), *update)
	screentest.Golden(t, "list-folded", shown(t, drawn(), 80, 16, screentest.Plain()).View(), *update)
	screentest.Golden(t, "detail-folded", shown(t, drawn(), 80, 16, screentest.Plain(), "tab").View(), *update)
	screentest.Golden(t, "list-beside", shown(t, drawn(), 130, 24, screentest.Plain()).View(), *update)
}

// shown shows the screen with what is kept, and presses keys.
func shown(t *testing.T, k *kept, w, h int, theme *look.Theme, keys ...string) *screentest.Stage {
	s := screenOf(k)
	s.Beside(sideways{})
	st := screentest.New(t, keeping{s, k}, w, h, theme)
	st.Send(feed.Listing{})
	for _, key := range keys {
		st.Press(key)
		st.C.Now = st.C.Now.Add(500_000_000)
		st.Send(screen.Second{})
	}
	return st
}
