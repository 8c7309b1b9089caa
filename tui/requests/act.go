package requests

import (
	"bytes"
	"context"
	"fmt"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// What came of what was done. of is the screen that did it, for there may be two.
type (
	pinned struct {
		of  *Screen
		is  mezu.Exchange
		err error
	}
	replayed struct {
		of  *Screen
		is  local.Replayed
		err error
	}
	cleared struct {
		of  *Screen
		is  local.Cleared
		err error
	}
	copied struct {
		of         *Screen
		what, text string
		err        error
	}
	archived struct {
		of   *Screen
		name string
		data []byte
		err  error
	}
	drafted struct {
		of    *Screen
		id    string
		draft Draft
		notes []string
		err   error
	}
	saved struct {
		of      *Screen
		draft   Draft
		text    []byte
		changed bool
		err     error
	}
)

// failed says what could not be done, and what to do then.
func failed(what string, err error) tea.Cmd {
	return screen.Cmd(screen.Say{Text: "not " + what + ": " + err.Error(), Bad: true})
}

// do does something with a request, and reports whether the action is one of these.
func (s *Screen) do(c *screen.Context, a keymap.Action, e mezu.Exchange) (tea.Cmd, bool) {
	switch a {
	case actReplay:
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			is, err := s.cfg.Actions.Replay(ctx, e.ID, local.Replay{})
			return replayed{s, is, err}
		}), true
	case actEdit:
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			d, notes, err := s.cfg.Drafts.Draft(ctx, e.ID)
			return drafted{s, e.ID, d, notes, err}
		}), true
	case actDiff:
		return s.mark(c, e), true
	case actPin:
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			is, err := s.cfg.Actions.Pin(ctx, e.ID, !e.Pinned)
			return pinned{s, is, err}
		}), true
	case actCurl:
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			command, err := s.cfg.Exports.Curl(ctx, e.ID, false)
			return copied{s, "the curl command", command, err}
		}), true
	case actHAR:
		name := "mezu-" + short(e.ID) + ".har"
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			var b bytes.Buffer
			err := s.cfg.Exports.HAR(ctx, &b, local.HARQuery{IDs: []string{e.ID}})
			return archived{s, name, b.Bytes(), err}
		}), true
	case actWrite:
		return s.write(c, e), true
	case actCopy:
		return s.copy(c, e), true
	}
	return nil, false
}

// short is the beginning of an id, by which the daemon finds it.
func short(id string) string {
	const enough = 8
	return escaped(id[:min(len(id), enough)])
}

// mark marks a request that others are compared with, or compares.
func (s *Screen) mark(c *screen.Context, e mezu.Exchange) tea.Cmd {
	switch s.marked {
	case e.ID:
		s.marked = ""
		return screen.Cmd(screen.Say{Text: short(e.ID) + " is no longer marked"})
	case "":
		if e.ReplayOf == "" {
			s.marked = e.ID
			return screen.Cmd(screen.Say{Text: short(e.ID) + " is marked: d on another compares them, d here again unmarks it"})
		}
	}
	s.focus = onDetail
	s.detail.diff.with = s.against(e)
	return s.detail.open(c, partDiff)
}

// write writes the body, or the frame, to a file.
func (s *Screen) write(c *screen.Context, e mezu.Exchange) tea.Cmd {
	if s.onFrames() {
		f := &s.detail.frames
		if f.at >= len(f.rows) {
			return nil
		}
		n := f.rows[f.at].Number
		name := fmt.Sprintf("mezu-%s-frame-%d", short(e.ID), n)
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			is, err := s.cfg.Contents.Frame(ctx, e.ID, n, local.FormDecoded, false)
			return archived{s, name, is.Data, err}
		})
	}
	side := local.SideRequest
	if s.detail.part != partRequest {
		side = local.SideResponse
	}
	name := "mezu-" + short(e.ID) + "-" + side
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := s.cfg.Contents.Body(ctx, e.ID, side, local.FormDecoded, false)
		return archived{s, name, is.Data, err}
	})
}

// copy copies the value at the cursor.
func (s *Screen) copy(c *screen.Context, e mezu.Exchange) tea.Cmd {
	if s.onFrames() {
		f := &s.detail.frames
		if f.at >= len(f.rows) {
			return nil
		}
		what, one := "the frame", f.rows[f.at]
		if one.Kept < one.Size {
			what = "what is kept of the frame"
		}
		// What is shown of it is cut into lines.
		form, unmask := f.form(), f.bare != nil
		return c.Within(askTime, func(ctx context.Context) tea.Msg {
			is, err := s.cfg.Contents.Frame(ctx, e.ID, one.Number, form, unmask)
			return copied{s, what, string(is.Data), err}
		})
	}
	text, ok := s.detail.copied()
	if !ok {
		return nil
	}
	return screen.Cmd(screen.Copy{What: "the value", Text: text})
}

// askClear asks before all is removed.
func (s *Screen) askClear(c *screen.Context) tea.Cmd {
	return screen.Cmd(screen.Ask{Question: "Remove all requests but the pinned ones from the memory of the daemon?", Then: c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := s.cfg.Actions.Clear(ctx, "")
		return cleared{s, is, err}
	})})
}

// acted takes what came of what was done.
func (s *Screen) acted(c *screen.Context, msg tea.Msg) tea.Cmd {
	say := func(of *Screen, err error, what, done string) tea.Cmd {
		if of != s {
			return nil
		}
		s.log.changed = true
		if err != nil {
			return failed(what, err)
		}
		return screen.Cmd(screen.Say{Text: done})
	}
	switch msg := msg.(type) {
	case pinned:
		done := short(msg.is.ID) + " is no longer pinned"
		if msg.is.Pinned {
			done = short(msg.is.ID) + " is pinned, and stays"
		}
		return say(msg.of, msg.err, "pinned", done)
	case replayed:
		done := "sent again"
		if len(msg.is.Items) > 0 {
			done += " as " + short(msg.is.Items[0].ID) + "; d there compares them"
		}
		return say(msg.of, msg.err, "sent", done)
	case cleared:
		if msg.of == s && msg.err == nil {
			s.list = list{}
			s.log.complete = time.Time{} // what is gone, changes don't say
		}
		return say(msg.of, msg.err, "removed", "requests removed: "+look.Count(msg.is.Removed))
	case copied:
		if msg.of != s {
			return nil
		}
		if msg.err != nil {
			return failed("copied", msg.err)
		}
		return screen.Cmd(screen.Copy{What: msg.what, Text: msg.text})
	case archived:
		if msg.of != s {
			return nil
		}
		if msg.err != nil {
			return failed("written", msg.err)
		}
		return screen.Cmd(screen.Save{Name: msg.name, Text: msg.data})
	case drafted:
		return s.edit(msg)
	case saved:
		return s.send(c, msg)
	}
	return nil
}

// edit opens a request in the editor.
func (s *Screen) edit(msg drafted) tea.Cmd {
	if msg.of != s {
		return nil
	}
	if msg.err != nil {
		return failed("edited", msg.err)
	}
	cmds := []tea.Cmd{screen.Cmd(screen.Edit{Name: "mezu-" + short(msg.id) + ".http", Text: msg.draft.Text(), Then: func(text []byte, changed bool, err error) tea.Msg {
		return saved{s, msg.draft, text, changed, err}
	}})}
	for _, n := range msg.notes {
		cmds = append(cmds, screen.Cmd(screen.Say{Text: n}))
	}
	return tea.Batch(cmds...)
}

// send sends what was saved in the editor.
func (s *Screen) send(c *screen.Context, msg saved) tea.Cmd {
	switch {
	case msg.of != s:
		return nil
	case msg.err != nil:
		return failed("sent", msg.err)
	case !msg.changed:
		return screen.Cmd(screen.Say{Text: "nothing was changed, so nothing was sent; R sends it as it was"})
	}
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		is, err := msg.draft.Send(ctx, msg.text)
		return replayed{s, is, err}
	})
}
