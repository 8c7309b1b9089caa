package tunnels_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

func TestGolden(t *testing.T) {
	away := feed.Away{Err: &mezu.Error{Code: mezu.CodeUnavailable, Detail: "no daemon is running", Cause: local.ErrNotRunning}}
	for name, s := range map[string]struct {
		h    *here
		then func(*screentest.Stage)
	}{
		"drawn":    {drawn(), nil},
		"empty":    {&here{}, nil},
		"away":     {&here{}, func(st *screentest.Stage) { st.Send(away) }},
		"stale":    {drawn(), func(st *screentest.Stage) { st.Send(away); st.Pass(2 * time.Minute) }},
		"stopped":  {drawn(), func(st *screentest.Stage) { st.Press("G") }},
		"requests": {drawn(), func(st *screentest.Stage) { st.Press("tab", "down") }},
		"qr":       {drawn(), func(st *screentest.Stage) { st.Press("Q") }},
		"host":     {drawn(), func(st *screentest.Stage) { st.Press("h") }},
		"protect":  {drawn(), func(st *screentest.Stage) { st.Press("b") }},
		"password": {drawn(), func(st *screentest.Stage) { st.Press("b", "right", "right", "tab", "guest", "enter") }},
		"new":      {drawn(), func(st *screentest.Stage) { st.Press("n") }},
		"trouble": {func() *here {
			h := drawn()
			h.all[0].State, h.all[0].Detail, h.all[0].Hint = mezu.TunnelNeedsLogin, "its certificate ended", "mezu login --profile acme"
			return h
		}(), nil},
	} {
		for _, w := range []int{40, 80, 200} {
			st := shown(t, s.h, w, 24, screentest.Plain())
			if s.then != nil {
				s.then(st)
			}
			screentest.Golden(t, fmt.Sprintf("%s-%d", name, w), st.View(), *update)
		}
	}
	for palette, name := range map[look.Palette]string{look.Basic: "drawn-16", look.Dark: "drawn-dark", look.Light: "drawn-light"} {
		screentest.Golden(t, name, shown(t, drawn(), 80, 24, look.New(palette, look.Unicode())).View(), *update)
	}
	screentest.Golden(t, "drawn-ascii", shown(t, drawn(), 80, 24, look.New(look.None, look.ASCII())).View(), *update)
	screentest.Golden(t, "drawn-folded", shown(t, drawn(), 80, 16, screentest.Plain()).View(), *update)
	screentest.Golden(t, "drawn-beside", shown(t, drawn(), 130, 24, screentest.Plain()).View(), *update)
}
