package hosted

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/policy"
)

// maxLists bounds the lists of keys that are kept as they are sent. The largest has 700 KiB, most
// have one.
const maxLists = 16 << 20

// lists are the lists of keys as they are sent, by environment. The largest takes milliseconds to
// encode, anybody may ask for it as often as they like, and many who take it slowly share it.
type lists struct {
	mu    sync.Mutex
	by    map[string]list
	bytes int
}

type list struct {
	of     []mezu.AssertionKey
	answer *policy.Answer
}

// keys answers with the keys that sign what the environment's workloads are told. A
// workload in a browser or on another host may read them, too: they are public.
func (p *Pages) keys(r *Request) (*policy.Answer, error) {
	var keys []mezu.AssertionKey
	if p.cfg.Keys != nil {
		keys = p.cfg.Keys(r.Environment)
	}
	if len(keys) == 0 {
		return encodedKeys(keys)
	}
	p.lists.mu.Lock()
	defer p.lists.mu.Unlock()
	was, had := p.lists.by[r.Environment]
	if had && len(was.of) == len(keys) && &was.of[0] == &keys[0] {
		return was.answer, nil
	}
	a, err := encodedKeys(keys)
	if err != nil {
		return nil, err
	}
	if had {
		p.lists.bytes -= len(was.answer.Body)
	}
	if p.lists.bytes += len(a.Body); p.lists.bytes > maxLists || p.lists.by == nil {
		p.lists.by, p.lists.bytes = map[string]list{}, len(a.Body)
	}
	p.lists.by[r.Environment] = list{keys, a}
	return a, nil
}

func encodedKeys(keys []mezu.AssertionKey) (*policy.Answer, error) {
	a, err := encoded(assertion.Keys{Keys: assertion.List(keys)}, "application/jwk-set+json", "public, max-age=300")
	if a != nil {
		a.Header = append(a.Header, policy.Header{Name: "Access-Control-Allow-Origin", Value: "*"})
	}
	return a, err
}

// who is the answer to an application that asks who its user is.
type who struct {
	User  *user      `json:"user,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

type user struct {
	ID    string   `json:"id"`
	Email string   `json:"email"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

// session answers who is logged in, and until when at most. Nobody else's page may ask: a
// browser would send the cookie along for it.
func (p *Pages) session(r *Request) (*policy.Answer, error) {
	if !r.sameOrigin() {
		return nil, &mezu.Error{Code: mezu.CodeForbidden, Detail: "only pages of this host may ask for the session"}
	}
	g, err := r.Session()
	if err != nil {
		return nil, err
	}
	var out who
	if g != nil {
		out.User = &user{ID: g.User, Email: g.Email, Name: g.Name, Roles: g.Roles}
		if out.User.Roles == nil {
			out.User.Roles = []string{}
		}
		out.Until = &g.NotAfter
	}
	return encoded(out, "application/json", "no-store")
}

// encoded is an answer for programs.
func encoded(value any, contentType, cache string) (*policy.Answer, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return &policy.Answer{Status: 200, Body: append(body, '\n'), Header: []policy.Header{
		{Name: "Content-Type", Value: contentType}, {Name: "Cache-Control", Value: cache}, {Name: "X-Content-Type-Options", Value: "nosniff"},
	}}, nil
}

// leave ends a session while the control plane can't be told.
func (p *Pages) leave(r *Request) (*policy.Answer, error) {
	if !r.fromOwnPage() {
		return nil, &mezu.Error{Code: mezu.CodeForbidden, Detail: "the form was sent from another site"}
	}
	if err := r.Leave(); err != nil {
		return nil, err
	}
	return loggedOut(r), nil
}
