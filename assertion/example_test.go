package assertion_test

import (
	"encoding/json"
	"errors"
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

	mu    sync.Mutex
	keys  assertion.Keys
	asked time.Time
}

// of checks the assertion of a request.
func (u *users) of(r *http.Request) (*assertion.Claims, error) {
	text := r.Header.Get(mezu.HeaderAssertion)
	u.mu.Lock()
	defer u.mu.Unlock()
	claims, err := assertion.Check(text, &u.keys, u.issuer, u.audience, time.Now())
	// A new Warpgate has a new key, so that an unknown one is a reason to ask again, though not
	// more often than every ten seconds.
	if errors.Is(err, assertion.ErrUnknownKey) && time.Since(u.asked) > 10*time.Second {
		u.asked = time.Now()
		if err := u.fetch(); err != nil {
			return nil, err
		}
		claims, err = assertion.Check(text, &u.keys, u.issuer, u.audience, time.Now())
	}
	return claims, err
}

func (u *users) fetch() error {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(u.keysURL)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var keys assertion.Keys
	if err := json.NewDecoder(answer.Body).Decode(&keys); err != nil {
		return err
	}
	u.keys = keys
	return nil
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
