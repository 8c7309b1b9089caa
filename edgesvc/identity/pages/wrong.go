package pages

import (
	"net/http"
	"time"
)

// Pages that say what is wrong.

// Denial says why a page is denied.
type Denial struct {
	// Email is who asks.
	Email string
	// Roles are those of which the user needs one.
	Roles []string
	// Permissions are missing, all of them. AnyPermissions are those of which one is needed.
	Permissions, AnyPermissions []string
}

// Denied says to somebody who is logged in what they lack.
func (v View) Denied(d Denial) Page {
	out := layout{
		status: http.StatusForbidden, wrong: true, Heading: v.say(msgDeniedTitle),
		Intro:    []text{v.say(msgDeniedIntro, data("email", d.Email)), v.say(msgAskOwner, v.brand())},
		Sections: []section{{Forms: []form{v.form(PathLogout).button(v.say(msgOtherAccount))}}},
	}
	for _, need := range []struct {
		label message
		names []string
	}{{msgNeedRole, d.Roles}, {msgNeedPermissions, d.Permissions}, {msgNeedPermission, d.AnyPermissions}} {
		if len(need.names) > 0 {
			out.Facts = append(out.Facts, fact{v.say(need.label), need.names})
		}
	}
	return v.render(out)
}

// LinkUsed says that a mailed link does not work. It is the same whether it was used, has
// ended, or never was one.
func (v View) LinkUsed() Page {
	return v.render(layout{
		status: http.StatusGone, wrong: true,
		Heading: v.say(msgLinkTitle), Intro: []text{v.say(msgLinkIntro)},
		Links: []link{
			{Label: v.say(msgBackToLogin), Href: v.link(PathLogin), Button: true},
			{Label: v.say(msgNewLink), Href: v.link(PathReset)},
		},
	})
}

// Wait says that too much was tried.
func (v View) Wait(d time.Duration) Page {
	return v.render(layout{
		status: http.StatusTooManyRequests, retry: max(d, time.Second), wrong: true,
		Heading: v.say(msgWaitTitle), Intro: []text{v.say(msgWaitIntro, plain("time", v.language().length(d)))},
		Links: []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}

// FormNotSent answers a form for a workload that came after its session had ended.
func (v View) FormNotSent() Page {
	return v.render(layout{
		status: http.StatusUnauthorized, wrong: true,
		Heading: v.say(msgNotSentTitle), Intro: []text{v.say(msgNotSentIntro)},
		Links: []link{{Label: v.say(msgLogIn), Href: v.link(PathLogin), Button: true}},
	})
}

// awayFor is when it is worth to try again: a control plane starts within seconds, and
// another one takes its place sooner.
const awayFor = 30 * time.Second

// LoginAway is an edge's own page for when no control plane answers.
func (v View) LoginAway() Page {
	return v.render(layout{
		status: http.StatusServiceUnavailable, retry: awayFor, wrong: true,
		Heading: v.say(msgAwayTitle), Intro: []text{v.say(msgAwayIntro)},
		Links: []link{{Label: v.say(msgTryAgain), Href: v.link(PathLogin), Button: true}},
	})
}

// Overloaded says that more log in than there is room for.
func (v View) Overloaded(d time.Duration) Page {
	d = max(d, time.Second)
	return v.render(layout{
		status: http.StatusServiceUnavailable, retry: d, wrong: true,
		Heading: v.say(msgBusyTitle), Intro: []text{v.say(msgBusyIntro, plain("time", v.language().length(d)))},
		Links: []link{{Label: v.say(msgTryAgain), Href: v.link(PathLogin), Button: true}},
	})
}

// NoDirectory says that an environment has no accounts.
func (v View) NoDirectory() Page {
	return v.render(layout{
		status: http.StatusNotFound, wrong: true,
		Heading: v.say(msgNoDirectoryTitle), Intro: []text{v.say(msgNoDirectoryIntro)},
	})
}

// Suspended says it to a user who gave the right password.
func (v View) Suspended(email string) Page {
	return v.shut(msgSuspendedTitle, msgSuspendedIntro, email)
}

// Inactive says it to a user who gave the right password.
func (v View) Inactive(email string) Page { return v.shut(msgInactiveTitle, msgInactiveIntro, email) }

func (v View) shut(title, intro message, email string) Page {
	return v.render(layout{
		status: http.StatusForbidden, wrong: true,
		Heading: v.say(title), Intro: []text{v.say(intro, data("email", email), v.brand())},
		Links: []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}

// CookieNotKept says that the session's cookie did not come back.
func (v View) CookieNotKept() Page {
	return v.render(layout{
		status: http.StatusBadRequest, wrong: true,
		Heading: v.say(msgCookieTitle), Intro: []text{v.say(msgCookieIntro)},
		Links: []link{{Label: v.say(msgTryAgain), Href: v.link(PathLogin), Button: true}},
	})
}

// Refused says why a form was not read at all.
func (v View) Refused(c Code) Page {
	s := http.StatusBadRequest
	switch c {
	case FormLarge:
		s = http.StatusRequestEntityTooLarge
	case FormForeign:
		s = http.StatusForbidden
	}
	return v.render(layout{
		status: s, wrong: true,
		Heading: v.say(msgRefusedTitle), Intro: []text{v.problem(Problem{Code: c})},
		Links: []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin), Button: true}},
	})
}

// NotFound says that there is no such page below View.Base.
func (v View) NotFound() Page {
	return v.render(layout{
		status: http.StatusNotFound, wrong: true,
		Heading: v.say(msgNotFoundTitle), Intro: []text{v.say(msgNotFoundIntro)},
		Links: []link{{Label: v.say(msgBackToLogin), Href: v.link(PathLogin)}},
	})
}

// OtherHost says that the pages are at site, and not where somebody looked for them.
func (v View) OtherHost(site string) Page {
	return v.render(layout{
		status: http.StatusMisdirectedRequest, wrong: true,
		Heading: v.say(msgOtherHostTitle), Intro: []text{v.say(msgOtherHostIntro, data("address", site))},
	})
}

// Failed says that the fault is ours.
func (v View) Failed() Page {
	return v.render(layout{
		status: http.StatusInternalServerError, wrong: true,
		Heading: v.say(msgFailedTitle), Intro: []text{v.say(msgFailedIntro, v.brand())},
		Links: []link{{Label: v.say(msgTryAgain), Href: v.link(PathLogin), Button: true}},
	})
}
