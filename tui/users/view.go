package users

import (
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

const (
	// detailHeight is that of the lower panels, accountWidth of the left one.
	detailHeight = 8
	accountWidth = 34
	foldBelow    = 17
	// filterLine is the line above the list.
	filterLine = 1
)

// listHeight is that of the list.
func (s *Screen) listHeight(c *screen.Context) int {
	h := c.Height - filterLine
	switch {
	case c.Aside() > 0:
		return h
	case s.Full && (c.Layout == screen.Column || h < foldBelow):
		return 1
	case c.Layout == screen.Column, h < foldBelow:
		return h
	}
	return max(5, h-detailHeight)
}

// View draws the screen.
func (s *Screen) View(c *screen.Context, w, h int) []string {
	out := []string{s.headLine(c, w)}
	rest := h - filterLine
	if right := c.Aside(); right > 0 {
		return append(out, look.Beside(s.listPanel(c, w-right, rest), s.accountPanels(c, right, rest))...)
	}
	top := s.listHeight(c)
	out = append(out, s.listPanel(c, w, top)...)
	if rest-top > 1 {
		out = append(out, s.accountPanels(c, w, rest-top)...)
	}
	return out
}

// headLine says which directory is shown, and what of it.
func (s *Screen) headLine(c *screen.Context, w int) string {
	t := c.Theme
	d := s.State.Directory
	name := look.Text(d.Name)
	switch {
	case d.Name == "":
		name = t.Dash
	case d.Shared:
		name += " (organization)"
	default:
		name += " (project)"
	}
	right := ""
	if !s.List.Got.IsZero() {
		right = look.Count(len(s.List.All())) + " users"
		if s.List.More {
			right = "more than " + right
		}
	}
	text := " directory " + t.Selected + " " + name + "   / " + s.Filter.View(t, max(10, w/3))
	return t.Ends(text, right+" ", w)
}

// listPanel is the list.
func (s *Screen) listPanel(c *screen.Context, w, h int) []string {
	t := c.Theme
	columns := []look.Column{{Head: "MAIL", Width: 16, Grow: 3}, {Head: "NAME", Width: 10, Grow: 2, Rank: 3}, {Head: "STATUS", Width: 11}, {Head: "ROLES", Width: 10, Rank: 2}, {Head: "LAST LOGIN", Width: 10, Rank: 1}}
	cells := func(u mezu.User) []look.Cell {
		name := u.Profile.Name
		if name == "" {
			name = u.Profile.DisplayName
		}
		if name == "" {
			name = t.Dash
		}
		return []look.Cell{{Text: look.Text(u.Profile.Email), Tone: look.Strong}, {Text: look.Text(name)}, status(t, u.Status), {Text: look.Text(s.rolesOf(t, &u))}, {Text: last(u.LastLoginAt, c.Now)}}
	}
	return s.List.Panel(c, look.Panel{Title: "Users", Focused: !s.Full}, columns, cells, s.empty(), w, h)
}

// empty says what it means that there is nobody.
func (s *Screen) empty() []string {
	if s.State.Directory.ID == "" {
		return []string{"the environment has no directory, so nobody can log in", "try: mezu environments update " + s.Scope.Environment + " --directory NAME"}
	}
	return []string{"nobody has an account here yet"}
}

// status is how an account is, with its sign.
func status(t *look.Theme, s mezu.UserStatus) look.Cell {
	switch s {
	case mezu.UserActive:
		return look.Cell{Text: t.Up + " active", Tone: look.Good}
	case mezu.UserSuspended:
		return look.Cell{Text: t.Waiting + " suspended", Tone: look.Bad}
	}
	return look.Cell{Text: t.Down + " " + look.Text(string(s)), Tone: look.Quiet}
}

// rolesOf are the first role, and how many more there are; those of this project without its
// name.
func (s *Screen) rolesOf(t *look.Theme, u *mezu.User) string {
	if len(u.Roles) == 0 {
		return t.Dash
	}
	first := strings.TrimPrefix(u.Roles[0], s.Scope.Project+"/")
	if n := len(u.Roles) - 1; n > 0 {
		first += " +" + look.Count(n)
	}
	return first
}

// last is when somebody logged in last.
func last(at, now time.Time) string {
	switch d := now.Sub(at); {
	case at.IsZero():
		return "never"
	case d < time.Second:
		return "now"
	case d >= 24*time.Hour && d < 48*time.Hour:
		return "yesterday"
	default:
		return look.Ago(d) + " ago"
	}
}

// accountPanels are the account and its logins.
func (s *Screen) accountPanels(c *screen.Context, w, h int) []string {
	t := c.Theme
	u, ok := s.List.Selected()
	if !ok {
		return look.Panel{}.Draw(t, nil, w, h)
	}
	left := min(accountWidth, w)
	account := look.Panel{Title: look.Text(u.Profile.Email), Focused: s.Full}
	if w-left < 20 || c.Aside() > 0 && w < 70 {
		half := h / 2
		return append(account.Draw(t, s.account(c, &u), w, half), look.Panel{Title: "Logins"}.Draw(t, s.logins(c, w-4), w, h-half)...)
	}
	return look.Beside(account.Draw(t, s.account(c, &u), left, h), look.Panel{Title: "Logins"}.Draw(t, s.logins(c, w-left-4), w-left, h))
}

// account are the lines on one.
func (s *Screen) account(c *screen.Context, u *mezu.User) []string {
	t := c.Theme
	roles := strings.Join(u.Roles, " ")
	if roles == "" {
		roles = "none"
	}
	out := []string{look.Text(u.ID), "since " + u.CreatedAt.Local().Format(time.DateOnly), t.Paint(look.Quiet, "roles     ") + look.Text(roles)}
	switch {
	case s.aboutErr != nil:
		return append(out, list.Trouble(t, s.aboutErr, accountWidth-4)...)
	case s.about == nil:
		return append(out, t.Ellipsis)
	}
	out = append(out, t.Paint(look.Quiet, "sessions  ")+look.Count(len(s.about.Sessions))+" open")
	for _, one := range s.about.Sessions {
		out = append(out, "  "+t.Fit(look.Text(agent(one.Agent)), 20)+" "+look.Ago(c.Now.Sub(one.Used)))
	}
	return out
}

// logins are the last attempts to log in.
func (s *Screen) logins(c *screen.Context, w int) []string {
	t := c.Theme
	if s.about == nil {
		return nil
	}
	b := look.Table{Selected: -1, NoMark: true, Columns: []look.Column{{Head: "TIME", Width: 11}, {Head: "ADDRESS", Width: 12, Grow: 1, Rank: 1}, {Head: "HOW", Width: 8, Rank: 2}, {Head: "RESULT", Width: 7}}}
	for _, l := range s.about.Logins {
		tone, result := look.Good, "ok"
		switch l.Outcome {
		case mezu.LoginFailed:
			tone, result = look.Bad, "wrong"
		case mezu.LoginRefused:
			tone, result = look.Warn, "refused"
		}
		b.Rows = append(b.Rows, []look.Cell{{Text: when(l.Time.Local(), c.Now.Local())}, {Text: look.Text(l.Address)}, {Text: look.Text(l.Method)}, {Text: result, Tone: tone}})
	}
	return b.Draw(t, w)
}

// when is a time, as short as it can be told.
func when(at, now time.Time) string {
	switch {
	case at.Format(time.DateOnly) == now.Format(time.DateOnly):
		return at.Format("15:04") + " today"
	case now.Sub(at) < 7*24*time.Hour:
		return at.Format("Mon 15:04")
	}
	return at.Format(time.DateOnly)
}

// agent is the browser and the system of what a browser calls itself.
func agent(text string) string {
	name := ""
	for _, b := range []struct{ has, is string }{{"Firefox/", "Firefox"}, {"Edg/", "Edge"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if strings.Contains(text, b.has) {
			name = b.is
			break
		}
	}
	if name == "" {
		return text
	}
	for _, o := range []struct{ has, is string }{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(text, o.has) {
			return name + ", " + o.is
		}
	}
	return name
}

// listAt is where the list is.
func (s *Screen) listAt(c *screen.Context) look.Rect {
	return look.Rect{Y: filterLine, W: c.Width - c.Aside(), H: s.listHeight(c)}
}

// Click selects a user; twice shows the account.
func (s *Screen) Click(c *screen.Context, x, y int, twice bool) tea.Cmd {
	if s.List.Click(s.listAt(c), x, y) {
		s.Full = twice
	}
	return s.look(c)
}

// Wheel scrolls the list if it is turned there.
func (s *Screen) Wheel(c *screen.Context, x, y, by int) tea.Cmd {
	s.List.Wheel(s.listAt(c), x, y, by)
	return s.look(c)
}
