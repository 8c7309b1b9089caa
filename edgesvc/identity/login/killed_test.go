package login_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/login"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

// trial is a flow up to the form at which its control plane is killed.
type trial struct {
	*browser
	// act sends the form from a browser.
	act func(*browser) shown
	// done reports whether what the form is for has happened, by what lies in the store.
	done func() bool
	// retried judges what the form gets when it is sent once more to another control plane; was
	// is what done said before.
	retried func(s shown, was bool)
	// then looks at what must be so afterwards.
	then func(b *browser)
}

// killing is what trials need beside a pair.
type killing struct {
	*pair
	t       *testing.T // of the flow
	hash    password.Hash
	pool    string              // the id of the directory
	letters map[string][]letter // by address
	// undo takes back what a trial asked of the directory.
	undo func()
}

// mailsTo are all mails to an address, the oldest first.
func (k *killing) mailsTo(email string) []letter {
	k.t.Helper()
	for _, l := range k.mails() {
		k.letters[l.To] = append(k.letters[l.To], l)
	}
	return k.letters[email]
}

// lastTo is the last mail to an address, which there must be.
func (k *killing) lastTo(email string) letter {
	k.t.Helper()
	all := k.mailsTo(email)
	if len(all) == 0 {
		k.t.Fatalf("no mail to %s", email)
	}
	return all[len(all)-1]
}

// visitor is a browser in a network of its own.
func (k *killing) visitor() *browser {
	b := k.browser()
	k.n++
	b.client = fmt.Sprintf("198.18.%d.%d", k.n/250, k.n%250)
	return b
}

// seed makes a user with the password good, who has logged in nowhere.
func (k *killing) seed(email string, roles ...string) mezu.User {
	k.t.Helper()
	u := controltest.Call[mezu.User](k.t, k.op, api.OpCreateUser, controltest.UserBody(email, roles...), k.pair.pool.InProject()...)
	var c account.Credential
	c.SetPassword(k.hash, time.Now().UTC().Truncate(time.Millisecond))
	k.in.Write(k.keyOf("credential/", u), c)
	return u
}

// keyOf is where something of a user lies in the store.
func (k *killing) keyOf(prefix string, u mezu.User) string {
	return prefix + k.pool + "/" + u.ID
}

// entered is a visitor who has logged in.
func (k *killing) entered(email string) *browser {
	k.t.Helper()
	b := k.visitor()
	b.arrives(b.login(email, good), "/")
	return b
}

// credential is what lies in the store.
func (k *killing) credential(u mezu.User) (c account.Credential) {
	k.t.Helper()
	k.read(k.keyOf("credential/", u), &c)
	return c
}

func (k *killing) read(key string, into any) {
	k.t.Helper()
	if text, ok := k.in.Records(key)[key]; ok {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			k.t.Fatal(err)
		}
	}
}

// live are the sessions of a user that go on.
func (k *killing) live(email string) (out []account.Session) {
	k.t.Helper()
	u, ok := k.user(email)
	if !ok {
		return nil
	}
	c := k.credential(u)
	for _, text := range k.in.Records(k.keyOf("session/", u) + "/") {
		var s account.Session
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			k.t.Fatal(err)
		}
		if s.Live(&c, k.in.Clock.Now()) {
			out = append(out, s)
		}
	}
	return out
}

// exists is done for flows that make a user.
func (k *killing) exists(email string) func() bool {
	return func() bool { _, ok := k.user(email); return ok }
}

// status is retried for a form whose answer depends on whether it was done: by its status then,
// and otherwise.
func (k *killing) status(done, undone int) func(shown, bool) {
	return func(s shown, was bool) {
		k.t.Helper()
		if want := map[bool]int{true: done, false: undone}[was]; s.status != want {
			k.t.Errorf("once more, done before %v: %d %s", was, s.status, s.body)
		}
	}
}

func (k *killing) is(what string, s shown, status int) { k.t.Helper(); is(k.t, what, s, status) }

// flows are all flows, each of which begins with an address that nobody has.
func (k *killing) flows() map[string]func(email string) trial {
	signup := func(email string) (*browser, letter) {
		b := k.visitor()
		k.is("a signup", b.post("signup", "email", email, "password", good), 200)
		return b, k.lastTo(email)
	}
	joined := func(email, link string) func(*browser) {
		return func(*browser) {
			k.is("a login", k.visitor().login(email, good), 303)
			k.is("the link, once more", k.visitor().post("verify", "token", link), 410)
			if n := len(k.live(email)); n > 2 {
				k.t.Errorf("%d sessions", n)
			}
		}
	}
	dead := func(what string, b *browser) {
		k.t.Helper()
		if b.loggedIn() || refreshed(b).status != 401 {
			k.t.Errorf("%s goes on", what)
		}
	}
	ends := func(path string, fields ...string) func(string) trial {
		return func(email string) trial {
			k.seed(email)
			b := k.entered(email)
			return trial{b, func(b *browser) shown { return b.post(path, fields...) }, func() bool { return len(k.live(email)) == 0 },
				k.status(200, 200), func(*browser) { dead("the session", b) }}
		}
	}
	return map[string]func(email string) trial{
		"signup": func(email string) trial {
			return trial{k.visitor(), func(b *browser) shown { return b.post("signup", "email", email, "password", good) }, func() bool { return len(k.mailsTo(email)) > 0 },
				k.status(200, 200), func(b *browser) {
					if _, made := k.user(email); made {
						k.t.Error("N4: an account without proof")
					}
					k.is("the code", b.post("signup/code", "pending", b.pending, "code", k.lastTo(email).digits), 303)
					for _, m := range k.mailsTo(email) {
						k.is("a link", k.visitor().post("verify", "token", m.link, "password", good), 410)
					}
				}}
		},
		"code": func(email string) trial {
			b, m := signup(email)
			return trial{b, func(b *browser) shown { return b.post("signup/code", "pending", b.pending, "code", m.digits) }, k.exists(email),
				k.status(410, 303), joined(email, m.link)}
		},
		"wrong code": func(email string) trial {
			b, m := signup(email)
			guesses := func() int {
				var p account.Pending
				k.read("pending-login/"+b.pending, &p)
				return p.Guesses
			}
			return trial{b, func(b *browser) shown { return b.post("signup/code", "pending", b.pending, "code", "00000000") }, func() bool { return guesses() > 0 },
				k.status(422, 422), func(b *browser) {
					if n := guesses(); n == 0 || n > 2 {
						k.t.Errorf("%d guesses are counted", n)
					}
					k.is("the code", b.post("signup/code", "pending", b.pending, "code", m.digits), 303)
				}}
		},
		"link": func(email string) trial {
			b, m := signup(email)
			return trial{b, func(b *browser) shown { return b.post("verify", "token", m.link) }, k.exists(email), k.status(410, 303), joined(email, m.link)}
		},
		"link in another browser": func(email string) trial {
			tab, m := signup(email)
			return trial{k.visitor(), func(b *browser) shown { return b.post("verify", "token", m.link, "password", good) }, k.exists(email), k.status(410, 200), func(b *browser) {
				if b.cookies[mezu.SessionCookie] != "" {
					k.t.Error("N2: it is logged in")
				}
				k.is("the tab that waits", tab.post("signup/continue", "pending", tab.pending), 303)
				k.is("the tab, once more", tab.post("signup/continue", "pending", tab.pending), 410)
				joined(email, m.link)(b)
			}}
		},
		"denial": func(email string) trial {
			thief, m := signup(email)
			return trial{k.visitor(), func(b *browser) shown { return b.post("verify/deny", "token", m.link) }, func() bool { return len(k.in.Records("pending-login/"+thief.pending)) == 0 },
				k.status(410, 200), func(*browser) {
					k.is("the code", thief.post("signup/code", "pending", thief.pending, "code", m.digits), 410)
				}}
		},
		"resend": func(email string) trial {
			b, m := signup(email)
			return trial{b, func(b *browser) shown { return b.post("signup/resend", "pending", b.pending) }, func() bool { return len(k.mailsTo(email)) > 1 },
				k.status(410, 200), func(b *browser) {
					k.is("the first link", b.post("verify", "token", m.link), 410)
					k.is("the last link", b.post("verify", "token", k.lastTo(email).link), 303)
				}}
		},
		"login": func(email string) trial {
			k.seed(email)
			counts := len(k.in.Records("attempt/"))
			return trial{k.visitor(), func(b *browser) shown { return b.login(email, good) }, func() bool { return len(k.live(email)) == 1 },
				k.status(303, 303), func(b *browser) {
					if n := len(k.live(email)); n > 2 || !b.loggedIn() {
						k.t.Errorf("%d sessions", n)
					}
					if n := len(k.in.Records("attempt/")); n != counts {
						k.t.Errorf("%d counts of wrong attempts, before %d", n, counts)
					}
				}}
		},
		"wrong login": func(email string) trial {
			u := k.seed(email)
			before := k.in.Records("attempt/")
			failures := func() (n int) {
				for key := range k.in.Records("attempt/") {
					if _, old := before[key]; !old {
						var c struct{ Failures int }
						k.read(key, &c)
						n += c.Failures
					}
				}
				return n
			}
			begun := -1
			return trial{k.visitor(), func(b *browser) shown { return b.login(email, better) }, func() bool {
				if begun < 0 {
					begun = failures()
				}
				return len(k.in.Records(k.keyOf("login/", u))) > 0
			}, k.status(422, 422), func(*browser) {
				if n := failures(); n != begun+1 {
					k.t.Errorf("%d attempts are counted, of %d and one more", n, begun)
				}
				k.entered(email)
				if n := failures(); n != 0 {
					k.t.Errorf("%d attempts count after the right password", n)
				}
			}}
		},
		"reset": func(email string) trial {
			k.seed(email)
			return trial{k.visitor(), func(b *browser) shown { return b.post("reset", "email", email) }, func() bool { return len(k.mailsTo(email)) > 0 },
				k.status(200, 200), func(b *browser) {
					all := k.mailsTo(email)
					for i, m := range all {
						k.is("a link", b.post("reset/new", "token", m.link), map[bool]int{true: 200, false: 410}[i == len(all)-1])
					}
				}}
		},
		"new password": func(email string) trial {
			u := k.seed(email)
			was, b := k.credential(u).ChangedAt, k.entered(email)
			k.visitor().post("reset", "email", email)
			m := k.lastTo(email)
			return trial{k.visitor(), func(b *browser) shown { return b.post("reset/password", "token", m.link, "password", better) },
				func() bool { return !k.credential(u).ChangedAt.Equal(was) }, k.status(410, 200), func(other *browser) {
					dead("the session", b)
					k.is("a login", k.visitor().login(email, better), 303)
					k.is("the link, once more", other.post("reset/new", "token", m.code), 410)
					if n := len(k.mailsTo(email)); n != 2 {
						k.t.Errorf("%d mails", n)
					}
				}}
		},
		"invitation": func(email string) trial {
			body := controltest.UserBody(email)
			body["invite"] = map[string]any{}
			controltest.Call[mezu.User](k.t, k.op, api.OpCreateUser, body, k.pair.pool.InProject()...)
			m := k.lastTo(email)
			return trial{k.visitor(), func(b *browser) shown { return b.post("invited/accept", "token", m.link, "password", good) },
				func() bool { u, _ := k.user(email); return u.Status == mezu.UserActive }, k.status(410, 303), joined(email, m.link)}
		},
		"new address": func(email string) trial {
			k.seed(email)
			b, fresh := k.entered(email), "new-"+email
			return trial{b, func(b *browser) shown { return b.post("account/mail", "email", fresh, "current_password", good) }, func() bool { return len(k.mailsTo(fresh)) > 0 },
				k.status(200, 200), func(*browser) {
					all := k.mailsTo(fresh)
					for i, m := range all {
						k.is("a link", k.visitor().post("mail", "token", m.link), map[bool]int{true: 200, false: 410}[i == len(all)-1])
					}
					dead("the session", b)
				}}
		},
		"confirmed address": func(email string) trial {
			k.seed(email)
			b, fresh := k.entered(email), "new-"+email
			k.is("a new address", b.post("account/mail", "email", fresh, "current_password", good), 200)
			m := k.lastTo(fresh)
			return trial{k.visitor(), func(b *browser) shown { return b.post("mail", "token", m.link) }, k.exists(fresh), k.status(410, 200), func(*browser) {
				dead("the session", b)
				if all := k.mailsTo(email); len(all) != 1 || all[0].Kind != "address_changed" {
					k.t.Errorf("the old address gets %v", all)
				}
				k.entered(fresh)
			}}
		},
		"profile": func(email string) trial {
			k.seed(email)
			b := k.entered(email)
			return trial{b, func(b *browser) shown { return b.post("account/profile", "display_name", "Ann") },
				func() bool { u, _ := k.user(email); return u.Profile.DisplayName == "Ann" }, k.status(200, 200), func(b *browser) {
					if !b.loggedIn() {
						k.t.Error("the session has ended")
					}
				}}
		},
		"password": func(email string) trial {
			u := k.seed(email)
			was, b := k.credential(u).ChangedAt, k.entered(email)
			old := b.clone()
			return trial{b, func(b *browser) shown {
				return b.post("account/password", "current_password", good, "password", better)
			},
				func() bool { return !k.credential(u).ChangedAt.Equal(was) }, k.status(401, 200), func(*browser) {
					dead("the old session", old)
					k.is("a login", k.visitor().login(email, better), 303)
					if n := len(k.live(email)); n > 2 {
						k.t.Errorf("%d sessions", n)
					}
					if all := k.mailsTo(email); len(all) != 1 || all[0].Kind != "password_changed" {
						k.t.Errorf("the owner gets %v", all)
					}
				}}
		},
		"logout": ends("logout"),
		"edge logout": func(email string) trial {
			x := ends("")(email)
			_, compact, _ := x.grant()
			x.act = func(b *browser) shown {
				_, err := api.Invoke[any](k.t.Context(), b.edge, api.OpEdgeLogout, api.EdgeLogouts{Grants: []string{compact}})
				return shown{status: map[bool]int{true: 200, false: 500}[err == nil]}
			}
			return x
		},
		"end of others": func(email string) trial {
			k.seed(email)
			other, b := k.entered(email), k.entered(email)
			return trial{b, func(b *browser) shown { return b.post("account/end-others") }, func() bool { return len(k.live(email)) == 1 },
				k.status(200, 200), func(b *browser) {
					dead("the other session", other)
					if !b.loggedIn() {
						k.t.Error("the session has ended")
					}
				}}
		},
		"refresh": func(email string) trial {
			k.seed(email)
			return trial{k.entered(email), refreshed, func() bool { s := k.live(email); return len(s) == 1 && s[0].Answer != nil },
				k.status(200, 200), func(b *browser) {
					if len(k.live(email)) != 1 || !b.loggedIn() {
						k.t.Error("the session has ended")
					}
				}}
		},
		"refresh without a role": func(email string) trial {
			k.seed(email, "shop/staff")
			b := k.entered(email)
			_, _, before := b.grant()
			k.change(email, map[string]any{"roles": []string{}})
			return trial{b, refreshed, func() bool { s := k.live(email); return len(s) == 1 && s[0].ID != before.Session }, k.status(200, 200), func(b *browser) {
				_, _, after := b.grant()
				if after.Session == before.Session || len(after.Roles) > 0 || len(k.live(email)) != 1 || !b.loggedIn() {
					k.t.Errorf("%+v", after)
				}
			}}
		},
		"terms": func(email string) trial {
			k.seed(email)
			k.set(map[string]any{"terms": map[string]any{"url": "https://example.com/terms", "version": "2"}})
			k.undo = func() { k.set(map[string]any{"terms": map[string]any{"url": "", "version": ""}}) }
			b := k.visitor()
			b.get("login")
			k.is("a login", b.login(email, good), 200)
			return trial{b, func(b *browser) shown { return b.post("terms", "pending", b.pending, "terms", "2") }, func() bool { return len(k.live(email)) == 1 },
				func(s shown, was bool) {
					if (s.status == 303) == was || was && !s.has(`action="/.mezu/login"`) {
						k.t.Errorf("once more, done before %v: %d %s", was, s.status, s.body)
					}
				}, func(*browser) { k.entered(email) }}
		},
	}
}

// Wherever a control plane is killed while it does what a form is for, that is done or not done.
// The same form sent to another one does the rest, or says that it is done. Nothing is lost that
// counts against guessing, and nothing that was mailed outlives what it was for.
func TestKilled_InEachFlow(t *testing.T) {
	k := &killing{pair: newPair(t), t: t, letters: map[string][]letter{}, undo: func() {}}
	var err error
	if k.hash, err = login.NewHasher().Hash(t.Context(), "", good); err != nil {
		t.Fatal(err)
	}
	k.pool = k.env.DirectoryID
	flows := k.flows()
	names := make([]string, 0, len(flows))
	for name := range flows {
		names = append(names, name)
	}
	slices.Sort(names)
	kills := 0
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			k.t, k.world.t = t, t
			t.Cleanup(func() { k.world.t = k.in.T })
			run := func(at int, after bool) bool {
				x := flows[name](fmt.Sprintf("%s-%d-%v@example.com", strings.ReplaceAll(name, " ", "-"), at, after))
				defer func() { k.undo(); k.undo = func() {} }()
				if !k.store.kill(at, after, func() { x.act(x.browser.clone()) }) {
					if at == 0 || !x.done() {
						t.Errorf("%d commits, and it is not done", at)
					}
					return false
				}
				kills++
				was := x.done()
				if was && !after {
					t.Error("done before its first commit")
				}
				there := k.there(x.browser)
				s := x.act(there)
				x.retried(s, was)
				if !x.done() && !was && s.status < 400 {
					t.Errorf("killed at commit %d (%v): not done by the second try", at, after)
				}
				x.then(there)
				if t.Failed() {
					t.Logf("killed at commit %d, after it %v", at, after)
				}
				return true
			}
			run(0, false)
			for at := 0; run(at, true); at++ {
			}
		})
	}
	t.Logf("killed %d times", kills)
	if kills < 2*len(flows) {
		t.Errorf("killed %d times only", kills)
	}
	// No token of a mail lies there that neither its account nor its signup knows of.
	for key, text := range k.in.Records("mailed/") {
		var m account.Mailed
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		hash := strings.TrimPrefix(key, "mailed/")
		var p account.Pending
		k.read("pending-login/"+m.Pending, &p)
		if m.Kind == account.MailedSignup && !slices.Contains(p.Tokens[:], hash) {
			t.Errorf("a token of a signup that has ended: %+v", m)
		}
	}
}
