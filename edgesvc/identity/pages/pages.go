// Package pages renders the hosted login pages and the texts of mails.
//
// What lives here: what people see and read, in each language, and the header fields that
// a page needs. What may not: a store, HTTP handling, sessions, decisions. It knows
// nothing but what it is handed, so that an edge may render the page that says that the
// control plane is away.
// edgesvc/identity/login imports it, and edgesvc/edge/hosted for that one page.
package pages

import (
	"net/url"
	"strconv"
	"time"
)

// View is what all pages of one visit share. The zero value renders too.
type View struct {
	// Base begins the path of every link and form, such as "/.mezu/".
	Base  string
	Brand Brand
	// Language is one that the function Language gave. If empty, English.
	Language string
	// To is the canonical path to which the visit returns. It is carried in forms and
	// links, unless it is empty or "/".
	To string
	// RequestID is shown on pages that say that something is wrong.
	RequestID string
	// Program is the origin to which a form of this page may lead beside its own, because
	// a program on the visitor's machine waits there: http://127.0.0.1:PORT or
	// http://[::1]:PORT. Anything else is ignored. Browsers hold redirects after a form
	// against the policy of the page that has the form.
	Program string
}

// Brand is how the owner of a directory looks.
type Brand struct {
	// Name is shown. If it is empty, pages speak of "this site".
	Name string
	// Color is #rrggbb. What is not, or is empty, is a colour of ours.
	Color string
	// Logo is a path on the page's own host. If it is empty, the initial is shown.
	Logo string
}

// Page is a rendered page.
type Page struct {
	Status int
	Body   []byte
	// CSP is the page's Content-Security-Policy.
	CSP string
	// RetryAfter is sent if it is not zero, in seconds.
	RetryAfter time.Duration
}

// Header are the fields that the page needs beside what every response has, names and
// values in the order in which they are sent.
func (p Page) Header() [][2]string {
	out := [][2]string{
		{"Content-Type", "text/html; charset=utf-8"},
		{"Cache-Control", "no-store"},
		{"Content-Security-Policy", p.CSP},
		{"Referrer-Policy", "same-origin"},
		{"X-Content-Type-Options", "nosniff"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"X-Frame-Options", "DENY"},
		{"X-Robots-Tag", "noindex"},
	}
	if p.RetryAfter > 0 {
		out = append(out, [2]string{"Retry-After", strconv.FormatInt(seconds(p.RetryAfter), 10)})
	}
	return out
}

// seconds rounds up: who comes back in time is let in.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Paths of pages and forms below View.Base, with the fields that forms send. Every form may
// send FieldTo too, but for those of the account. What one form can do in several ways, it
// sends all of its fields to. A page that a mail links to is followed by # and the token.
const (
	PathLogin          = "login"              // GET; POST email, password
	PathSignup         = "signup"             // GET; POST email, password, name, display_name, terms
	PathSignupCode     = "signup/code"        // POST pending, code
	PathSignupGoOn     = "signup/continue"    // POST pending, code: the address was confirmed elsewhere
	PathSignupResend   = "signup/resend"      // POST pending, code
	PathVerify         = "verify"             // GET from a mail; POST token, and password in another browser
	PathVerifyDeny     = "verify/deny"        // POST token, password: it wasn't me
	PathReset          = "reset"              // GET; POST email
	PathNewPassword    = "reset/new"          // GET from a mail; POST token, answered with the form below
	PathSetPassword    = "reset/password"     // POST token, password
	PathInvited        = "invited"            // GET from a mail; POST token, answered with the form below
	PathAccept         = "invited/accept"     // POST token, password, name, display_name, terms
	PathTerms          = "terms"              // POST pending, terms
	PathProfile        = "profile"            // POST pending, name, display_name
	PathAccount        = "account"            // GET
	PathAccountProfile = "account/profile"    // POST name, display_name
	PathAccountMail    = "account/mail"       // POST email, current_password
	PathAccountPass    = "account/password"   // POST current_password, password
	PathEndSession     = "account/end"        // POST session
	PathEndOthers      = "account/end-others" // POST
	PathMailChange     = "mail"               // GET from a mail; POST token
	PathLogout         = "logout"             // GET; POST
	PathReturn         = "return"             // GET
	PathBootstrap      = "bootstrap"          // GET from the bootstrap link; POST token, answered with the form below
	PathFirstOperator  = "bootstrap/account"  // POST token, email, password
	PathTeamInvited    = "invitation"         // GET from an invitation; POST token, email, answered with the form below
	PathJoin           = "invitation/join"    // POST token, email, password
	PathLoginLink      = "link"               // GET from a login link; POST token, answered with the form below or a login
	PathFirstPassword  = "link/password"      // POST token, password
)

// Names of form fields.
const (
	FieldTo          = "to"
	FieldEmail       = "email"
	FieldPassword    = "password"
	FieldCurrent     = "current_password"
	FieldName        = "name"
	FieldDisplayName = "display_name"
	FieldTerms       = "terms" // the version that was shown
	FieldCode        = "code"
	FieldToken       = "token" // of a link, or the code to paste that stands in the same mail
	FieldPending     = "pending"
	FieldSession     = "session"
)

// Lengths that forms let people type. Browsers cut what is pasted without a word, so each
// is above what the server takes, which then says that it is too long.
const (
	emailLength    = 320
	passwordLength = 4096
	nameLength     = 400
	codeLength     = 32
	tokenLength    = 128
)

// action is the path of a form.
func (v View) action(path string) string { return v.Base + path }

// link is the path of a page, with the way back.
func (v View) link(path string) string {
	if !v.returns() {
		return v.Base + path
	}
	return v.Base + path + "?" + FieldTo + "=" + url.QueryEscape(v.To)
}

// returns reports whether the visit has a target of its own.
func (v View) returns() bool { return v.To != "" && v.To != "/" }
