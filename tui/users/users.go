// Package users is the fifth screen of the dashboard: the users of a directory, one of them with
// roles, sessions and logins, and what can be done with an account.
//
// What lives here: the list, what is known of one, and the changes. What may not: how that is
// asked for, and who may. cmd/mezu imports it.
package users

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/field"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/form"
	"github.com/mezusphere/mezu/tui/keymap"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// Number is the screen's.
const Number = 5

const (
	// doTime bounds a change, askTime a look at one user.
	doTime   = 30 * time.Second
	askTime  = 10 * time.Second
	maxTyped = mezu.MaxFilter
)

// State is the users of one directory.
type State struct {
	Directory Directory
	// Directories are all that there are here, the environment's first.
	Directories []Directory
	Users       []mezu.User
	// More says that there are users beyond these.
	More bool

	asked asked // what this answers
}

// Directory is one of them.
type Directory struct {
	ID, Name string
	// Shared says that it is the organization's.
	Shared bool
}

// Users are followed and changed. A directory is named by its id; the empty one is that of the
// environment. query is that of the API: email=, status=, role=.
type Users interface {
	Follow(ctx context.Context, scope screen.Scope, directory, query string, see func(State)) error
	// Change makes another status or other roles of a user.
	Change(ctx context.Context, scope screen.Scope, d Directory, id string, change Change) error
	About(ctx context.Context, scope screen.Scope, d Directory, id string) (Account, error)
}

// Mail sends a link to a user, and ends sessions.
type Mail interface {
	// Reset sends the mail for a new password. link is not empty where the control plane sends
	// no mail.
	Reset(ctx context.Context, scope screen.Scope, d Directory, id string) (link string, err error)
	EndSessions(ctx context.Context, scope screen.Scope, d Directory, id string) error
}

// Change is one of a user. What is nil stays.
type Change struct {
	Status mezu.UserStatus
	Roles  *[]string
}

// Account is what is asked for of one user.
type Account struct {
	Logins   []mezu.Login
	Sessions []Session
}

// Session is one that is open.
type Session struct {
	Agent, Method string
	Used          time.Time
}

// Config is where users are.
type Config struct {
	Users Users
	Mail  Mail
}

// Screen is the screen.
type Screen struct {
	cfg     Config
	subject *follow.Subject[State]
	// asked is what the subject asks for; it is read by the goroutine that follows.
	asked *question

	scope screen.Scope
	list  *list.List[mezu.User]
	state State

	filter    *field.Field
	filtering bool
	full      bool

	// about is what is known of the account of id.
	id       string
	held     follow.Held[State]
	about    *Account
	aboutErr error
}

var (
	_ screen.Screen   = (*Screen)(nil)
	_ screen.Typist   = (*Screen)(nil)
	_ screen.Pointed  = (*Screen)(nil)
	_ screen.Watching = (*Screen)(nil)
)

// New makes the screen.
func New(cfg Config) *Screen {
	s := &Screen{cfg: cfg, asked: &question{}, list: list.New(func(u mezu.User) string { return u.ID }), filter: field.New(maxTyped)}
	s.subject = follow.New(func(ctx context.Context, scope screen.Scope, see func(State)) error {
		q := s.asked.get()
		return cfg.Users.Follow(ctx, scope, q.directory, q.query, func(state State) {
			state.asked = q
			see(state)
		})
	})
	return s
}

// Title is its name.
func (s *Screen) Title() string { return "Users" }

// Watch follows them.
func (s *Screen) Watch() []screen.Source { return []screen.Source{s.subject.Source} }

// What the keys of the screen do.
const (
	actSuspend   keymap.Action = "suspend"
	actActivate  keymap.Action = "activate"
	actEnd       keymap.Action = "end-sessions"
	actReset     keymap.Action = "reset"
	actRoles     keymap.Action = "roles"
	actDirectory keymap.Action = "directory"
	actFilter    keymap.Action = "filter"
	actWhole     keymap.Action = "details"
	actClear     keymap.Action = "clear"
	actCopy      keymap.Action = "copy"
)

// Keys are those that work now.
func (s *Screen) Keys(*screen.Context) keymap.Map {
	return append(keymap.Map{
		{Keys: []string{"s"}, Action: actSuspend, Footer: "suspend", Help: "keep out; sessions end", Palette: "Suspend the user"},
		{Keys: []string{"a"}, Action: actActivate, Footer: "activate", Help: "let the user in again", Palette: "Activate the user"},
		{Keys: []string{"E"}, Action: actEnd, Footer: "end sessions", Help: "end all sessions", Palette: "End the user's sessions"},
		{Keys: []string{"w"}, Action: actReset, Footer: "reset mail", Help: "mail a new password link", Palette: "Send the user a reset mail"},
		{Keys: []string{"g"}, Action: actRoles, Footer: "roles", Help: "give and take roles", Palette: "Give the user roles"},
		{Keys: []string{"f"}, Action: actDirectory, Footer: "directory", Help: "the next directory", Palette: "Users of the next directory"},
		{Keys: []string{"/"}, Action: actFilter, Help: "text, status=, role= …"},
		{Keys: []string{"enter"}, Action: actWhole, Help: "the account in full"},
		{Keys: []string{"y"}, Action: actCopy, Help: "copy the address"},
		{Keys: []string{"esc"}, Action: actClear},
	}, keymap.Moves()...)
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	if s.list.Move(a, list.Page(s.listHeight(c))) {
		return s.look(c)
	}
	switch a {
	case actFilter:
		s.filtering = true
	case actDirectory:
		return s.nextDirectory()
	case actClear:
		if s.full {
			s.full = false
			break
		}
		s.filter.Set("")
		s.refilter()
	}
	u, ok := s.list.Selected()
	if !ok {
		return nil
	}
	who, d, scope := u.Profile.Email, s.state.Directory, s.scope
	switch a {
	case actWhole:
		s.full = !s.full
	case actCopy:
		return screen.Cmd(screen.Copy{What: "the address", Text: who})
	case actSuspend:
		return s.do(c, who+" is suspended; a activates", func(ctx context.Context) error {
			return s.cfg.Users.Change(ctx, scope, d, u.ID, Change{Status: mezu.UserSuspended})
		})
	case actActivate:
		return s.do(c, who+" is active", func(ctx context.Context) error {
			return s.cfg.Users.Change(ctx, scope, d, u.ID, Change{Status: mezu.UserActive})
		})
	case actEnd:
		return screen.Cmd(screen.Ask{Question: "End all sessions of " + who + "?", Then: s.do(c, "the sessions of "+who+" are ended", func(ctx context.Context) error {
			return s.cfg.Mail.EndSessions(ctx, scope, d, u.ID)
		})})
	case actReset:
		return s.reset(c, u, d)
	case actRoles:
		return s.roles(u, d)
	}
	return nil
}

// changed is what became of a change.
type changed struct {
	what string
	err  error
}

// do is the command of a change.
func (s *Screen) do(c *screen.Context, what string, change func(context.Context) error) tea.Cmd {
	return c.Within(doTime, func(ctx context.Context) tea.Msg {
		return changed{what, change(ctx)}
	})
}

// reset sends the mail for a new password. Where none is sent, the link is copied: it opens the
// account, and is shown nowhere.
func (s *Screen) reset(c *screen.Context, u mezu.User, d Directory) tea.Cmd {
	scope, mail := s.scope, s.cfg.Mail
	return c.Within(doTime, func(ctx context.Context) tea.Msg {
		link, err := mail.Reset(ctx, scope, d, u.ID)
		switch {
		case err != nil:
			return list.Said(err)
		case link != "":
			return screen.Copy{What: "the link for a new password, which " + u.Profile.Email + " has to get from you", Text: link}
		}
		return screen.Say{Text: "a mail for a new password is on its way to " + u.Profile.Email}
	})
}

// roles asks for the roles of a user.
func (s *Screen) roles(u mezu.User, d Directory) tea.Cmd {
	users, scope := s.cfg.Users, s.scope
	f := form.New("Roles of "+look.Text(u.Profile.Email), []form.Field{{Name: "roles", Label: "roles", Value: strings.Join(u.Roles, " "), Note: "PROJECT/ROLE, separated by spaces; empty for none"}},
		func(ctx context.Context, v map[string]string) (string, error) {
			roles := strings.FieldsFunc(v["roles"], func(r rune) bool { return r == ' ' || r == ',' })
			if roles == nil {
				roles = []string{}
			}
			return "the roles of " + u.Profile.Email + " are changed", users.Change(ctx, scope, d, u.ID, Change{Roles: &roles})
		}, changed{})
	return screen.Cmd(screen.Open{Overlay: f})
}

// nextDirectory shows the users of the directory behind this one.
func (s *Screen) nextDirectory() tea.Cmd {
	all := s.state.Directories
	if len(all) < 2 {
		return screen.Cmd(screen.Say{Text: "there is no other directory"})
	}
	i := slices.IndexFunc(all, func(d Directory) bool { return d.ID == s.state.Directory.ID })
	next := all[(i+1)%len(all)]
	s.asked.set(asked{next.ID, s.query()})
	s.list.Clear()
	s.subject.Again()
	return nil
}

// query is what of the filter the API knows.
func (s *Screen) query() string {
	text := strings.TrimSpace(s.filter.Value())
	if strings.Contains(text, "=") {
		return text
	}
	if strings.Contains(text, "@") && mezu.ValidateEmail("filter", text) == nil {
		return mezu.UserFilter{Email: text}.String()
	}
	return ""
}

// refilter shows the users that the filter is about: those that the API finds, or those here that
// have the text.
func (s *Screen) refilter() {
	before := s.asked.get()
	if query := s.query(); query != before.query {
		s.asked.set(asked{before.directory, query})
		s.list.Clear()
		s.list.Filter(nil)
		s.subject.Again()
		return
	}
	text := strings.ToLower(strings.TrimSpace(s.filter.Value()))
	if text == "" || s.query() != "" {
		s.list.Filter(nil)
		return
	}
	s.list.Filter(func(u mezu.User) bool {
		return strings.Contains(strings.ToLower(strings.Join([]string{u.Profile.Email, u.Profile.Name, string(u.Status), strings.Join(u.Roles, " ")}, " ")), text)
	})
}

// Typing reports whether somebody types a filter.
func (s *Screen) Typing() bool { return s.filtering }

// Key takes a key of the filter. What the API is asked for is so when it is done.
func (s *Screen) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	switch k.Type {
	case tea.KeyEsc:
		s.filter.Set("")
		s.filtering = false
		s.refilter()
	case tea.KeyEnter:
		s.filtering = false
		s.refilter()
	default:
		if s.filter.Key(k) && s.query() == "" {
			s.refilter()
		}
	}
	return s.look(c)
}

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	if c.Shown {
		s.subject.Want()
	}
	switch msg := msg.(type) {
	case screen.Moved:
		s.scope = msg.Scope
		s.list.Clear()
		s.state, s.about, s.id, s.full = State{}, nil, "", false
		s.asked.set(asked{query: s.query()})
		s.subject.Move(msg.Scope)
	case follow.Got[State]:
		if s.current(msg) && !s.held.Hold(c, msg, !s.list.Got.IsZero()) {
			s.got(c, msg)
			return s.look(c)
		}
	case screen.Freed:
		s.held.Free(c, func(msg follow.Got[State]) {
			if s.current(msg) {
				s.got(c, msg)
			}
		})
		return s.look(c)
	case follow.Failed[State]:
		if msg.Scope == s.scope {
			s.list.Fail(msg.Err)
		}
	case known:
		if msg.id == s.id {
			s.aboutErr = msg.err
			if msg.err == nil {
				s.about = &msg.account
			}
		}
	case changed:
		s.id = ""
		s.subject.Again()
		switch {
		case msg.err != nil:
			return tea.Batch(s.look(c), screen.Cmd(list.Said(msg.err)))
		case msg.what != "":
			return tea.Batch(s.look(c), screen.Cmd(screen.Say{Text: msg.what}))
		}
		return s.look(c)
	}
	return nil
}

// current reports whether that answers what is asked for now, and not what was before.
func (s *Screen) current(msg follow.Got[State]) bool {
	return msg.Scope == s.scope && msg.Value.asked == s.asked.get()
}

// got takes all users.
func (s *Screen) got(c *screen.Context, msg follow.Got[State]) {
	s.state = msg.Value
	s.list.More = msg.Value.More
	s.list.Take(msg.Value.Users, c.Now)
}

// known is what there is to know of an account.
type known struct {
	id      string
	account Account
	err     error
}

// look asks for the account at the cursor, if that is another one.
func (s *Screen) look(c *screen.Context) tea.Cmd {
	u, ok := s.list.Selected()
	if !ok || u.ID == s.id {
		return nil
	}
	s.id, s.about, s.aboutErr = u.ID, nil, nil
	scope, d, users := s.scope, s.state.Directory, s.cfg.Users
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		account, err := users.About(ctx, scope, d, u.ID)
		return known{u.ID, account, err}
	})
}
