package login

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// realm is where people log in: whose accounts they use, at which address, by which settings,
// and what a session is there. The flows are the same in all realms.
type realm interface {
	// exists reports whether there are accounts at all.
	exists() bool
	// pool is whose accounts they are, settings what is asked of them.
	pool() string
	settings() *mezu.Directory
	// environment is the id of the one for which sessions are, empty if they are for none.
	environment() string
	// url is https://host[:port], made of configuration alone. base begins the path of each page.
	url() string
	base() string
	brand() pages.Brand
	// context is what a password must not be made of, beside what is the account's.
	context() []string
	// named reports whether accounts have names beside the address.
	named() bool
	// outside reports whether an account opens nothing yet, and its holder has to ask somebody.
	outside(ctx context.Context, id string) (bool, error)
	// handlers are the pages by their path below the base.
	handlers() map[string]handler

	// holder finds an account by its id, and holderByMail by its address, or they say
	// account.ErrNone.
	holder(ctx context.Context, id string) (identity.Holder, error)
	holderByMail(ctx context.Context, address string) (identity.Holder, error)
	// add plans the account of a signup whose address is proved.
	add(v *visit, ch *record.Change, p *account.Pending) (identity.Holder, error)
	// change plans what somebody changes of their own account.
	change(ctx context.Context, ch *record.Change, was identity.Holder, with func(*mezu.User)) (identity.Holder, error)
	// author is the holder of an account in the audit, target the account.
	author(v *visit, id string) record.Author
	target(u mezu.User) record.Target

	// issue notes in a session until when it is good from now on, and gives what stands in its
	// cookie behind the secret. It comes after what the change revokes.
	issue(ctx context.Context, ch *record.Change, h identity.Holder, session *account.Session) (string, error)
	// shown is the session that a cookie names, if it has its secret. Whether the session goes
	// on is not looked at.
	shown(ctx context.Context, cookie string) (shown, error)
	// used notes that a session that goes on is used.
	used(v *visit, who *in) error
	// void plans the end of what others believe of sessions that end, each of which would have
	// gone on until a moment. voidAll does so for all sessions that an account has now.
	void(ctx context.Context, ch *record.Change, ending map[string]time.Time) error
	voidAll(ctx context.Context, ch *record.Change, id string) error
	// welcome does what comes with the first login of an account.
	welcome(v *visit, id string) error
	// endTokens plans the end of the tokens that an account has now: whoever reset its
	// password may not know of all that others have made of it.
	endTokens(ctx context.Context, ch *record.Change, id string) error
}

// shown is a session that a cookie names. The zero value is none.
type shown struct {
	of account.Ref
	id string
}
