package webhook

import (
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// stripe is an edge with one webhook of Stripe's in an environment.
func stripe(t *testing.T) (w *Webhooks, deliver func(at, now int64, body string) (func(bool), error)) {
	t.Helper()
	w = New()
	if err := w.Put("env", []mezu.WebhookSecrets{{Webhook: mezu.Webhook{Name: "pay", Provider: mezu.WebhookStripe}, Secrets: []string{"k"}}}); err != nil {
		t.Fatal(err)
	}
	return w, func(at, now int64, body string) (func(bool), error) {
		v, err := w.Find("env", "pay")
		if err != nil {
			return nil, err
		}
		return w.Admit("env", v, request("https://a.example/", body, time.Unix(now, 0), "Stripe-Signature", stripeField(at, body, "k")))
	}
}

const start = 1700000000

// TestAdmit_Repeats: a delivery that was taken, or may be, doesn't pass again. One that was not
// taken does.
func TestAdmit_Repeats(t *testing.T) {
	_, deliver := stripe(t)
	end, err := deliver(start, start, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deliver(start, start+1, "a"); err != errRepeat {
		t.Errorf("while the first is under way: %v", err)
	}
	end(false)
	if end, err = deliver(start, start+2, "a"); err != nil {
		t.Fatalf("after the first was not taken: %v", err)
	}
	end(true)
	for _, now := range []int64{start + 2, start + 300, start - 300} {
		if _, err := deliver(start, now, "a"); err != errRepeat {
			t.Errorf("at %d: %v", now, err)
		}
	}
	if _, err := deliver(start, start+3, "b"); err != nil {
		t.Errorf("another body: %v", err)
	}
	if _, err := deliver(start+1, start+3, "a"); err != nil {
		t.Errorf("sent again by the provider, with another time: %v", err)
	}
}

// TestAdmit_ClockBack: what was taken doesn't pass again after the clock was set back by an hour,
// when its time is right once more and it has been forgotten.
func TestAdmit_ClockBack(t *testing.T) {
	_, deliver := stripe(t)
	for _, at := range []int64{start, start + 3600} {
		end, err := deliver(at, at, "a")
		if err != nil {
			t.Fatal(err)
		}
		end(true)
	}
	if _, err := deliver(start, start+10, "a"); err != errRepeat {
		t.Errorf("%v", err)
	}
	if end, err := deliver(start+3601, start+3601, "b"); err != nil {
		t.Errorf("what is new no longer passes: %v", err)
	} else {
		end(true)
	}
}

// TestAdmit_Bounded: the memory is bounded for one environment and for all, and what it forgets
// early is refused.
func TestAdmit_Bounded(t *testing.T) {
	m := newMemory()
	m.most, m.mostOf = 40, 10
	now := time.Unix(start, 0)
	take := func(environment string, n int) error {
		_, err := m.begin(environment, "pay", Delivery{Timed: true, At: now.Add(time.Duration(n) * time.Millisecond), Key: [16]byte{byte(n), byte(n >> 8)}}, now, time.Minute)
		return err
	}
	for e := range 6 {
		for n := range 50 {
			if err := take(fmt.Sprint(e), n); err != nil {
				t.Fatal(e, n, err)
			}
		}
		for n := range 50 {
			if err := take(fmt.Sprint(e), n); err != errRepeat {
				t.Fatalf("%d %d passes again: %v", e, n, err)
			}
		}
	}
	all := 0
	for _, of := range m.environments {
		if len(of.known) != len(of.queue) || len(of.known) > 10 || len(of.known) == 0 {
			t.Errorf("%d known, %d queued", len(of.known), len(of.queue))
		}
		all += len(of.known)
	}
	if all != m.total || all > 40 {
		t.Errorf("%d, counted %d", all, m.total)
	}
	for e := range 6 {
		m.drop(fmt.Sprint(e))
	}
	if m.total != 0 || len(m.environments) != 0 {
		t.Errorf("%d left of %d", m.total, len(m.environments))
	}
}

// TestWebhooks_NoSecret: a webhook without a secret, or that is gone, closes its routes.
func TestWebhooks_NoSecret(t *testing.T) {
	w, deliver := stripe(t)
	if err := w.Put("env", []mezu.WebhookSecrets{{Webhook: mezu.Webhook{Name: "pay", Provider: mezu.WebhookStripe}}}); err != nil {
		t.Error(err)
	}
	if _, err := deliver(start, start, "a"); mezu.CodeOf(err) != mezu.CodeRouteUnavailable {
		t.Errorf("without a secret: %v", err)
	}
	if err := w.Put("env", []mezu.WebhookSecrets{{Webhook: mezu.Webhook{Name: "pay", Provider: "new"}, Secrets: []string{"k"}}}); err == nil {
		t.Error("takes a provider that it doesn't know")
	}
	if _, err := deliver(start, start, "a"); mezu.CodeOf(err) != mezu.CodeRouteUnavailable {
		t.Errorf("of an unknown provider: %v", err)
	}
	w.Drop("env")
	if _, err := deliver(start, start, "a"); mezu.CodeOf(err) != mezu.CodeRouteUnavailable {
		t.Errorf("of no environment: %v", err)
	}
}
