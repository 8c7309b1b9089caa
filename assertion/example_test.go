package assertion_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
)

// users tells who the user of a request is, in a workload in Go.
type users struct {
	issuer, audience string // of the environment: mezu environments show
	keysURL          string // issuer + "/.mezu/jwks.json"

	mu             sync.Mutex
	keys           assertion.Keys
	asked, fetched time.Time
}

// of checks the assertion of a request.
func (u *users) of(r *http.Request) (*assertion.Claims, error) {
	text := r.Header.Get(mezu.HeaderAssertion)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh(5 * time.Minute)
	claims, err := assertion.Check(text, &u.keys, u.issuer, u.audience, time.Now())
	if errors.Is(err, assertion.ErrUnknownKey) { // a new Warpgate has a new key
		u.refresh(0)
		claims, err = assertion.Check(text, &u.keys, u.issuer, u.audience, time.Now())
	}
	return claims, err
}

// refresh fetches the keys if they are older than they may be, though not more often than every
// ten seconds: anybody can name a key that nobody has. While they can't be fetched the old ones
// go, for an hour: so long the key of a Warpgate that is gone is listed.
func (u *users) refresh(age time.Duration) {
	now := time.Now()
	if now.Sub(u.fetched) <= age || now.Sub(u.asked) <= 10*time.Second {
		return
	}
	u.asked = now
	if keys, err := u.fetch(); err == nil {
		u.keys, u.fetched = keys, now
	} else if now.Sub(u.fetched) > time.Hour {
		u.keys = assertion.Keys{}
	}
}

func (u *users) fetch() (keys assertion.Keys, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(u.keysURL)
	if err != nil {
		return keys, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return keys, errors.New("fetching the keys: " + answer.Status)
	}
	return keys, json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&keys)
}

// A workload that can be reached by others than its Warpgate checks the assertion.
func ExampleCheck() {
	known := &users{issuer: "https://shop-acme.edge.example", audience: "env_06eajh8a01sgv08fwzptg40yf0", keysURL: "https://shop-acme.edge.example/.mezu/jwks.json"}
	http.HandleFunc("/orders", func(w http.ResponseWriter, r *http.Request) {
		user, err := known.of(r)
		if err != nil {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte("Hello, " + user.Email))
	})
}
