package api

import (
	"time"

	"github.com/mezusphere/mezu"
)

// UserCreate is the body of the creation of a user.
type UserCreate struct {
	mezu.User
	// Invite has the user be mailed an invitation. Until that is accepted the user is
	// inactive. Whoever has no need of one leaves it out.
	Invite *UserMail `json:"invite,omitempty"`
}

// UserMail says what is mailed to a user.
type UserMail struct {
	// Environment is the one to whose pages the link leads: a name, of an organization's
	// directory PROJECT/NAME. It must name the directory. If empty, it is one that is called
	// production, else another one, of those that are enabled and name the directory.
	Environment string `json:"environment,omitempty"`
	// Language is that of the mail, as in Accept-Language; if empty, English.
	Language string `json:"language,omitempty"`
}

// UserMailed says that a link is on its way to a user.
type UserMailed struct {
	// Environment is the one to whose pages the link leads, as PROJECT/NAME.
	Environment string `json:"environment"`
	// ExpiresAt is until when the link works.
	ExpiresAt time.Time `json:"expires_at"`
	// Link is the link itself. Only where the control plane sends no mail is it shown to
	// the caller, who hands it over.
	Link string `json:"link,omitempty"`
}

// UserSession is a login of a user that goes on.
type UserSession struct {
	// ID is the session's (ses_…).
	ID string `json:"id"`
	// Environment is the one that it is for, as PROJECT/NAME; empty if that is gone.
	Environment string `json:"environment,omitempty"`
	// Method is how the user was authenticated, such as password.
	Method string `json:"method"`
	// Address is the IP address from which the login came.
	Address string `json:"address"`
	// Agent is what the browser calls itself, cut to mezu.MaxAgent bytes.
	Agent string `json:"agent,omitempty"`
	// LoggedInAt is when it began.
	LoggedInAt time.Time `json:"logged_in_at"`
	// RefreshedAt is when it was last seen to be used.
	RefreshedAt time.Time `json:"refreshed_at"`
	// IdleUntil is when it ends unless it is used.
	IdleUntil time.Time `json:"idle_until"`
	// ExpiresAt is when it ends anyway.
	ExpiresAt time.Time `json:"expires_at"`
}
