package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// How a program that acts for a person logs in: OAuth 2.1 (RFC 6749, 7636, 8252) by a browser
// on the same machine, or the device authorization grant (RFC 8628).

const (
	// ProgramClient is the id of the command line as an OAuth client. It is public.
	ProgramClient = "mezu"
	// PathAuthority is where a control plane says how programs log in (RFC 8414).
	PathAuthority = "/.well-known/oauth-authorization-server"
	// grantDevice is the type of the device authorization grant.
	grantDevice = "urn:ietf:params:oauth:grant-type:device_code"
)

// Authority is how programs log in at a control plane.
type Authority struct {
	Issuer    string `json:"issuer"`
	Authorize string `json:"authorization_endpoint"`
	Token     string `json:"token_endpoint"`
	Revoke    string `json:"revocation_endpoint"`
	// Device is empty where no program logs in by a code.
	Device string `json:"device_authorization_endpoint"`
	// NamesIssuer says that answers of the browser have the issuer (RFC 9207).
	NamesIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	Challenges  []string `json:"code_challenge_methods_supported"`
}

// ProgramTokens are what a login gives.
type ProgramTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	// ExpiresIn is how many seconds Access lives.
	ExpiresIn int64  `json:"expires_in"`
	Type      string `json:"token_type"`
}

// DeviceCode is a login that waits for somebody to type a code.
type DeviceCode struct {
	Code            string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	// ExpiresIn is how many seconds it waits, Interval how many lie between two questions.
	ExpiresIn int64 `json:"expires_in"`
	Interval  int64 `json:"interval"`
}

// ProgramError is a refusal in the words of RFC 6749, 5.2. Neither steers a terminal.
type ProgramError struct{ Code, Description string }

// NewProgramError is a refusal that came from outside.
func NewProgramError(code, description string) *ProgramError {
	return &ProgramError{Printable(code), Printable(description)}
}

// Error says both.
func (e *ProgramError) Error() string {
	if e.Description == "" {
		return "the control plane answers " + e.Code
	}
	return e.Description + " (" + e.Code + ")"
}

// Codes of a ProgramError that a program acts by.
const (
	ProgramInvalidGrant = "invalid_grant"
	ProgramPending      = "authorization_pending"
	ProgramSlowDown     = "slow_down"
	ProgramDenied       = "access_denied"
	ProgramExpired      = "expired_token"
)

// Authority asks a control plane how programs log in. What it answers must lie on the host
// that was called: no other one is sent a code, a token or a browser.
func (c *Client) Authority(ctx context.Context) (Authority, error) {
	var out Authority
	var err error
	for range c.bases {
		base, turn := c.base()
		if err = c.program(ctx, http.MethodGet, base+PathAuthority, nil, &out); err == nil {
			return out, out.check(base)
		}
		if !elsewhere(err) || ctx.Err() != nil {
			break
		}
		c.leave(turn)
	}
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		err = &mezu.Error{Code: mezu.CodeInvalid, Detail: c.BaseURL() + " has no login for programs", Hint: "is it the address of a control plane? A token can be given by mezu login --with-token", Cause: err}
	}
	return out, err
}

func (a *Authority) check(base string) error {
	if a.Issuer != base {
		hint := "the address and the control plane do not belong together"
		if u, err := url.Parse(a.Issuer); err == nil && u.Scheme == "https" && u.Host != "" && a.Issuer == "https://"+u.Host {
			hint = "mezu login --api " + Printable(a.Issuer)
		}
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "api", Detail: fmt.Sprintf("the control plane at %s calls itself %q, and nobody logs in under another name", base, Printable(a.Issuer)), Hint: hint}
	}
	for _, e := range []struct {
		name, url string
		optional  bool
	}{{"authorization", a.Authorize, false}, {"token", a.Token, false}, {"revocation", a.Revoke, false}, {"device", a.Device, true}} {
		if !(e.optional && e.url == "") && !a.Has(e.url) {
			return mezu.Errorf(mezu.CodeInternal, "the %s address of %s is %q, which is not on the same host", e.name, base, Printable(e.url))
		}
	}
	if !slices.Contains(a.Challenges, "S256") {
		return mezu.Errorf(mezu.CodeInternal, "%s does not take S256 challenges, without which no login is safe", base)
	}
	return nil
}

// Has reports whether an address is one of the authority's own, which may be shown to a
// person and opened.
func (a *Authority) Has(address string) bool {
	u, err := url.Parse(address)
	visible := !strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' })
	return err == nil && visible && u.User == nil && u.Fragment == "" && u.Scheme == "https" && "https://"+u.Host == a.Issuer && strings.HasPrefix(u.Path, "/")
}

// Redeem exchanges the code that a browser brought.
func (c *Client) Redeem(ctx context.Context, a Authority, code, redirect, verifier string) (ProgramTokens, error) {
	return c.tokens(ctx, a, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}})
}

// repeatRefresh is how long a refresh is repeated. The control plane gives the same answer for
// 10 s, and ends the login after that.
const repeatRefresh = 4 * time.Second

// Refresh gives the next tokens of a login. Its refresh token is worth nothing any more then.
func (c *Client) Refresh(ctx context.Context, a Authority, refresh string) (ProgramTokens, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	pause := retryPause
	for begin := time.Now(); ; pause *= 2 {
		out, err := c.tokens(ctx, a, form)
		if err == nil || !temporary(err) || time.Since(begin)+pause > repeatRefresh {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// AskDevice begins a login by a code.
func (c *Client) AskDevice(ctx context.Context, a Authority) (DeviceCode, error) {
	var out DeviceCode
	if a.Device == "" {
		return out, &mezu.Error{Code: mezu.CodeForbidden, Detail: "logging in by a code is off at " + a.Issuer, Hint: "mezu login in a browser on this machine, or mezu login --with-token"}
	}
	err := c.program(ctx, http.MethodPost, a.Device, url.Values{"client_id": {ProgramClient}}, &out)
	if err == nil && (out.Code == "" || out.UserCode == "" || !a.Has(out.VerificationURI)) {
		err = mezu.Errorf(mezu.CodeInternal, "the answer of %s is no code to log in by", a.Issuer)
	}
	out.UserCode = Printable(out.UserCode)
	return out, err
}

// PollDevice asks once whether the code was typed.
func (c *Client) PollDevice(ctx context.Context, a Authority, code string) (ProgramTokens, error) {
	return c.tokens(ctx, a, url.Values{"grant_type": {grantDevice}, "device_code": {code}})
}

// RevokeLogin ends the login that a refresh token belongs to.
func (c *Client) RevokeLogin(ctx context.Context, a Authority, refresh string) error {
	return c.program(ctx, http.MethodPost, a.Revoke, url.Values{"client_id": {ProgramClient}, "token": {refresh}}, nil)
}

func (c *Client) tokens(ctx context.Context, a Authority, form url.Values) (ProgramTokens, error) {
	form.Set("client_id", ProgramClient)
	var out ProgramTokens
	err := c.program(ctx, http.MethodPost, a.Token, form, &out)
	if err != nil {
		return out, err
	}
	for _, token := range []string{out.Access, out.Refresh} {
		if s, err := mezu.ParseSecret(token); err != nil || s != token || token == "" {
			return ProgramTokens{}, mezu.Errorf(mezu.CodeInternal, "the answer of %s has no tokens", a.Issuer)
		}
	}
	if out.ExpiresIn <= 0 || out.ExpiresIn > int64(maxProgramLife/time.Second) || !strings.EqualFold(out.Type, "bearer") {
		return ProgramTokens{}, mezu.Errorf(mezu.CodeInternal, "the answer of %s has tokens of another kind", a.Issuer)
	}
	return out, nil
}

// maxProgramLife is the longest life of an access token that is believed.
const maxProgramLife = 24 * time.Hour

// program sends a form, or asks, and decodes the answer into out unless that is nil. No token
// goes along but what is in the form.
func (c *Client) program(ctx context.Context, method, target string, form url.Values, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return fmt.Errorf("calling %s: %w", target, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
		return c.noAnswer(req, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.programProblem(resp)
	}
	if out == nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxProblem+1))
	if err != nil {
		return c.noAnswer(req, fmt.Errorf("reading the answer: %w", err))
	}
	if len(data) > MaxProblem || json.Unmarshal(data, out) != nil {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: "the answer of " + target + " is not what this version expects", Hint: "compare the versions of both programs"}
	}
	return nil
}

// programProblem is a refusal: of OAuth, or one like those of all operations.
func (c *Client) programProblem(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxProblem))
	var told struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err == nil && json.Unmarshal(data, &told) == nil && told.Error != "" && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
		return NewProgramError(told.Error, told.Description)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(data)))
	e := c.problemOf(resp)
	if resp.StatusCode == http.StatusNotFound && mezu.CodeOf(e) != mezu.CodeNotFound {
		return &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is nothing at " + resp.Request.URL.Path, Cause: e}
	}
	return e
}
