package webhook

import (
	"sync"
	"time"

	"github.com/mezusphere/mezu"
)

// Webhooks are the webhooks of all environments of an edge, and what was delivered to them. They
// are safe for concurrent use.
type Webhooks struct {
	mu           sync.RWMutex
	environments map[string]map[string]*Verifier
	memory       *memory
}

// New has none yet.
func New() *Webhooks {
	return &Webhooks{environments: map[string]map[string]*Verifier{}, memory: newMemory()}
}

// Put replaces the webhooks of an environment. One without a secret, or that this build can't
// verify, is left out: its routes are closed.
func (w *Webhooks) Put(environment string, webhooks []mezu.WebhookSecrets) (err error) {
	verifiers := map[string]*Verifier{}
	for i := range webhooks {
		one := &webhooks[i]
		if len(one.Secrets) == 0 {
			continue
		}
		v, bad := NewVerifier(&one.Webhook, one.Secrets)
		if bad != nil {
			err = bad
			continue
		}
		verifiers[one.Name] = v
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.environments[environment] = verifiers
	return err
}

// Drop forgets an environment that is gone.
func (w *Webhooks) Drop(environment string) {
	w.mu.Lock()
	delete(w.environments, environment)
	w.mu.Unlock()
	w.memory.drop(environment)
}

// errNoSecret answers for a webhook whose deliveries can't be verified.
var errNoSecret = &mezu.Error{Code: mezu.CodeRouteUnavailable, Detail: "the webhook of this route has no secret"}

// Find is the verifier of a webhook. Its error is a *mezu.Error for the client.
func (w *Webhooks) Find(environment, name string) (*Verifier, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if v := w.environments[environment][name]; v != nil {
		return v, nil
	}
	return nil, errNoSecret
}

// Admit verifies a request, and refuses what was delivered before. end, which may be nil, is to
// be called with whether the workload has taken the delivery, which is to answer with 2xx: what
// was not taken may come again.
func (w *Webhooks) Admit(environment string, v *Verifier, r *Request) (end func(taken bool), err error) {
	d, err := v.Verify(r)
	if err != nil || !d.Timed {
		return nil, err
	}
	return w.memory.begin(environment, v.name, d, r.Now, time.Duration(v.tolerance))
}
