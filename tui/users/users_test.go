package users_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
	"github.com/mezusphere/mezu/tui/users"
)

// plane answers as a control plane does.
type plane struct {
	did  string
	link string
	err  error
}

func (p *plane) Follow(ctx context.Context, _ screen.Scope, _, _ string, _ func(users.State)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (p *plane) Change(_ context.Context, _ screen.Scope, d users.Directory, id string, c users.Change) error {
	p.did = fmt.Sprint(d.Name, " ", id, " ", c.Status)
	if c.Roles != nil {
		p.did += fmt.Sprint(*c.Roles)
	}
	return p.err
}

func (p *plane) About(context.Context, screen.Scope, users.Directory, string) (users.Account, error) {
	now := screentest.Now()
	return users.Account{Logins: []mezu.Login{{Time: now.Add(-2 * time.Minute), Address: "203.0.113.44", Method: "passkey", Outcome: mezu.LoginSucceeded},
		{Time: now.Add(-5 * time.Hour), Address: "203.0.113.44", Method: "password", Outcome: mezu.LoginFailed}, {Time: now.Add(-70 * time.Hour), Address: "198.51.100.3", Method: "password", Outcome: mezu.LoginRefused}},
		Sessions: []users.Session{{Agent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537", Used: now.Add(-2 * time.Minute)}, {Agent: "Mozilla/5.0 (iPhone; CPU) Version/26 Safari/605", Used: now.Add(-3 * time.Hour)}}}, p.err
}

func (p *plane) Reset(_ context.Context, _ screen.Scope, _ users.Directory, id string) (string, error) {
	p.did = "reset " + id
	return p.link, p.err
}

func (p *plane) EndSessions(_ context.Context, _ screen.Scope, _ users.Directory, id string) error {
	p.did = "end " + id
	return p.err
}

func drawn() users.State {
	now := screentest.Now()
	customers := users.Directory{ID: "dir_1", Name: "customers"}
	user := func(id, mail, name string, status mezu.UserStatus, last time.Duration, roles ...string) mezu.User {
		u := mezu.User{Meta: mezu.Meta{ID: id, CreatedAt: now.Add(-6000 * time.Hour)}, Status: status, Profile: mezu.Profile{Email: mail, Name: name}, Roles: roles}
		if last > 0 {
			u.LastLoginAt = now.Add(-last)
		}
		return u
	}
	return users.State{Directory: customers, Directories: []users.Directory{customers, {ID: "dir_2", Name: "staff", Shared: true}}, Users: []mezu.User{
		user("usr_1", "bob@example.com", "Bob V.", mezu.UserActive, 2*time.Minute, "shop/staff"),
		user("usr_2", "ada@example.com", "Ada L.", mezu.UserActive, time.Hour, "shop/staff", "shop/buyer"),
		user("usr_3", "eve@example.net", "Eve", mezu.UserSuspended, 216*time.Hour),
		user("usr_4", "new@example.org", "", mezu.UserInactive, 0),
		user("usr_5", "dan@example.com", "Dan", mezu.UserActive, 30*time.Hour, "shop/buyer"),
		user("usr_6", "hana@example.jp", "花", mezu.UserActive, 120*time.Hour, "shop/buyer"),
	}}
}

func stage(t *testing.T, w, h int, theme *look.Theme) (*screentest.Stage, *plane) {
	t.Setenv("TZ", "UTC")
	p := &plane{}
	st := screentest.New(t, users.New(users.Config{Users: p, Mail: p}), w, h, theme)
	st.Send(screen.Moved{Scope: screentest.Scope()}, follow.Got[users.State]{Scope: screentest.Scope(), Value: drawn()})
	return st, p
}

func TestGolden(t *testing.T) {
	one := func(w, h int, theme *look.Theme) *screentest.Stage {
		st, _ := stage(t, w, h, theme)
		return st
	}
	screentest.Drawings(t, *update, one, "list", map[string]screentest.Drawing{
		"list":    {},
		"account": {Keys: []string{"down", "enter"}},
		"filter":  {Keys: []string{"/", "ada", "enter"}},
		"roles":   {Keys: []string{"g"}},
		"empty":   {Then: func(st *screentest.Stage) { st.Send(follow.Got[users.State]{Scope: screentest.Scope()}) }},
		"forbidden": {Then: func(st *screentest.Stage) {
			st.Send(screen.Moved{Scope: screentest.Scope()}, follow.Failed[users.State]{Scope: screentest.Scope(), Err: mezu.Errorf(mezu.CodeForbidden, "your role, billing, has no users.read; admins have it")})
		}},
	})
}

func TestChanges(t *testing.T) {
	st, p := stage(t, 80, 24, screentest.Plain())
	for _, c := range []struct{ key, did string }{{"s", "customers usr_1 suspended"}, {"a", "customers usr_1 active"}, {"w", "reset usr_1"}} {
		if st.Press(c.key); p.did != c.did {
			t.Errorf("%s did %q, not %q", c.key, p.did, c.did)
		}
	}
	st.Press("E")
	if ask, ok := st.Said[len(st.Said)-1].(screen.Ask); !ok || !strings.Contains(ask.Question, "bob@example.com") {
		t.Fatalf("E asks %v", st.Said)
	} else if st.Run(ask.Then); p.did != "end usr_1" {
		t.Errorf("E did %q", p.did)
	}
	st.Press("g", "ctrl+u", "shop/buyer shop/staff", "enter")
	if p.did != "customers usr_1 [shop/buyer shop/staff]" || st.Overlay != nil {
		t.Errorf("g did %q", p.did)
	}
	p.err = mezu.Invalid("roles", "a role is granted as project/role, such as shop/staff")
	st.Press("g", "ctrl+u", "staff", "enter")
	if v := st.View(); st.Overlay == nil || !strings.Contains(v, "roles: a role is granted as") || !strings.Contains(v, "staff") {
		t.Errorf("what was refused is\n%s", v)
	}
}

// TestResetLink: a link that opens an account is copied, and shown nowhere.
func TestResetLink(t *testing.T) {
	st, p := stage(t, 80, 24, screentest.Plain())
	p.link = "https://control.example.com/reset#secret"
	st.Press("w")
	if c, ok := st.Said[len(st.Said)-1].(screen.Copy); !ok || c.Text != p.link || strings.Contains(c.What, "secret") || strings.Contains(st.View(), "secret") {
		t.Errorf("the link came as %v", st.Said[len(st.Said)-1])
	}
}

// TestPaused: nothing moves while the dashboard is paused.
func TestPaused(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	st.Freeze(func() {
		fewer := drawn()
		fewer.Users = fewer.Users[2:]
		st.Send(follow.Got[users.State]{Scope: screentest.Scope(), Value: fewer})
		st.Pass(time.Minute)
	})
}

// TestOlderAnswer: users of the directory before don't come back after f.
func TestOlderAnswer(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	st.Press("f")
	st.Send(follow.Got[users.State]{Scope: screentest.Scope(), Value: drawn()})
	if v := st.View(); strings.Contains(v, "bob@example.com") {
		t.Errorf("an answer of before f is shown\n%s", v)
	}
	// Nor does one that was held while nothing was to move.
	st, _ = stage(t, 80, 24, screentest.Plain())
	st.C.Paused = true
	st.Send(screen.Freed{Paused: true}, follow.Got[users.State]{Scope: screentest.Scope(), Value: drawn()})
	st.Press("f")
	st.C.Paused = false
	st.Send(screen.Freed{})
	if v := st.View(); strings.Contains(v, "bob@example.com") {
		t.Errorf("an answer that was held before f is shown\n%s", v)
	}
}

// TestC2_Users: a control plane that lies drives nothing.
func TestC2_Users(t *testing.T) {
	for _, size := range [][2]int{{40, 24}, {80, 24}, {130, 30}, {200, 40}} {
		st, p := stage(t, size[0], size[1], screentest.Plain())
		bad := screentest.Hostile()
		d := users.Directory{ID: bad, Name: bad}
		st.Send(follow.Got[users.State]{Scope: screentest.Scope(), Value: users.State{Directory: d, Directories: []users.Directory{d}, Users: []mezu.User{{Meta: mezu.Meta{ID: bad}, Status: mezu.UserStatus(bad), Profile: mezu.Profile{Email: bad, Name: bad}, Roles: []string{bad, bad}}}}})
		st.View()
		st.Press("enter", "g")
		st.View()
		p.err = &mezu.Error{Code: mezu.CodeInternal, Detail: bad, Hint: bad, Field: bad}
		st.Press("enter")
		st.View()
		st.Send(follow.Failed[users.State]{Scope: screentest.Scope(), Err: p.err})
		st.View()
	}
}

// TestMouse: a click selects, a second one opens, and the wheel turns the list below it alone.
func TestMouse(t *testing.T) {
	st, _ := stage(t, 80, 24, screentest.Plain())
	st.Mouse(5, 20)
}
