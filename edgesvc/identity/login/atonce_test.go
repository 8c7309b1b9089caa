package login_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
)

// best is a third password that is refused by no rule.
const best = "eleven green kettles sing"

// atOnce runs things at the same time and gives what each got. None is an error page.
func atOnce(t *testing.T, do ...func() shown) []shown {
	t.Helper()
	out := make([]shown, len(do))
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range do {
		all.Go(func() {
			<-begin
			out[i] = do[i]()
		})
	}
	close(begin)
	all.Wait()
	for _, s := range out {
		if s.status >= 500 {
			t.Errorf("%d %s", s.status, s.body)
		}
	}
	return out
}

// is fails unless an answer has a status.
func is(t *testing.T, what string, s shown, status int) {
	t.Helper()
	if s.status != status {
		t.Errorf("%s: %d, not %d: %s", what, s.status, status, s.body)
	}
}

// one fails unless exactly one has the first status and all others have the second one.
func one(t *testing.T, what string, all []shown, won, lost int) (winner int) {
	t.Helper()
	n := 0
	for i, s := range all {
		switch s.status {
		case won:
			n, winner = n+1, i
		case lost:
		default:
			t.Errorf("%s: %d %s", what, s.status, s.body)
		}
	}
	if n != 1 {
		t.Errorf("%s: %d of %d won", what, n, len(all))
	}
	return winner
}

// letterTo is the last mail of a kind to an address.
func (w *world) letterTo(to string) (last letter) {
	w.t.Helper()
	for _, l := range w.mails() {
		if l.To == to {
			last = l
		}
	}
	if last.ID == "" {
		w.t.Fatalf("no mail to %s", to)
	}
	return last
}

// Of two who sign up with one address each gets a mail, and the first proof makes the account,
// with the password of whoever gave it. Two who guess the same digits are one.
func TestAtOnce_Signups(t *testing.T) {
	p := newPair(t)
	a := p.browser()
	b := p.there(p.browser())
	passwords := []string{good, better}
	atOnce(t, func() shown { return a.post("signup", "email", "ann@example.com", "password", good) },
		func() shown { return b.post("signup", "email", "ann@example.com", "password", better) })
	mails := p.mails()
	if len(mails) != 2 {
		t.Fatalf("%d mails", len(mails))
	}
	both := []*browser{a, b}
	// Each types the digits of either mail: one of them is the own one.
	var proofs []func() shown
	for _, who := range both {
		for _, m := range mails {
			tab := who.clone()
			proofs = append(proofs, func() shown {
				s := tab.post("signup/code", "pending", tab.pending, "code", m.digits)
				if s.status == 303 {
					who.cookies = tab.cookies
				}
				if s.status == 422 { // those of the other mail
					s.status = 410
				}
				return s
			})
		}
	}
	won := one(t, "a code", atOnce(t, proofs...), 303, 410) / 2
	if !both[won].loggedIn() || both[1-won].loggedIn() {
		t.Error("the wrong one is logged in")
	}
	if s := p.browser().login("ann@example.com", passwords[won]); s.status != 303 {
		t.Errorf("the password of the account: %d", s.status)
	}
	if s := p.browser().login("ann@example.com", passwords[1-won]); s.status != 422 {
		t.Errorf("the other password: %d", s.status)
	}
	for _, m := range mails {
		if s := p.browser().post("verify", "token", m.link, "password", passwords[1-won]); s.status != 410 {
			t.Errorf("a link after the account was made: %d", s.status)
		}
	}
}

// An account that is made after a signup has looked for it is one that was made before.
func TestAtOnce_SignupWithinAnother(t *testing.T) {
	p := newPair(t)
	codes := map[*browser]string{}
	a, b := p.browser(), p.there(p.browser())
	for _, who := range []*browser{a, b} {
		who.post("signup", "email", "ann@example.com", "password", good)
		codes[who] = p.letterTo("ann@example.com").digits
	}
	proves := func(who *browser) shown { return who.post("signup/code", "pending", who.pending, "code", codes[who]) }
	p.store.betweenReads("credential/", func() { is(t, "the second", proves(a), 410) }, func() { is(t, "the first", proves(b), 303) })
	if a.loggedIn() || !b.loggedIn() {
		t.Error("the wrong one is logged in")
	}
}

// L14: two logins are two sessions, a login beside a logout ends the old session once, and
// nothing brings one back.
func TestL14_LoginsAtOnce(t *testing.T) {
	p := newPair(t)
	b := p.browser()
	b.join("ann@example.com", good)
	one, two := p.browser(), p.there(p.browser())
	for _, s := range atOnce(t, func() shown { return one.login("ann@example.com", good) }, func() shown { return two.login("ann@example.com", good) }) {
		if s.status != 303 {
			t.Errorf("%d", s.status)
		}
	}
	if !one.loggedIn() || !two.loggedIn() || !b.loggedIn() {
		t.Error("a login ended another's session")
	}
	old, tab, other := b.clone(), b.clone(), p.there(b)
	got := atOnce(t, func() shown { return tab.login("ann@example.com", good) }, func() shown { return other.post("logout") })
	if got[0].status != 303 || got[1].status != 200 || old.loggedIn() || !tab.loggedIn() {
		t.Errorf("%d %d, the old session %v, the new one %v", got[0].status, got[1].status, old.loggedIn(), tab.loggedIn())
	}
}

// refreshed is a refresh as a request of a browser beside others.
func refreshed(b *browser) shown {
	_, err := b.refresh()
	s := shown{status: 200}
	if err != nil {
		s.status = mezu.CodeOf(err).Status()
	}
	return s
}

// L14: a logout beside a refresh ends the session, whichever comes first, and whatever the
// refresh gave is worth nothing. That holds for a session that has just got a new id because a
// role was taken, too: the browser that logs out does not know it yet.
func TestL14_LogoutBesideRefresh(t *testing.T) {
	p := newPair(t)
	b := p.browser()
	b.join("ann@example.com", good)
	dead := func(what string, all ...*browser) {
		t.Helper()
		for i, who := range all {
			if s := refreshed(who); s.status != 401 || who.loggedIn() {
				t.Errorf("%s: session %d goes on: %d", what, i, s.status)
			}
		}
	}
	again := func() *browser {
		t.Helper()
		b := p.browser()
		b.arrives(b.login("ann@example.com", good), "/")
		p.in.Clock.Advance(time.Minute) // the last answer is given no more
		return b
	}
	p.store.between("session/", func() { refreshed(b) }, func() { p.there(b).post("logout") })
	dead("a logout within a refresh", b)

	b = again()
	tab := b.clone()
	p.store.between("session/", func() { tab.post("logout") }, func() { refreshed(p.there(b)) })
	dead("a refresh within a logout", b)

	b = again()
	tab = b.clone()
	atOnce(t, func() shown { return refreshed(b) }, func() shown { return p.there(tab).post("logout") })
	dead("both at once", b, tab)

	for _, path := range []string{"logout", "login", "account/end-others", "edge"} {
		p.change("ann@example.com", map[string]any{"roles": []string{"shop/staff"}})
		b = again()
		other := again()
		p.change("ann@example.com", map[string]any{"roles": []string{}})
		tab = b.clone()
		if s := refreshed(b); s.status != 200 || b.cookies[mezu.SessionCookie] == tab.cookies[mezu.SessionCookie] {
			t.Fatalf("%d", s.status)
		}
		switch path {
		case "logout":
			tab.post("logout")
		case "login":
			tab.arrives(tab.login("ann@example.com", good), "/")
		case "account/end-others":
			if s := other.post("account/end-others"); s.status != 200 || !other.loggedIn() {
				t.Errorf("%d", s.status)
			}
		case "edge":
			_, compact, _ := tab.grant()
			controltest.Call[any](t, p.edge, api.OpEdgeLogout, api.EdgeLogouts{Grants: []string{compact}})
		}
		dead("a role was taken, then "+path, b)
	}
}

// N25, N26: of many who refresh when a role was taken all get the same, and one session is left.
func TestN26_RefreshesBesideATakenRole(t *testing.T) {
	p := newPair(t)
	p.browser().join("ann@example.com", good)
	p.change("ann@example.com", map[string]any{"roles": []string{"shop/staff", "shop/guest"}})
	b := p.browser()
	b.arrives(b.login("ann@example.com", good), "/")
	p.in.Clock.Advance(time.Minute)
	tabs := []*browser{b.clone(), p.there(b), b.clone(), p.there(b)}
	do := []func() shown{func() shown {
		p.change("ann@example.com", map[string]any{"roles": []string{"shop/guest"}})
		return shown{}
	}}
	for _, tab := range tabs {
		do = append(do, func() shown { return refreshed(tab) })
	}
	for i, s := range atOnce(t, do...)[1:] {
		if s.status != 200 {
			t.Errorf("refresh %d: %d", i, s.status)
		}
	}
	// Some were before the role was taken. All go on, to the same session.
	sessions := map[string]bool{}
	for _, tab := range tabs {
		if s := refreshed(tab); s.status != 200 {
			t.Errorf("%d", s.status)
		}
		_, _, g := tab.grant()
		sessions[g.Session] = true
		if strings.Join(g.Roles, " ") != "guest" {
			t.Errorf("the roles %v", g.Roles)
		}
	}
	if len(sessions) != 1 {
		t.Errorf("%d sessions", len(sessions))
	}
}

// N26: a role that is taken, or a user who is suspended, after a flow has read the user and before
// it has read what is revoked: the grant has no more than the user has.
func TestN26_RoleTakenWithinAFlow(t *testing.T) {
	p := newPair(t)
	p.browser().join("ann@example.com", good)
	both := map[string]any{"roles": []string{"shop/staff", "shop/guest"}}
	p.change("ann@example.com", both)
	take := func() { p.changeThere("ann@example.com", map[string]any{"roles": []string{"shop/guest"}}) }
	b := p.browser()
	for what, flow := range map[string]func(){
		"a login":   func() { b.arrives(b.login("ann@example.com", good), "/") },
		"a refresh": func() { is(t, "refresh", refreshed(b), 200) },
	} {
		p.change("ann@example.com", both)
		b = p.browser()
		if what != "a login" {
			b.arrives(b.login("ann@example.com", good), "/")
			p.in.Clock.Advance(time.Minute)
		}
		p.store.betweenReads(record.KeyRevocation(mezu.RevokeUser), flow, take)
		if _, _, g := b.grant(); strings.Join(g.Roles, " ") != "guest" {
			t.Errorf("%s beside the taking of a role has %v", what, g.Roles)
		}
	}
	// The change is planned first, and written last: a grant that came in between ends with it.
	p.change("ann@example.com", both)
	b = p.there(p.browser())
	b.arrives(b.login("ann@example.com", good), "/")
	p.in.Clock.Advance(time.Minute)
	p.store.between("user/", func() { p.change("ann@example.com", map[string]any{"roles": []string{"shop/guest"}}) }, func() {
		p.in.Clock.Advance(time.Second)
		is(t, "refresh", refreshed(b), 200)
		if _, _, g := b.grant(); len(g.Roles) != 2 {
			t.Errorf("before the change there are %v", g.Roles)
		}
	})
	is(t, "refresh", refreshed(b), 200)
	if _, _, g := b.grant(); strings.Join(g.Roles, " ") != "guest" {
		t.Errorf("a grant from within the change goes on with %v", g.Roles)
	}

	b = p.browser()
	p.store.betweenReads(record.KeyRevocation(mezu.RevokeUser), func() { b.login("ann@example.com", good) },
		func() { p.changeThere("ann@example.com", map[string]any{"status": mezu.UserSuspended}) })
	if b.cookies[mezu.SessionCookie] != "" {
		t.Error("who was suspended is logged in")
	}
}

// A password that is chosen anew ends what the old one proves: a login that was under way, one
// that came in between, a change that somebody else was making.
func TestW5_LoginBesideANewPassword(t *testing.T) {
	p := newPair(t)
	b := p.browser()
	b.join("ann@example.com", good)
	mailed := func() letter {
		t.Helper()
		p.browser().post("reset", "email", "ann@example.com")
		return p.letterTo("ann@example.com")
	}
	out := func(what string, thief *browser) {
		t.Helper()
		if thief.cookies[mezu.SessionCookie] != "" && (thief.loggedIn() || refreshed(thief).status != 401) {
			t.Errorf("%s: the session goes on", what)
		}
	}
	thief := p.browser()
	m := mailed()
	p.store.between("session/", func() { thief.login("ann@example.com", good) }, func() {
		if s := p.there(p.browser()).post("reset/password", "token", m.link, "password", better); s.status != 200 {
			t.Errorf("%d", s.status)
		}
	})
	out("a login within which the password was reset", thief)

	m = mailed()
	thief = p.there(p.browser())
	p.store.between("credential/", func() {
		if s := p.browser().post("reset/password", "token", m.link, "password", good); s.status != 200 {
			t.Errorf("%d", s.status)
		}
	}, func() { thief.login("ann@example.com", better) })
	out("a login within a reset", thief)

	thief = p.browser()
	thief.arrives(thief.login("ann@example.com", good), "/")
	m = mailed()
	p.store.between("session/", func() { thief.post("account/password", "current_password", good, "password", best) }, func() {
		if s := p.there(p.browser()).post("reset/password", "token", m.link, "password", better); s.status != 200 {
			t.Errorf("%d", s.status)
		}
	})
	out("a change of the password within which it was reset", thief)
	if s := p.browser().login("ann@example.com", better); s.status != 303 {
		t.Errorf("the password of the reset: %d", s.status)
	}
	if s := p.browser().login("ann@example.com", best); s.status != 422 {
		t.Errorf("the password of the change: %d", s.status)
	}

	thief = p.browser()
	thief.arrives(thief.login("ann@example.com", better), "/")
	m = mailed()
	p.store.between("mailed/", func() {
		thief.post("account/mail", "email", "thief@example.com", "current_password", better)
	}, func() {
		if s := p.there(p.browser()).post("reset/password", "token", m.link, "password", good); s.status != 200 {
			t.Errorf("%d", s.status)
		}
	})
	out("a change of the address within which the password was reset", thief)
	for _, l := range p.mails() {
		if l.To == "thief@example.com" {
			t.Error("the thief has a link by which the account gets another address")
		}
	}

	// Two changes at once, from two tabs: one counts, and the other tab is told.
	b = p.browser()
	b.arrives(b.login("ann@example.com", good), "/")
	tabs := []*browser{b.clone(), p.there(b)}
	passwords := []string{better, best}
	var do []func() shown
	for i, tab := range tabs {
		do = append(do, func() shown { return tab.post("account/password", "current_password", good, "password", passwords[i]) })
	}
	won := 0
	for i, s := range atOnce(t, do...) {
		if s.status == 200 && tabs[i].loggedIn() {
			won++
			if s := p.browser().login("ann@example.com", passwords[i]); s.status != 303 {
				t.Errorf("the password that was saved: %d", s.status)
			}
		} else if s := p.browser().login("ann@example.com", passwords[i]); s.status != 422 {
			t.Errorf("the password that was not saved: %d", s.status)
		}
	}
	if won != 1 || b.loggedIn() {
		t.Errorf("%d changes count, the old session %v", won, b.loggedIn())
	}
}

// Two accept one invitation, or confirm one address for two accounts: one does.
func TestAtOnce_Links(t *testing.T) {
	p := newPair(t)
	invited := controltest.UserBody("ann@example.com")
	invited["invite"] = map[string]any{}
	controltest.Call[mezu.User](t, p.op, api.OpCreateUser, invited, p.pool.InProject()...)
	m := p.mail("invited")
	tabs := []*browser{p.browser(), p.there(p.browser())}
	passwords := []string{good, better}
	var do []func() shown
	for i, tab := range tabs {
		do = append(do, func() shown { return tab.post("invited/accept", "token", m.link, "password", passwords[i]) })
	}
	won := one(t, "an invitation", atOnce(t, do...), 303, 410)
	if !tabs[won].loggedIn() || tabs[1-won].cookies[mezu.SessionCookie] != "" {
		t.Error("the wrong one is logged in")
	}
	if s := p.browser().login("ann@example.com", passwords[1-won]); s.status != 422 {
		t.Errorf("the other password: %d", s.status)
	}

	bob := p.browser()
	bob.join("bob@example.com", good)
	var links []string
	for _, who := range []struct {
		*browser
		password string
	}{{tabs[won], passwords[won]}, {bob, good}} {
		if s := who.post("account/mail", "email", "new@example.com", "current_password", who.password); s.status != 200 {
			t.Fatalf("%d %s", s.status, s.body)
		}
		links = append(links, p.letterTo("new@example.com").link)
	}
	confirm := []func() shown{
		func() shown { return p.browser().post("mail", "token", links[0]) },
		func() shown { return p.there(p.browser()).post("mail", "token", links[1]) },
	}
	one(t, "an address", atOnce(t, confirm...), 200, 410)
	if _, ok := p.user("new@example.com"); !ok {
		t.Error("nobody has the address")
	}
}

// At the control plane's own address, too: one address makes one person, and is given to one.
func TestAtOnce_Persons(t *testing.T) {
	w := newTeam(t)
	tabs := []*browser{w.browser(), w.browser()}
	passwords := []string{good, better}
	for i, b := range tabs {
		is(t, "a signup", b.post("signup", "email", "ann@example.com", "password", passwords[i]), 200)
	}
	var proofs []func() shown
	for _, m := range w.mails() {
		for _, b := range tabs {
			tab := b.clone()
			proofs = append(proofs, func() shown {
				s := tab.post("signup/code", "pending", tab.pending, "code", m.digits)
				if s.status == 422 { // the digits of the other mail
					s.status = 410
				}
				if s.status == 303 {
					b.cookies = tab.cookies
				}
				return s
			})
		}
	}
	ann := tabs[one(t, "a code", atOnce(t, proofs...), 303, 410)%2]
	if !ann.loggedIn() {
		t.Error("who proved the address is not logged in")
	}
	bob := w.browser()
	bob.join("bob@example.com", good)
	var confirm []func() shown
	for _, b := range []*browser{ann, bob} {
		password := good
		if b == tabs[1] {
			password = better
		}
		is(t, "a new address", b.post("account/mail", "email", "new@example.com", "current_password", password), 200)
		link := w.letterTo("new@example.com").link
		confirm = append(confirm, func() shown { return w.browser().post("mail", "token", link) })
	}
	one(t, "an address", atOnce(t, confirm...), 200, 410)
}

// All sessions that an account can have end at once: the largest changes fit their transactions.
func TestAccount_EndsAllOthers(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.join("ann@example.com", good)
	var others []*browser
	for range account.MaxSessions - 1 {
		w.in.Clock.Advance(time.Second)
		other := w.browser()
		other.arrives(other.login("ann@example.com", good), "/")
		others = append(others, other)
	}
	is(t, "the end of the others", b.post("account/end-others"), 200)
	for i, other := range others {
		if other.loggedIn() {
			t.Fatalf("session %d goes on", i)
		}
	}
	if !b.loggedIn() {
		t.Error("the session that asked has ended")
	}
}
