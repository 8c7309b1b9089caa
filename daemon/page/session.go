package page

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// digest is what is kept of a secret, so that comparing takes the same time whatever is sent.
type digest [sha256.Size]byte

func digestOf(text string) digest { return sha256.Sum256([]byte(text)) }

func (d digest) is(text string) bool {
	other := digestOf(text)
	return subtle.ConstantTimeCompare(d[:], other[:]) == 1
}

// token opens the page once.
type token struct {
	digest
	ends time.Time
}

// session is a page that is open: what its cookie and its key have to be.
type session struct{ cookie, key digest }

// newToken makes a token; the page's lock is held.
func (r *run) newToken() string {
	text := secret()
	r.tokens = append(r.tokens, token{digestOf(text), r.page.cfg.Now().Add(tokenLife)})
	if len(r.tokens) > maxTokens {
		r.tokens = r.tokens[1:]
	}
	return text
}

// exchange makes a session of a token, which is gone then.
func (r *run) exchange(text string) (cookie, key string, ok bool) {
	r.page.mu.Lock()
	defer r.page.mu.Unlock()
	for i, t := range r.tokens {
		if !t.is(text) {
			continue
		}
		r.tokens = append(r.tokens[:i:i], r.tokens[i+1:]...)
		now := r.page.cfg.Now()
		if !now.Before(t.ends) {
			return "", "", false
		}
		cookie, key = secret(), secret()
		r.sessions = append(r.sessions, session{digestOf(cookie), digestOf(key)})
		if len(r.sessions) > maxSessions {
			r.sessions = r.sessions[1:]
		}
		r.last = now
		return cookie, key, true
	}
	return "", "", false
}

// Names of what a page shows.
const (
	cookiePrefix = "mezu-inspector-" // and the port, as cookies are of all ports
	keyHeader    = "Mezu-Inspector-Key"
)

// admits reports whether a request is that of an open page. If so, somebody looks.
func (r *run) admits(req *http.Request) bool {
	cookie, err := req.Cookie(cookiePrefix + r.port)
	if err != nil {
		return false
	}
	key := req.Header.Get(keyHeader)
	r.page.mu.Lock()
	defer r.page.mu.Unlock()
	for _, s := range r.sessions {
		if s.cookie.is(cookie.Value) && s.key.is(key) {
			r.last = r.page.cfg.Now()
			return true
		}
	}
	return false
}

// maxExchange bounds the body with a token.
const maxExchange = 1 << 10

// begin answers a page that has a token.
func (r *run) begin(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Token string `json:"token"`
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxExchange))
	if err != nil || json.Unmarshal(data, &in) != nil {
		refuse(w, http.StatusBadRequest, "the page sends its token")
		return
	}
	cookie, key, ok := r.exchange(in.Token)
	if !ok {
		refuse(w, http.StatusForbidden, "this address was opened before, or is too old: mezu requests web gives another one")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookiePrefix + r.port, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.Header().Set("Content-Type", "application/json")
	// A page that has gone misses it, and its token is used.
	_ = json.NewEncoder(w).Encode(map[string]string{"key": key})
}
