package filter

import (
	"errors"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/edgesvc/edge/webhook"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// TestSignature_Bounds: how much of a body is kept, and which is refused before it comes.
func TestSignature_Bounds(t *testing.T) {
	hooks := webhook.New()
	if err := hooks.Put("e", []mezu.WebhookSecrets{{Webhook: mezu.Webhook{Name: "hub", Provider: mezu.WebhookGitHub}, Secrets: []string{"k"}}}); err != nil {
		t.Fatal(err)
	}
	chain := All(Config{Sessions: session.New(session.Config{Limits: gcra.NewTable(nil)}), Domain: func() string { return "" }, Webhooks: hooks, Now: time.Now})
	for _, c := range []struct {
		name          string
		limit, length int64
		keep          int64
		err           error
	}{
		{"hub", 0, 1 << 20, 1 << 20, nil},
		{"hub", 0, 1<<20 + 1, 0, relay.ErrOverrun},
		{"hub", 10, 10, 10, nil},
		{"hub", 100 << 20, 25 << 20, 25 << 20, nil},
		{"hub", 100 << 20, 25<<20 + 1, 0, relay.ErrOverrun},
		{"", 0, 100 << 20, 0, nil},
		{"other", 0, 1, 0, &mezu.Error{Code: mezu.CodeRouteUnavailable}},
	} {
		x := &Exchange{Environment: "e", Route: &policy.Route{Route: &mezu.Route{}, SignedBy: c.name}, BodyLimit: c.limit}
		x.Request = relay.Request{Framing: relay.Length, Length: c.length}
		_, err := chain.After(x)
		if !errors.Is(err, c.err) && mezu.CodeOf(err) != mezu.CodeOf(c.err) || err == nil && x.Keep != c.keep {
			t.Errorf("%+v: keeps %d, %v", c, x.Keep, err)
		}
	}
	x := &Exchange{Environment: "e", Route: &policy.Route{Route: &mezu.Route{}, SignedBy: "hub"}}
	if _, err := chain.After(x); err != nil {
		t.Fatal(err)
	}
	if err := chain.Body(x, []byte("part"), false); mezu.CodeOf(err) != mezu.CodeBodyTooLarge || x.Step != policy.StepBody {
		t.Errorf("half a body: %v at %s", err, x.Step)
	}
	x.End(200) // without a delivery
}
