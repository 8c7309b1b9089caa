package requests

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/screen"
)

// Actions of the screen.
const (
	actWhole    keymap.Action = "whole"
	actReplay   keymap.Action = "replay"
	actEdit     keymap.Action = "edit"
	actDiff     keymap.Action = "diff"
	actCurl     keymap.Action = "curl"
	actCopy     keymap.Action = "copy"
	actHAR      keymap.Action = "har"
	actPin      keymap.Action = "pin"
	actUnmask   keymap.Action = "unmask"
	actFilter   keymap.Action = "filter"
	actSearch   keymap.Action = "search"
	actBack     keymap.Action = "back"
	actFocus    keymap.Action = "focus"
	actNext     keymap.Action = "next-part"
	actPrevious keymap.Action = "previous-part"
	actHex      keymap.Action = "hex"
	actWrite    keymap.Action = "write"
	actOwn      keymap.Action = ""
)

// Keys are those that work now.
func (s *Screen) Keys(c *screen.Context) keymap.Map {
	if s.full {
		return append(s.wholeKeys(), keymap.Moves()...)
	}
	m := s.listKeys()
	if s.part && c.Layout != screen.Triple { // of the request nothing is shown
		m = slices.DeleteFunc(m, func(b keymap.Binding) bool {
			return slices.Contains([]keymap.Action{actDiff, actUnmask, actHex, actWrite, actNext, actPrevious, actFocus}, b.Action)
		})
	}
	return append(m, keymap.Moves()...)
}

// listKeys are those of the list with the request that is selected.
func (s *Screen) listKeys() keymap.Map {
	m := keymap.Map{
		{Keys: []string{"enter"}, Action: actWhole, Footer: "full", Help: "the whole request"},
		{Keys: []string{"R"}, Action: actReplay, Footer: "replay", Help: "send it again", Palette: "Replay the request"},
		{Keys: []string{"e"}, Action: actEdit, Footer: "edit+replay", Help: "change it and send that", Palette: "Edit and replay the request"},
		{Keys: []string{"d"}, Action: actDiff, Footer: "diff", Help: "compare it with another", Palette: "Compare the request"},
	}
	if s.focus == onDetail {
		m = append(m, keymap.Binding{Keys: []string{"y"}, Action: actCopy, Footer: "copy", Help: "copy the value"},
			keymap.Binding{Keys: []string{"Y"}, Action: actCurl, Help: "copy a curl command", Palette: "Copy the request as a curl command"})
	} else {
		m = append(m, keymap.Binding{Keys: []string{"y", "Y"}, Action: actCurl, Show: "y", Footer: "curl", Help: "copy a curl command", Palette: "Copy the request as a curl command"})
	}
	return append(m, keymap.Map{
		{Keys: []string{"H"}, Action: actHAR, Footer: "HAR", Help: "write an HTTP archive", Palette: "Write the request as an HTTP archive"},
		{Keys: []string{"P"}, Action: actPin, Footer: "pin", Help: "keep it, or no longer", Palette: "Pin the request"},
		{Action: actOwn, Show: "space", Footer: "pause"},
		{Keys: []string{"u"}, Action: actUnmask, Help: "show one secret for 10 s", Palette: "Show a masked value of the request"},
		{Keys: []string{"x"}, Action: actHex, Help: "the body as hex, or not"},
		{Keys: []string{"w"}, Action: actWrite, Help: "write the body to a file", Palette: "Write the body to a file"},
		{Keys: []string{"/"}, Action: actFilter, Help: "filter", Palette: "Filter the requests"},
		{Keys: []string{"tab", "shift+tab"}, Action: actFocus, Show: "tab", Help: "list or parts"},
		{Keys: []string{"right", "l"}, Action: actNext, Show: "← →", Help: "another part"},
		{Keys: []string{"left", "h"}, Action: actPrevious},
		{Keys: []string{"esc"}, Action: actBack, Help: "back; clear the filter"},
	}...)
}

// wholeKeys are those of one request that has the whole screen.
func (s *Screen) wholeKeys() keymap.Map {
	row := "line"
	if s.detail.part == partFrames {
		row = "frame"
	}
	return keymap.Map{
		{Action: actOwn, Show: "↑↓", Footer: row},
		{Keys: []string{"/"}, Action: actSearch, Footer: "search", Help: "search; enter goes on"},
		{Keys: []string{"y"}, Action: actCopy, Footer: "copy", Help: "copy the value"},
		{Keys: []string{"x"}, Action: actHex, Footer: "hex", Help: "as hex, or not"},
		{Keys: []string{"w"}, Action: actWrite, Footer: "write to file", Help: "write it to a file"},
		{Keys: []string{"tab", "right", "l"}, Action: actNext, Show: "tab", Footer: "next part", Help: "next part"},
		{Keys: []string{"shift+tab", "left", "h"}, Action: actPrevious},
		{Keys: []string{"esc"}, Action: actBack, Footer: "back", Help: "back to the list"},
		{Keys: []string{"u"}, Action: actUnmask, Help: "show one secret for 10 s"},
		{Keys: []string{"R"}, Action: actReplay, Help: "send it again", Palette: "Replay the request"},
		{Keys: []string{"e"}, Action: actEdit, Help: "change it and send that", Palette: "Edit and replay the request"},
		{Keys: []string{"Y"}, Action: actCurl, Help: "copy a curl command"},
		{Keys: []string{"H"}, Action: actHAR, Help: "write an HTTP archive"},
		{Keys: []string{"P"}, Action: actPin, Help: "keep it, or no longer"},
		{Keys: []string{"enter", "n"}, Action: actSearchOn},
		{Keys: []string{"["}, Action: actLess, Show: "[ ]", Help: "scroll the frame"},
		{Keys: []string{"]"}, Action: actMore},
	}
}

// Actions of the whole request alone.
const (
	actSearchOn keymap.Action = "search-on"
	actLess     keymap.Action = "scroll-up"
	actMore     keymap.Action = "scroll-down"
)

// Offers are lines for the palette.
func (s *Screen) Offers(c *screen.Context) []screen.Offer {
	to := func(text, filter string) screen.Offer {
		return screen.Offer{Text: text, Do: screen.Cmd(screen.GoTo{Screen: Number, Then: Show{Filter: filter}})}
	}
	out := []screen.Offer{
		to("All requests", ""), to("Last requests with status 500", "status:500"), to("Requests that failed", "is:failed"), to("Requests that are open", "is:open"),
		to("WebSocket connections", "is:ws"), to("gRPC calls", "is:grpc"), to("Replays", "is:replay"), to("Pinned requests", "is:pinned"),
	}
	return append(out, screen.Offer{Text: "Clear the requests (pinned ones stay)", Do: s.askClear(c)})
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	return tea.Batch(s.act(c, a), s.follow(c))
}

func (s *Screen) act(c *screen.Context, a keymap.Action) tea.Cmd {
	e, selected := s.list.selected()
	switch a {
	case actFilter:
		if s.part {
			return screen.Cmd(screen.GoTo{Screen: Number, Then: Show{Filter: s.filter.Value()}})
		}
		s.typing, s.focus = true, onList
		return nil
	case actFocus:
		s.focus = onDetail - s.focus
		return nil
	case actBack:
		return s.back(c)
	}
	if !selected {
		return nil
	}
	switch a {
	case actWhole:
		if s.part {
			return screen.Cmd(screen.GoTo{Screen: Number, Then: Show{Filter: s.filter.Value(), ID: e.ID}})
		}
		s.full = true
		switch {
		case !framed(e):
			return nil
		case s.detail.id == e.ID:
			return s.detail.open(c, partFrames)
		}
		s.detail.part = partFrames // of the one that follows
		return nil
	case actNext, actPrevious:
		return s.turn(c, a)
	case actUnmask:
		if s.onFrames() {
			return s.detail.frames.unmask(c)
		}
		s.focus = onDetail
		cmd := s.detail.unmask(c)
		s.scrollTo(c)
		return cmd
	case actHex:
		s.detail.hex = !s.detail.hex
		return s.detail.need(c)
	case actSearch:
		s.searching = true
		return nil
	case actSearchOn:
		return s.find(c)
	case actLess, actMore:
		s.scrollFrame(c, a)
		return nil
	}
	if cmd, ok := s.do(c, a, e); ok {
		return cmd
	}
	return s.move(c, a)
}

// turn shows another part of the request.
func (s *Screen) turn(c *screen.Context, a keymap.Action) tea.Cmd {
	by := 1
	if a == actPrevious {
		by = -1
	}
	if !s.full {
		s.focus = onDetail
	}
	return s.detail.turn(c, by)
}

// back goes back by one: from the whole request, from the parts, from a filter.
func (s *Screen) back(c *screen.Context) tea.Cmd {
	switch {
	case s.full:
		s.full = false
	case s.focus == onDetail:
		s.focus = onList
	case s.filter.Value() != "":
		s.filter.Set("")
		s.list = list{}
		return s.log.Filter(c, "")
	}
	return nil
}

// move moves the cursor of the panel that has the focus.
func (s *Screen) move(c *screen.Context, a keymap.Action) tea.Cmd {
	g := s.places(c, c.Width, c.Height)
	switch {
	case s.onFrames():
		return s.detail.frames.move(c, a, g.list.Body()-1)
	case s.full || s.focus == onDetail:
		return s.detail.move(c, a, g.detail)
	case s.list.move(a, s.page(g)):
		s.detail.conceal(c)
	}
	return nil
}

// onFrames reports whether the cursor is among frames.
func (s *Screen) onFrames() bool { return s.full && s.detail.part == partFrames }

// Key takes a key while somebody types.
func (s *Screen) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	if s.searching {
		return s.searchKey(c, k)
	}
	switch k.Type {
	case tea.KeyEnter, tea.KeyTab:
		s.typing = false
		return nil
	case tea.KeyEsc:
		s.typing = false
		s.filter.Set("")
	case tea.KeyDown, tea.KeyUp:
		s.typing = false
		return nil
	default:
		if !s.filter.Key(k) {
			return nil
		}
	}
	s.list.still = false
	return s.log.Filter(c, s.filter.Value())
}

// maxSearch bounds what is looked for.
const maxSearch = 200

// searchKey takes a key while somebody types what to look for.
func (s *Screen) searchKey(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.Type {
	case tea.KeyEnter:
		s.searching = false
		return s.find(c)
	case tea.KeyEsc:
		s.searching = false
		s.search.Set("")
	default:
		s.search.Key(k)
	}
	return nil
}

// find moves to the next place with what is looked for.
func (s *Screen) find(c *screen.Context) tea.Cmd {
	text := s.search.Value()
	if text == "" {
		return nil
	}
	g := s.places(c, c.Width, c.Height)
	var found bool
	var cmd tea.Cmd
	if s.onFrames() {
		found, cmd = s.detail.frames.find(c, text, g.list.Body()-1)
	} else {
		found = s.detail.find(c, text, g.detail)
	}
	if !found {
		return screen.Cmd(screen.Say{Text: "there is no " + text + " here"})
	}
	return cmd
}
