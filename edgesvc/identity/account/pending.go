package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

// Pending is a signup whose address is not proved yet, or a login that waits for something
// that the directory asks for.
type Pending struct {
	ID          string `json:"id"`
	Pool        string `json:"pool"`
	Environment string `json:"environment"`
	// Browser is the hash of the secret of the browser in which it began.
	Browser string       `json:"browser"`
	To      string       `json:"to,omitempty"`
	Email   string       `json:"email,omitempty"`
	Profile mezu.Profile `json:"profile,omitzero"`
	// Password is that of a signup.
	Password *password.Hash `json:"password,omitempty"`
	Terms    string         `json:"terms,omitempty"`
	// Code is the hash of the digits for the tab that waits.
	Code    string `json:"code,omitempty"`
	Guesses int    `json:"guesses,omitempty"`
	// Tokens are the hashes of the mailed tokens that prove the address.
	Tokens [2]string `json:"tokens,omitzero"`
	// Bootstrap is the hash of the bootstrap code that makes whose signup it is the first
	// operator.
	Bootstrap string `json:"bootstrap,omitempty"`
	// Known says that somebody had the address already, who was told by mail. Nothing opens
	// it.
	Known bool `json:"known,omitempty"`
	// Account is whose login waits, or that of a signup whose address was proved.
	Account   string    `json:"account,omitempty"`
	Method    string    `json:"method,omitempty"`
	AuthTime  time.Time `json:"auth_time,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

const (
	// SignupLife and LoginLife are how long each waits.
	SignupLife = 24 * time.Hour
	LoginLife  = 30 * time.Minute
	// CodeGuesses is how often a tab may guess its digits: one in 20 millions.
	CodeGuesses = 5
)

// Of reports whether it began in the browser that shows this secret.
func (p *Pending) Of(browser string) bool {
	return browser != "" && subtle.ConstantTimeCompare([]byte(p.Browser), []byte(mezu.HashSecret(browser))) == 1
}

// NewPending is something that waits in a browser. digits open it in its own tab, if they
// are not empty. CreatePending plans it.
func (a *Accounts) NewPending(p Pending, browser, digits string, life time.Duration) Pending {
	p.ID, p.Browser, p.CreatedAt = NewSecret()[:22], mezu.HashSecret(browser), a.records.Stamp() // 132 bits
	p.ExpiresAt = p.CreatedAt.Add(life)
	if digits != "" {
		p.Code = a.Blind(p.ID, digits)
	}
	return p
}

// CreatePending plans that something waits.
func (a *Accounts) CreatePending(ch *record.Change, p Pending) { ch.Create(keyPending(p.ID), p) }

// Guess reports whether somebody typed the digits of what waits.
func (a *Accounts) Guess(p *Pending, digits string) bool {
	return !p.Known && p.Code != "" && subtle.ConstantTimeCompare([]byte(p.Code), []byte(a.Blind(p.ID, digits))) == 1
}

// Digits are those of a code that somebody typed, without what stands between them.
func Digits(code string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '\u00a0' {
			return -1
		}
		return r
	}, code)
}

// maxPendingID bounds the id that a form shows.
const maxPendingID = 64

// Pending reads what waits. ErrNone says that nothing does, or that it belongs to
// another pool or environment.
func (a *Accounts) Pending(ctx context.Context, pool, environment, id string) (record.Record[Pending], error) {
	if id == "" || len(id) > maxPendingID {
		return record.Record[Pending]{}, ErrNone
	}
	p, err := record.Get[Pending](ctx, a.records, keyPending(id))
	if err == nil && (p.Value.Pool != pool || p.Value.Environment != environment || ended(a.records.Now(), p.Value.ExpiresAt)) {
		err = ErrNone
	}
	return p, err
}

// EndPending plans that nothing waits any more, with the tokens that were mailed for it.
func (a *Accounts) EndPending(ch *record.Change, p record.Record[Pending]) {
	ch.Remove(p.Key, p.Revision)
	for _, t := range p.Value.Tokens {
		if t != "" {
			ch.Drop(prefixMailed + t)
		}
	}
}

// PutPending plans it as it was changed.
func (a *Accounts) PutPending(ch *record.Change, was record.Record[Pending], is Pending) {
	ch.Update(was.Key, was.Revision, is)
}

// MailedKind is what a mailed token is for.
type MailedKind string

// Kinds of mailed tokens.
const (
	MailedSignup     MailedKind = "signup"
	MailedReset      MailedKind = "reset"
	MailedInvitation MailedKind = "invitation"
	MailedAddress    MailedKind = "address" // a new address of an account
	// MailedLogin is for a link that logs in. No mail has it: its holder gets it by the API.
	MailedLogin MailedKind = "login"
)

// Life is how long a token of this kind can be redeemed.
func (k MailedKind) Life() time.Duration {
	switch k {
	case MailedReset:
		return 30 * time.Minute
	case MailedLogin:
		return 10 * time.Minute
	case MailedInvitation:
		return 7 * 24 * time.Hour
	}
	return 24 * time.Hour
}

// Mailed is a token that a mail carries, kept under its hash. A mail has two: one behind the
// link, and one that can be typed.
type Mailed struct {
	Kind MailedKind `json:"kind"`
	Pool string     `json:"pool"`
	// Account is whose it is, Pending the signup that it is for.
	Account string `json:"account,omitempty"`
	Pending string `json:"pending,omitempty"`
	// Address is the new one that it proves.
	Address string `json:"address,omitempty"`
	To      string `json:"to,omitempty"`
	// Twin is the hash of the other token of the same mail.
	Twin      string    `json:"twin"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Tokens are the two of one mail: Link stands behind the #, and Code is for those whose
// browsers run no script.
type Tokens struct{ Link, Code string }

// typedLength is that of a token that can be typed: 100 bits.
const typedLength = 20

// NewTokens makes the two tokens of a mail.
func NewTokens() Tokens {
	secret := NewSecret()
	var code [typedLength]byte
	rand.Read(code[:])
	for i, c := range code {
		code[i] = codeAlphabet[c%byte(len(codeAlphabet))]
	}
	return Tokens{secret, string(code[:])}
}

// codeAlphabet is Crockford's base32 in lower case, which has nothing that is easily taken
// for something else.
const codeAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// Typed is the form of a code in which it was mailed, however somebody typed it: without
// spaces and dashes, in lower case, with digits for the letters that look like them. The
// token of a link stays as it is.
func Typed(code string) string {
	if len(code) > maxToken || len(strings.TrimSpace(code)) == mezu.SecretLength {
		return strings.TrimSpace(code)
	}
	return strings.NewReplacer(" ", "", "-", "", "\u00a0", "", "o", "0", "i", "1", "l", "1").Replace(strings.ToLower(code))
}

// hashes of both.
func (t Tokens) hashes() [2]string {
	return [2]string{mezu.HashSecret(t.Link), mezu.HashSecret(t.Code)}
}

// Mail plans the two tokens of a mail. They end after the kind's life.
func (a *Accounts) Mail(ch *record.Change, m Mailed) (Tokens, [2]string) {
	t := NewTokens()
	return t, a.MailThese(ch, m, t)
}

// MailThese is Mail of tokens that there are, for who must know first whether the mail goes:
// what it would have carried is not kept else.
func (a *Accounts) MailThese(ch *record.Change, m Mailed, t Tokens) [2]string {
	h := t.hashes()
	m.ExpiresAt = a.records.Stamp().Add(m.Kind.Life())
	for i := range h {
		m.Twin = h[1-i]
		ch.Create(prefixMailed+h[i], m)
	}
	return h
}

// MailAccount plans the tokens of a mail to an account, in place of those of the same kind.
func (a *Accounts) MailAccount(ch *record.Change, of Ref, c *Credential, m Mailed) Tokens {
	m.Pool, m.Account = of.Pool, of.ID
	t, h := a.Mail(ch, m)
	if c.Mailed == nil {
		c.Mailed = map[MailedKind][2]string{}
	}
	c.Mailed[m.Kind] = h
	return t
}

// maxToken bounds a token as it comes in a form.
const maxToken = 128

// Redeem reads a token of a pool. Whatever is wrong with it, the answer is the same:
// ErrNone. Whoever redeems it judges the account or what waits, too.
func (a *Accounts) Redeem(ctx context.Context, pool, secret string, kind MailedKind) (record.Record[Mailed], error) {
	if len(secret) == 0 || len(secret) > maxToken {
		return record.Record[Mailed]{}, ErrNone
	}
	m, err := record.Get[Mailed](ctx, a.records, keyMailed(Typed(secret)))
	if err == nil && (m.Value.Kind != kind || m.Value.Pool != pool || ended(a.records.Now(), m.Value.ExpiresAt)) {
		err = ErrNone
	}
	return m, err
}

// RedeemOfAccount is Redeem of a token that was mailed to an account, with the account's
// credential. Only the last token of its kind counts.
func (a *Accounts) RedeemOfAccount(ctx context.Context, pool, secret string, kind MailedKind) (record.Record[Mailed], record.Record[Credential], error) {
	m, err := a.Redeem(ctx, pool, secret, kind)
	if err != nil {
		return m, record.Record[Credential]{}, err
	}
	c, err := a.Credential(ctx, Ref{pool, m.Value.Account})
	if err == nil && (c.Revision == 0 || !slices.Contains(sliceOf(c.Value.Mailed[kind]), strings.TrimPrefix(m.Key, prefixMailed))) {
		err = ErrNone
	}
	return m, c, err
}

func sliceOf(h [2]string) []string { return h[:] }

// Spend plans that a token and its twin are used: of several who redeem one at once, one
// wins. c is the credential of the account that it was mailed to, nil if there is none; the
// caller writes it.
func (a *Accounts) Spend(ch *record.Change, m record.Record[Mailed], c *Credential) {
	ch.Remove(m.Key, m.Revision)
	ch.Drop(prefixMailed + m.Value.Twin)
	if c != nil {
		delete(c.Mailed, m.Value.Kind)
	}
}
