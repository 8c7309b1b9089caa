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
	// askTime bounds a look at one user.
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
	*list.Followed[State, mezu.User]
	cfg Config
	// asked is which users are asked for; it is read by the goroutine that follows.
	asked *question

	// about is what is known of the account of id.
	id       string
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
	s := &Screen{cfg: cfg, asked: &question{}}
	s.Followed = list.NewFollowed(list.Config[State, mezu.User]{
		Follow: func(ctx context.Context, scope screen.Scope, see func(State)) error {
			q := s.asked.get()
			return cfg.Users.Follow(ctx, scope, q.directory, q.query, func(state State) {
				state.asked = q
				see(state)
			})
		},
		Records: func(s State) ([]mezu.User, bool) { return s.Users, s.More },
		ID:      func(u mezu.User) string { return u.ID },
		Text: func(u mezu.User) string {
			return strings.Join([]string{u.Profile.Email, u.Profile.Name, string(u.Status), strings.Join(u.Roles, " ")}, " ")
		},
		MostTyped: maxTyped,
	})
	return s
}

// Title is its name.
func (s *Screen) Title() string { return "Users" }

// What the keys of the screen do.
const (
	actSuspend   keymap.Action = "suspend"
	actActivate  keymap.Action = "activate"
	actEnd       keymap.Action = "end-sessions"
	actReset     keymap.Action = "reset"
	actRoles     keymap.Action = "roles"
	actDirectory keymap.Action = "directory"
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
		{Keys: []string{"/"}, Action: list.ActFilter, Help: "text, status=, role= …"},
		{Keys: []string{"enter"}, Action: list.ActWhole, Help: "the account in full"},
		{Keys: []string{"y"}, Action: actCopy, Help: "copy the address"},
		{Keys: []string{"esc"}, Action: list.ActClear},
	}, keymap.Moves()...)
}

// Act does what a key asks for.
func (s *Screen) Act(c *screen.Context, a keymap.Action) tea.Cmd {
	if s.Followed.Act(a, s.listHeight(c)) {
		if a == list.ActClear {
			s.search()
		}
		return s.look(c)
	}
	if a == actDirectory {
		return s.nextDirectory()
	}
	u, ok := s.List.Selected()
	if !ok {
		return nil
	}
	who, d, scope := u.Profile.Email, s.State.Directory, s.Scope
	switch a {
	case actCopy:
		return screen.Cmd(screen.Copy{What: "the address", Text: who})
	case actSuspend:
		return s.Do(c, who+" is suspended; a activates", func(ctx context.Context) error {
			return s.cfg.Users.Change(ctx, scope, d, u.ID, Change{Status: mezu.UserSuspended})
		})
	case actActivate:
		return s.Do(c, who+" is active", func(ctx context.Context) error {
			return s.cfg.Users.Change(ctx, scope, d, u.ID, Change{Status: mezu.UserActive})
		})
	case actEnd:
		return screen.Cmd(screen.Ask{Question: "End all sessions of " + who + "?", Then: s.Do(c, "the sessions of "+who+" are ended", func(ctx context.Context) error {
			return s.cfg.Mail.EndSessions(ctx, scope, d, u.ID)
		})})
	case actReset:
		return s.reset(c, u, d)
	case actRoles:
		return s.roles(u, d)
	}
	return nil
}

// reset sends the mail for a new password. Where none is sent, the link is copied: it opens the
// account, and is shown nowhere.
func (s *Screen) reset(c *screen.Context, u mezu.User, d Directory) tea.Cmd {
	scope, mail := s.Scope, s.cfg.Mail
	return c.Within(screen.DoTime, func(ctx context.Context) tea.Msg {
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
	users, scope := s.cfg.Users, s.Scope
	f := form.New("Roles of "+look.Text(u.Profile.Email), []form.Field{{Name: "roles", Label: "roles", Value: strings.Join(u.Roles, " "), Note: "PROJECT/ROLE, separated by spaces; empty for none"}},
		func(ctx context.Context, v map[string]string) (string, error) {
			roles := strings.FieldsFunc(v["roles"], func(r rune) bool { return r == ' ' || r == ',' })
			if roles == nil {
				roles = []string{}
			}
			return "the roles of " + u.Profile.Email + " are changed", users.Change(ctx, scope, d, u.ID, Change{Roles: &roles})
		}, list.Changed[State]{})
	return screen.Cmd(screen.Open{Overlay: f})
}

// nextDirectory shows the users of the directory behind this one.
func (s *Screen) nextDirectory() tea.Cmd {
	all := s.State.Directories
	if len(all) < 2 {
		return screen.Cmd(screen.Say{Text: "there is no other directory"})
	}
	i := slices.IndexFunc(all, func(d Directory) bool { return d.ID == s.State.Directory.ID })
	next := all[(i+1)%len(all)]
	s.asked.set(asked{next.ID, s.query()})
	s.Renew()
	return nil
}

// query is what of the filter the API knows.
func (s *Screen) query() string {
	text := strings.TrimSpace(s.Filter.Value())
	if strings.Contains(text, "=") {
		return text
	}
	if strings.Contains(text, "@") && mezu.ValidateEmail("filter", text) == nil {
		return mezu.UserFilter{Email: text}.String()
	}
	return ""
}

// search shows the users that the filter is about: those that the API finds, or those here that
// have the text.
func (s *Screen) search() {
	query, before := s.query(), s.asked.get()
	if query != before.query {
		s.asked.set(asked{before.directory, query})
		s.Renew()
	}
	if query != "" {
		s.List.Filter(nil)
		return
	}
	s.Narrow()
}

// Key takes a key of the filter. What the API is asked for is so when it is done.
func (s *Screen) Key(c *screen.Context, k tea.KeyMsg) tea.Cmd {
	s.Filter.Key(k)
	if !s.Typing() || s.query() == "" {
		s.search()
	}
	return s.look(c)
}

// Take takes a message.
func (s *Screen) Take(c *screen.Context, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Moved:
		s.about, s.id = nil, ""
		s.asked.set(asked{query: s.query()})
	case follow.Got[State]:
		if msg.Value.asked != s.asked.get() {
			return nil // it answers what was asked before
		}
	case known:
		if msg.id == s.id {
			s.aboutErr = msg.err
			if msg.err == nil {
				s.about = &msg.account
			}
		}
	case list.Changed[State]:
		s.id = "" // it is another account now
	}
	cmd, _ := s.Followed.Take(c, msg)
	return tea.Batch(s.look(c), cmd)
}

// known is what there is to know of an account.
type known struct {
	id      string
	account Account
	err     error
}

// look asks for the account at the cursor, if that is another one.
func (s *Screen) look(c *screen.Context) tea.Cmd {
	u, ok := s.List.Selected()
	if !ok || u.ID == s.id {
		return nil
	}
	s.id, s.about, s.aboutErr = u.ID, nil, nil
	scope, d, users := s.Scope, s.State.Directory, s.cfg.Users
	return c.Within(askTime, func(ctx context.Context) tea.Msg {
		account, err := users.About(ctx, scope, d, u.ID)
		return known{u.ID, account, err}
	})
}
