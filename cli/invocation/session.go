package invocation

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
)

// renewBefore is how long before its end a token is replaced, so that no call comes too late.
const renewBefore = time.Minute

// session is a login at work. Several goroutines may use it.
type session struct {
	inv      *Invocation
	settings Settings
	// caller calls without a token.
	caller *api.Client
	// turn is held by the one who renews or reads the credential.
	turn    chan struct{}
	current profile.Credential
}

func newSession(i *Invocation, s Settings, caller *api.Client) *session {
	return &session{inv: i, settings: s, caller: caller, turn: make(chan struct{}, 1), current: s.Credential}
}

// take waits for the turn. The caller gives it back.
func (s *session) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) give() { <-s.turn }

// token is that of the next call. One that ends soon is replaced, but used if that fails for
// now and it is still good.
func (s *session) token(ctx context.Context) (string, error) {
	if err := s.take(ctx); err != nil {
		return "", err
	}
	defer s.give()
	if s.good(s.current, renewBefore) {
		return s.current.Token, nil
	}
	err := s.renew(ctx)
	if err != nil && s.good(s.current, 0) && mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		err = nil
	}
	return s.current.Token, err
}

// after is the token to call with after one was refused. It is the same one if there is no
// other.
func (s *session) after(ctx context.Context, refused string) (string, error) {
	if err := s.take(ctx); err != nil {
		return "", err
	}
	defer s.give()
	if s.current.Refresh == "" || s.current.Token != refused {
		return s.current.Token, nil
	}
	return s.current.Token, s.renew(ctx)
}

// good reports whether a credential opens something for a time to come.
func (s *session) good(c profile.Credential, span time.Duration) bool {
	return c.Refresh == "" || s.inv.Clock().Add(span).Before(c.ExpiresAt)
}

// renew replaces the credential in use by the next one, which another process may have got
// already (N26).
func (s *session) renew(ctx context.Context) error {
	name, profiles := s.settings.Profile, s.inv.Profiles
	of := s.settings
	of.Credential = profile.Credential{} // what is kept now is asked for
	lock, err := profiles.LockCredential(ctx, name)
	if err != nil {
		return err
	}
	defer lock.Close()
	kept, err := s.inv.Credential(of)
	if err != nil {
		return err
	}
	if kept.Token == "" {
		return notLoggedIn(s.settings)
	}
	if kept.Token != s.current.Token && s.good(kept, renewBefore) {
		s.current = kept
		return nil
	}
	next, err := s.refresh(ctx, kept)
	if err != nil {
		return err
	}
	s.current = next
	if err := profiles.SaveCredential(name, next); err != nil {
		s.inv.Warnf("the login goes on for this command only: %s", terminal.Clean(err.Error()))
	}
	return nil
}

// refresh asks the control plane for the next credential.
func (s *session) refresh(ctx context.Context, c profile.Credential) (profile.Credential, error) {
	a, err := s.caller.Authority(ctx)
	if err != nil {
		return c, err
	}
	asked := s.inv.Clock()
	calling, cancel := Outlast(ctx)
	defer cancel()
	got, err := s.caller.Refresh(calling, a, c.Refresh)
	if e, ok := errors.AsType[*api.ProgramError](err); ok && e.Code == api.ProgramInvalidGrant {
		return c, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "your access at " + hostOf(s.settings.API) + " ended", Hint: LoginHint(s.settings)}
	}
	if err != nil {
		return c, err
	}
	return CredentialOf(got, asked), nil
}

// outlasting is how long a call goes on that is not to be cut.
const outlasting = 3 * time.Second

// Outlast is for calls that exchange a secret: it ends some time after ctx does. An answer that
// nobody waits for would leave a login that nobody has, and without the secret of before.
func Outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	out := context.WithoutCancel(ctx)
	if at, limited := ctx.Deadline(); limited {
		out, cancel = context.WithDeadline(out, at.Add(outlasting))
	} else {
		out, cancel = context.WithCancel(out)
	}
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			late := time.AfterFunc(outlasting, cancel)
			context.AfterFunc(out, func() { late.Stop() })
		}
	})
	return out, func() { stop(); cancel() }
}

// CredentialOf is what a profile keeps of tokens that were asked for at a moment.
func CredentialOf(t api.ProgramTokens, asked time.Time) profile.Credential {
	return profile.Credential{Token: t.Access, Refresh: t.Refresh, ExpiresAt: asked.Add(time.Duration(t.ExpiresIn) * time.Second).UTC().Truncate(time.Second)}
}

// LoginHint is the command that logs in where the settings lead.
func LoginHint(s Settings) string {
	if s.Profile != "" {
		return "mezu login --profile " + s.Profile
	}
	return "mezu login --api " + s.API
}

// hostOf is the host of an address, or what there is instead.
func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return address
}

func notLoggedIn(s Settings) error {
	return &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "not logged in at " + s.API, Hint: LoginHint(s) + ", or set MEZU_TOKEN"}
}

// bearer puts the token of a session on each call. A call that is refused for its token is
// made once more with the next one.
type bearer struct {
	session *session
	carrier http.RoundTripper
}

// maxRefusal bounds what is read of a refusal so that its connection can be used again.
const maxRefusal = 64 << 10

// RoundTrip makes one call.
func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := b.session.token(req.Context())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &api.NotMade{Err: err}
	}
	resp, err := b.carrier.RoundTrip(withToken(req, req.Body, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || req.Body != nil && req.GetBody == nil {
		return resp, err
	}
	next, err := b.session.after(req.Context(), token)
	if err == nil && next == token {
		return resp, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxRefusal)) // the refusal doesn't count any more
	resp.Body.Close()
	var body io.ReadCloser
	if err == nil && req.Body != nil {
		body, err = req.GetBody()
	}
	if err != nil {
		return nil, &api.NotMade{Err: err}
	}
	return b.carrier.RoundTrip(withToken(req, body, next))
}

func withToken(req *http.Request, body io.ReadCloser, token string) *http.Request {
	out := req.Clone(req.Context())
	out.Body = body
	out.Header.Set("Authorization", "Bearer "+token)
	return out
}
