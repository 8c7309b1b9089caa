package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Limits of the listener that the browser comes back to. Only this machine reaches it.
const (
	callbackTime   = 10 * time.Second // of one request, which waits for its tokens
	callbackHeader = 16 << 10
	// closeTime is how long a page may take to be sent when all is done.
	closeTime = 2 * time.Second
	// maxCode bounds the code that the browser brings.
	maxCode = 1 << 10
)

// pathCallback is where the browser comes back to, as the control plane expects it.
const pathCallback = "/callback"

// byBrowser logs in in a browser on this machine, by a code that it brings to a port of the
// loopback address (RFC 8252), which is worth nothing without the secret of this process
// (RFC 7636).
func (o *loginOptions) byBrowser(ctx context.Context, c *api.Client, a api.Authority) (tokens api.ProgramTokens, asked time.Time, err error) {
	back, err := listenCallback(a)
	if err != nil {
		return tokens, asked, err
	}
	defer back.close()
	verifier := random()
	challenge := sha256.Sum256([]byte(verifier))
	address, err := addressOf(a, url.Values{
		"client_id": {api.ProgramClient}, "response_type": {"code"}, "redirect_uri": {back.url()}, "state": {back.state},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	})
	if err != nil {
		return tokens, asked, err
	}
	opened := make(chan error, 1)
	// The address comes first: a launcher may report success and open nothing.
	if o.opens() {
		o.show("Opening %s\nin your browser. If nothing opened, open that address yourself. Ctrl-C gives up.", address)
		// Some ways to open a browser last as long as it runs. The process doesn't wait.
		go func() { opened <- o.Open(address) }()
	} else {
		o.show("Open %s\nin a browser on this machine. Ctrl-C gives up.\nWith a browser on another machine: mezu login --device", address)
	}
	for {
		select {
		case err := <-opened:
			if err != nil {
				o.Signf(terminal.Caution, "no browser opened: open that address yourself, or use mezu login --device")
			}
		case got := <-back.brought:
			if got.err != nil {
				return tokens, asked, got.err
			}
			asked = o.Clock()
			calling, cancel := invocation.Outlast(ctx)
			tokens, err = c.Redeem(calling, a, got.code, back.url(), verifier)
			cancel()
			if e, ok := errors.AsType[*api.ProgramError](err); ok {
				err = refused(e)
			}
			back.tell(err)
			return tokens, asked, err
		case <-ctx.Done():
			return tokens, asked, ctx.Err()
		}
	}
}

// show prints what a person needs to go on, quiet or not. All of it is printable.
func (o *loginOptions) show(format string, args ...any) { fmt.Fprintf(o.Err, format+"\n", args...) }

// addressOf is where a browser logs in. It may only be the authority's own (C2).
func addressOf(a api.Authority, ask url.Values) (string, error) {
	u, err := url.Parse(a.Authorize)
	if err != nil {
		return "", fmt.Errorf("the address to log in at: %w", err)
	}
	all := u.Query()
	for name, value := range ask {
		all[name] = value
	}
	u.RawQuery = all.Encode()
	if address := u.String(); a.Has(address) {
		return address, nil
	}
	return "", mezu.Errorf(mezu.CodeInternal, "%s has no address to log in at", a.Issuer)
}

// opens reports whether to open a browser: there has to be somebody who sees it.
func (o *loginOptions) opens() bool {
	return !o.NoBrowser && o.Open != nil && o.CanPrompt() && !o.elsewhere()
}

// elsewhere reports whether the person's browser is not on this machine, or can't be seen.
func (o *loginOptions) elsewhere() bool {
	if o.Getenv("SSH_CONNECTION") != "" {
		return true
	}
	switch runtime.GOOS {
	case "darwin", "windows":
		return false
	}
	return o.Getenv("DISPLAY") == "" && o.Getenv("WAYLAND_DISPLAY") == "" && o.Getenv("BROWSER") == "" && !InWSL(o.Getenv)
}

// InWSL reports whether this is a Linux below Windows, which has the browser.
func InWSL(getenv func(string) string) bool {
	return getenv("WSL_DISTRO_NAME") != "" || getenv("WSL_INTEROP") != ""
}

// refused is a refusal in our words.
func refused(e *api.ProgramError) error {
	switch e.Code {
	case api.ProgramDenied:
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "the login was refused in the browser", Hint: "mezu login begins another one"}
	case api.ProgramExpired:
		return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: "nobody typed the code in time", Hint: "mezu login begins another login"}
	case api.ProgramInvalidGrant:
		return &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the code has ended, or was used already", Hint: "mezu login begins another login"}
	}
	return e
}

// random is 256 random bits.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// brought is what the browser came back with.
type brought struct {
	code string
	err  error
}

// callback waits for the browser.
type callback struct {
	authority api.Authority
	state     string
	listener  net.Listener
	server    *http.Server
	served    chan struct{}
	taken     atomic.Bool
	brought   chan brought
	// outcome says to the browser how it ended.
	outcome chan error
}

// listenCallback opens a port of the loopback address, of IPv4 or else of IPv6.
func listenCallback(a api.Authority) (*callback, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		var err6 error
		if l, err6 = net.Listen("tcp", "[::1]:0"); err6 != nil {
			return nil, fmt.Errorf("waiting for the browser: %w", err)
		}
	}
	b := &callback{authority: a, state: random(), listener: l, served: make(chan struct{}), brought: make(chan brought, 1), outcome: make(chan error, 1)}
	b.server = &http.Server{
		Handler: b, ReadTimeout: callbackTime, WriteTimeout: 2 * callbackTime, MaxHeaderBytes: callbackHeader,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // of strangers on this machine
	}
	b.server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(b.served)
		_ = b.server.Serve(l) // until it is closed
	}()
	return b, nil
}

func (b *callback) url() string { return "http://" + b.listener.Addr().String() + pathCallback }

// tell says to the browser that waits how the login ended.
func (b *callback) tell(err error) { b.outcome <- err }

// close ends the listener when the last page is sent.
func (b *callback) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if b.server.Shutdown(ctx) != nil {
		b.server.Close()
	}
	<-b.served
}

// ServeHTTP takes what the browser brings, once. What has not the state of this login is
// nobody's whom this process waits for, and changes nothing.
func (b *callback) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet || req.URL.Path != pathCallback || req.Host != b.listener.Addr().String() {
		answer(w, http.StatusNotFound, "There is nothing here.")
		return
	}
	in, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil || len(in["state"]) != 1 || subtle.ConstantTimeCompare([]byte(in.Get("state")), []byte(b.state)) != 1 {
		answer(w, http.StatusBadRequest, "This is not the login that mezu waits for.")
		return
	}
	if !b.taken.CompareAndSwap(false, true) {
		answer(w, http.StatusGone, "This login is over.")
		return
	}
	got := b.read(in)
	b.brought <- got
	err = got.err
	if err == nil {
		select {
		case err = <-b.outcome:
		case <-req.Context().Done():
			return
		case <-time.After(callbackTime):
			err = context.DeadlineExceeded
		}
	}
	if err != nil {
		answer(w, http.StatusOK, "You are not logged in. The terminal says why. You can close this window.")
		return
	}
	answer(w, http.StatusOK, "You are logged in. You can close this window.")
}

// read judges what came with the right state.
func (b *callback) read(in url.Values) brought {
	for _, all := range in {
		if len(all) != 1 {
			return brought{err: mezu.Errorf(mezu.CodeInternal, "the browser brought something twice")}
		}
	}
	// RFC 9207: a code of another authority must not be sent to this one.
	if iss, named := in["iss"]; b.authority.NamesIssuer && !named || named && iss[0] != b.authority.Issuer {
		return brought{err: mezu.Errorf(mezu.CodeInternal, "the browser came from another control plane than %s", b.authority.Issuer)}
	}
	if code := in.Get("error"); code != "" {
		return brought{err: refused(api.NewProgramError(code, in.Get("error_description")))}
	}
	code := in.Get("code")
	if code == "" || len(code) > maxCode {
		return brought{err: mezu.Errorf(mezu.CodeInternal, "the browser brought no code")}
	}
	return brought{code: code}
}

// answer is a page of one sentence.
func answer(w http.ResponseWriter, status int, sentence string) {
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<!doctype html>\n<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\"><title>mezu</title>\n<p>"+sentence+"</p>\n</html>\n") // to a browser that may be gone
}
