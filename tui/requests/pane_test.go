package requests_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

func bare() *look.Theme { return look.New(look.None, look.Unicode()) }

// Where there is much room the list has all its columns, and where there is little the spans of the
// timing are shorter. Frames have the colours of all else.
func TestGoldenOfMore(t *testing.T) {
	screentest.Golden(t, "list-wide", shown(t, drawn(), 240, 24, bare()).View(), *update)
	screentest.Golden(t, "timing-beside", shown(t, drawn(), 120, 24, bare(), "tab", "right", "right").View(), *update)
	for palette, name := range map[look.Palette]string{look.Basic: "frames-16", look.Dark: "frames-dark", look.Light: "frames-light"} {
		screentest.Golden(t, name, shown(t, socket(), 80, 24, look.New(palette, look.Unicode()), "enter", "up").View(), *update)
	}
}

// A late answer about another line shows nothing.
func TestLateSecretOfAnotherLineIsDropped(t *testing.T) {
	st := shown(t, drawn(), 80, 24, bare())
	late := st.Screen.Act(&st.C, "unmask")
	st.Press("down")
	st.Run(late)
	hides(t, st, "5257a869")
}

// A line may take several rows. The one with the cursor is seen all the same, and a click selects
// what it is on.
func TestLongLinesScroll(t *testing.T) {
	k := drawn()
	d := k.details[k.rows[0].ID]
	d.Request.Fields, d.Sent, d.Request.Body = nil, nil, nil
	const many = 15
	for n := range many {
		d.Request.Fields = append(d.Request.Fields, mezu.ExchangeField{Name: fmt.Sprintf("Field-%d", n), Value: strings.Repeat("x", 150+n)})
	}
	k.details[k.rows[0].ID] = d
	cursor := func(st *screentest.Stage) string {
		t.Helper()
		for l := range strings.SplitSeq(st.View(), "\n") {
			if strings.Contains(l, "\x1b[7m") {
				return l
			}
		}
		t.Errorf("no line has the cursor:\n%s", st.View())
		return ""
	}
	st := shown(t, k, 80, 24, bare(), "enter")
	for n := range many {
		st.Press("down")
		if l := cursor(st); !strings.Contains(l, fmt.Sprintf("Field-%d ", n)) {
			t.Errorf("the cursor is on %q, not on field %d", l, n)
		}
	}
	shows(t, st, fmt.Sprintf("Field-%d ", many-4)) // above, all of it
	for n := many - 2; n >= 0; n-- {
		st.Press("up")
		if l := cursor(st); !strings.Contains(l, fmt.Sprintf("Field-%d ", n)) {
			t.Errorf("the cursor is on %q, not on field %d", l, n)
		}
	}
	s := st.Screen.(screen.Pointed)
	st.Press("g")
	st.Run(s.Click(&st.C, 10, 2+1+3+1, false)) // the first line, three rows of a field, and one more
	if l := cursor(st); !strings.Contains(l, "Field-1 ") {
		t.Errorf("the click is on %q", l)
	}
	for range many {
		st.Run(s.Wheel(&st.C, 10, 10, 3))
	}
	shows(t, st, fmt.Sprintf("Field-%d ", many-1))
	cursor(st)
	for range many {
		st.Run(s.Wheel(&st.C, 10, 10, -3))
	}
	shows(t, st, "POST /hooks/stripe")
	cursor(st)
	st.Press("G")
	st.Press("/", "field-9", "enter")
	if l := cursor(st); !strings.Contains(l, "Field-9 ") {
		t.Errorf("the search is on %q", l)
	}
}

// A panel has a thousand rows at most, and of a large body what is around it all the same.
func TestRowsOfALargeBody(t *testing.T) {
	k := drawn()
	id := k.rows[0].ID
	k.bodies[id+"/request"] = local.Content{Data: []byte(strings.Repeat("line\n", 5000)), Size: 25_000}
	st := shown(t, k, 80, 24, bare(), "tab")
	shows(t, st, "▼ 988 more") // rows beside the ten: notes have room for two others
	st.Press("G")
	shows(t, st, "lines more; w writes all", "── as sent to localhost:5173", "+ X-Forwarded-For: 203.0.113.9")
}

// Frames that come while another one is selected are counted.
func TestFramesStandStill(t *testing.T) {
	k := socket()
	st := shown(t, k, 80, 24, bare(), "enter", "up")
	hides(t, st, "new")
	id := k.rows[0].ID
	for n := 19; n <= 20; n++ {
		k.frames[id] = append(k.frames[id], mezu.Frame{Number: n, Time: at("14:02:31"), Kind: mezu.FrameText, Size: 2, Kept: 2, Text: "hi"})
	}
	k.rows[0].Revision, k.rows[0].Frames = 400, 20
	st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: local.EventFrame}}}})
	st.Pass(time.Second)
	st.Pass(time.Second)
	shows(t, st, "▼ 2 new   17 of 20")
	st.Press("G")
	hides(t, st, "new")
	shows(t, st, "20 of 20")
}

// Of a tunnel that the inspector leaves out there will be no requests, which is said, whenever that
// has begun.
func TestSaysWhatIsNotInspected(t *testing.T) {
	k := &kept{}
	st := shown(t, k, 80, 24, bare())
	const said = "shop/quiet was opened with --inspect off: nothing of it is kept"
	hides(t, st, said)
	record := mezu.Tunnel{ID: "tun_1", Name: "shop/quiet"}
	tell := func(record *mezu.Tunnel) {
		st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: local.EventTunnel}, TunnelID: "tun_1", Record: record}}})
	}
	record.Uninspected = true
	tell(&record)
	shows(t, st, said)
	tell(nil)
	hides(t, st, said)
	st.Send(feed.Listing{Tunnels: []mezu.Tunnel{record}})
	shows(t, st, said)
	record.Uninspected = false
	tell(&record)
	hides(t, st, said)
}

// What was last known of a request stays, with its age, when it can't be asked for again.
func TestRequestGrowsOld(t *testing.T) {
	k := drawn()
	st := shown(t, k, 80, 24, bare())
	for code, want := range map[mezu.Code]string{mezu.CodeUnavailable: "not answered, 2 m old", mezu.CodeNotFound: "not kept any more, 2 m old"} {
		k.none = nil
		k.rows[0].Revision += 100
		st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: mezu.EventRequest}}}})
		st.Pass(time.Second)
		hides(t, st, " old")
		k.none = mezu.Errorf(code, "there is none")
		k.rows[0].Revision += 100
		st.C.Now = st.C.Now.Add(2 * time.Minute)
		st.Send(feed.Batch{Events: []local.Event{{Event: mezu.Event{Event: mezu.EventRequest}}}})
		st.Pass(time.Second)
		shows(t, st, want, "Stripe-Signature")
	}
	k.rows[1].Revision += 1000
	st.Press("down")
	shows(t, st, "there is none")
	hides(t, st, "Stripe-Signature")
}

// Where there is one column nothing was asked for before the request is opened.
func TestNarrowSocketOpensItsFrames(t *testing.T) {
	shows(t, shown(t, socket(), 40, 24, bare(), "enter"), "┌ Frames ", "18 of 18", "1001 going away")
}

// A frame that was chosen among the parts is there when it is opened.
func TestFrameOfParts(t *testing.T) {
	st := shown(t, socket(), 80, 24, bare(), "tab", "right", "right")
	shows(t, st, "▐Frames▌")
	st.Press("up", "enter")
	shows(t, st, "17 of 18", `"type": "js-update"`)
}

// Frames are masked as bodies are, and u shows one for a moment.
func TestUnmaskedFrameHidesAgain(t *testing.T) {
	const secret, masked = `{"token":"s3cret"}`, `{"token":"` + mezu.Mask + `"}`
	k := socket()
	long := strings.Repeat("long ", 100)
	k.content[18] = local.Content{Data: []byte(masked + "\n" + long + "\n"), Masked: 1, Size: 2}
	st := shown(t, k, 80, 24, bare(), "enter")
	shows(t, st, masked)
	late := st.Screen.Act(&st.C, "unmask")
	st.Press("up", "u")
	if said := said[screen.Say](st); len(said) != 1 || said[0].Text != "nothing is masked here" {
		t.Errorf("said %+v", said)
	}
	st.Press("down")
	st.Run(late)
	hides(t, st, secret)
	st.Press("y", "u")
	shows(t, st, secret)
	st.Press("y")
	copies := said[screen.Copy](st)
	if len(copies) != 2 || copies[0].Text != masked+"\n"+long+"\n" || copies[1].Text != secret+"\n"+long+"\n" {
		t.Errorf("copied %+v", copies)
	}
	st.C.Now = st.C.Now.Add(9 * time.Second)
	st.Send(screen.Second{})
	shows(t, st, secret)
	st.C.Now = st.C.Now.Add(time.Second)
	st.Send(screen.Second{})
	hides(t, st, secret)
	for _, keys := range [][]string{{"u"}, {"up", "down"}, {"tab", "shift+tab"}, {"x", "x"}, {"esc", "enter"}} {
		st.Press("u")
		shows(t, st, secret)
		st.Press(keys...)
		hides(t, st, secret)
	}
}
