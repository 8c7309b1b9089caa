// Package log is the sixth screen of the dashboard: who did what in the organization, and what
// the local daemon wrote.
//
// What lives here: the two lists and one record in full. What may not: how they are asked for.
// cmd/mezu imports it.
package log

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/screen"
)

// Number is the screen's.
const Number = 6

const maxTyped = 512

// Record is an entry of the audit log, and who it names.
type Record struct {
	mezu.AuditRecord
	// Who is the actor as people know them: a mail address, the name of an account, or an id.
	Who string
}

// Records are the newest, newest first.
type Records []Record

// Lines are the last lines of the daemon's log, oldest first.
type Lines []string

// Audit follows what is done in the organization.
type Audit interface {
	Follow(ctx context.Context, scope screen.Scope, see func(Records)) error
}

// Daemon follows what the daemon writes.
type Daemon interface {
	FollowLog(ctx context.Context, see func(Lines)) error
}

// Config is where logs are.
type Config struct {
	Audit  Audit
	Daemon Daemon
}

// Screen is the screen.
type Screen struct {
	audit  *follow.Subject[Records]
	daemon *follow.Subject[Lines]
	scope  screen.Scope

	records *list.List[Record]
	lines   *list.List[line]
	// newest are what came while nothing may move.
	newest Records
	unread Lines

	onDaemon bool
	filter   *field.Filter
	full     bool
}

// line is one of the daemon's log, and where it is.
type line struct {
	number int
	text   string
}

var (
	_ screen.Screen   = (*Screen)(nil)
	_ screen.Typist   = (*Screen)(nil)
	_ screen.Pointed  = (*Screen)(nil)
	_ screen.Watching = (*Screen)(nil)
	_ screen.Headed   = (*Screen)(nil)
)

// New makes the screen.
func New(cfg Config) *Screen {
	return &Screen{
		audit: follow.New(cfg.Audit.Follow),
		daemon: follow.New(func(ctx context.Context, _ screen.Scope, see func(Lines)) error {
			return cfg.Daemon.FollowLog(ctx, see)
		}),
		records: list.New(func(r Record) string { return r.ID }),
		lines:   list.New(func(l line) string { return fmt.Sprint(l.number) }),
		filter:  field.NewFilter(maxTyped),
	}
}

// Title is its name.
func (s *Screen) Title() string { return "Log" }

// Heading says whether it moves.
func (s *Screen) Heading(c *screen.Context) string {
	switch {
	case c.Paused:
		return c.Theme.Paused + " paused"
	case !s.following():
		return c.Theme.Paused + " standing still"
	}
	return c.Theme.Live + " following"
}

// Watch follows both logs.
func (s *Screen) Watch() []screen.Source {
	return []screen.Source{s.audit.Source, s.daemon.Source}
}

// What the keys of the screen do.
const (
	actOther  keymap.Action = "other"
	actFilter keymap.Action = "filter"
	actWhole  keymap.Action = "whole"
	actCopy   keymap.Action = "copy"
	actSave   keymap.Action = "save"
	actClear  keymap.Action = "clear"
)

// Keys are those that work now.
func (s *Screen) Keys(*screen.Context) keymap.Map {
	return append(keymap.Map{
		{Keys: []string{"tab"}, Action: actOther, Footer: "Audit/Daemon", Help: "audit or daemon", Palette: "The other log"},
		{Action: "", Show: "space", Footer: "pause"},
		{Keys: []string{"/"}, Action: actFilter, Footer: "filter", Help: "filter: text, who:, …"},
		{Keys: []string{"y"}, Action: actCopy, Footer: "copy", Help: "copy the record"},
		{Keys: []string{"w"}, Action: actSave, Footer: "to file", Help: "write it to a file"},
		{Keys: []string{"enter"}, Action: actWhole, Footer: "whole", Help: "the record in full"},
		{Keys: []string{"esc"}, Action: actClear},
	}, keymap.Moves()...)
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	page := list.Page(s.listHeight(c))
	if s.onDaemon && s.lines.Move(a, page) || !s.onDaemon && s.records.Move(a, page) {
		s.catchUp(c)
		return nil
	}
	switch a {
	case actOther:
		s.onDaemon = !s.onDaemon
		s.refilter()
	case actFilter:
		s.filter.Begin()
	case actWhole:
		s.full = !s.full
	case actClear:
		if s.full {
			s.full = false
			break
		}
		s.filter.Set("")
		s.refilter()
	case actCopy:
		if text := s.selected(); text != "" {
			return screen.Cmd(screen.Copy{What: "the record", Text: text})
		}
	case actSave:
		return s.save()
	}
	return nil
}

// selected is the record at the cursor, as text.
func (s *Screen) selected() string {
	if s.onDaemon {
		l, _ := s.lines.Selected()
		return l.text
	}
	r, ok := s.records.Selected()
	if !ok {
		return ""
	}
	text, err := json.MarshalIndent(r.AuditRecord, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}

// save writes what is shown: records as JSON, one a line, or the daemon's lines.
func (s *Screen) save() tea.Cmd {
	var b bytes.Buffer
	name := "daemon.log"
	if s.onDaemon {
		for _, l := range s.lines.Rows() {
			b.WriteString(l.text + "\n")
		}
	} else {
		name = "audit.jsonl"
		e := json.NewEncoder(&b)
		for _, r := range s.records.Rows() {
			if err := e.Encode(r.AuditRecord); err != nil {
				return screen.Cmd(list.Said(err))
			}
		}
	}
	return screen.Cmd(screen.Save{Name: name, Text: b.Bytes()})
}

// following reports whether the newest record is selected.
func (s *Screen) following() bool {
	if s.onDaemon {
		return s.lines.AtEnd()
	}
	return s.records.AtStart()
}

// Typing reports whether somebody types a filter.
func (s *Screen) Typing() bool { return s.filter.Typing() }

// Key takes a key of the filter.
func (s *Screen) Key(_ *screen.Context, k tea.KeyMsg) tea.Cmd {
	s.filter.Key(k)
	s.refilter()
	return nil
}

// refilter shows what the filter is about.
func (s *Screen) refilter() {
	text := strings.ToLower(strings.TrimSpace(s.filter.Value()))
	if text == "" {
		s.records.Filter(nil)
		s.lines.Filter(nil)
		return
	}
	words := strings.Fields(text)
	s.lines.Filter(func(l line) bool {
		low := strings.ToLower(l.text)
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(low, w) })
	})
	s.records.Filter(func(r Record) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !has(&r, w) })
	})
}

// has reports whether a record is what a word of the filter asks for.
func has(r *Record, word string) bool {
	fields := map[string]string{"operation": r.Operation, "who": r.Who + " " + r.Actor.ID, "target": r.Target.Kind + " " + r.Target.Name + " " + r.Target.ID, "result": result(r)}
	if name, value, ok := strings.Cut(word, ":"); ok {
		if text, known := fields[name]; known {
			return strings.Contains(strings.ToLower(text), value)
		}
	}
	for _, text := range fields {
		if strings.Contains(strings.ToLower(text), word) {
			return true
		}
	}
	return false
}

// result is what became of an operation.
func result(r *Record) string {
	out := "ok"
	if r.Outcome != mezu.AuditDone {
		out = string(r.Outcome)
	}
	if r.Count > 1 {
		out += fmt.Sprintf(" ×%d", r.Count)
	}
	return out
}

// target is what it was done to.
func target(r *Record) string {
	if r.Target.Name != "" {
		return r.Target.Name
	}
	return r.Target.ID
}

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	if c.Shown {
		s.audit.Want()
		s.daemon.Want()
	}
	switch msg := msg.(type) {
	case screen.Moved:
		if msg.Scope.Organization != s.scope.Organization || msg.Scope.Profile != s.scope.Profile {
			s.records.Clear()
			s.newest = nil
		}
		s.scope = msg.Scope
		s.audit.Move(msg.Scope)
	case follow.Got[Records]:
		if msg.Scope == s.scope {
			s.newest = msg.Value
			s.records.Err = nil
			s.show(c)
		}
	case follow.Failed[Records]:
		if msg.Scope == s.scope {
			s.records.Fail(msg.Err)
		}
	case follow.Got[Lines]:
		s.unread = msg.Value
		s.lines.Err = nil
		s.show(c)
	case follow.Failed[Lines]:
		s.lines.Fail(msg.Err)
	case screen.Freed:
		s.catchUp(c)
	}
	return nil
}

// show shows what has come, unless something is selected that would move.
func (s *Screen) show(c *screen.Context) {
	if c.Paused {
		return
	}
	if s.newest != nil && (s.records.AtStart() || s.records.Len() == 0) {
		s.records.Take(s.newest, c.Now)
		s.records.Start()
		s.newest = nil
	}
	if s.unread != nil && (s.lines.AtEnd() || s.lines.Len() == 0) {
		all := make([]line, len(s.unread))
		for i, text := range s.unread {
			all[i] = line{i, text}
		}
		s.lines.Take(all, c.Now)
		s.lines.End()
		s.unread = nil
	}
}

// catchUp shows what has come, when the newest record is selected again.
func (s *Screen) catchUp(c *screen.Context) {
	if !c.Paused {
		s.show(c)
	}
}

// fresh is how many records have come that are not shown.
func (s *Screen) fresh() int {
	all := s.records.All()
	if len(all) == 0 {
		return 0
	}
	n := 0
	for n < len(s.newest) && s.newest[n].ID > all[0].ID {
		n++
	}
	return n
}

// difference are the lines of what an operation changed: "- name: value" and "+ name: value".
func difference(r *Record) []string {
	before, after := flat(r.Before), flat(r.After)
	names := map[string]bool{}
	for name := range before {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b, was := before[name]
		a, is := after[name]
		if was && is && a == b {
			continue
		}
		if was {
			out = append(out, "- "+name+": "+b)
		}
		if is {
			out = append(out, "+ "+name+": "+a)
		}
	}
	return out
}

// flat are the members of a JSON object, each as one line.
func flat(raw json.RawMessage) map[string]string {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	out := map[string]string{}
	for name, value := range members {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		out[name] = text
	}
	return out
}

// clock is the time of a record: of today, or with its day.
func clock(at, now time.Time) string {
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format(time.TimeOnly)
	}
	return at.Format("01-02 15:04")
}
