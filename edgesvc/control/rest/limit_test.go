package rest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// many makes calls at once and counts those that were limited.
func many(t *testing.T, c *api.Client, n int) (limited int) {
	t.Helper()
	var mu sync.Mutex
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			_, err := api.Invoke[any](t.Context(), c, api.OpSelf, nil)
			if mezu.CodeOf(err) == mezu.CodeRateLimited {
				mu.Lock()
				defer mu.Unlock()
				limited++
			}
		})
	}
	calls.Wait()
	return limited
}

// A8: who calls too much is told to wait; everybody else is served. Strangers have
// less, together for each address.
func TestA8_CallsAreLimited(t *testing.T) {
	in := controltest.New(t)
	in.CallRate = 10
	in.Start()
	t.Cleanup(func() { in.Stop() })
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, loud := x.Account("loud", mezu.PermProjectsRead)
	_, quiet := x.Account("quiet", mezu.PermProjectsRead)
	if n := many(t, in.Client(loud, nil), 200); n == 0 {
		t.Error("200 calls at once passed a limit of 10 a second")
	}
	if n := many(t, in.Client(quiet, nil), 5); n != 0 {
		t.Errorf("%d calls of another caller were limited", n)
	}
	status, header, _ := in.Raw("GET", "/v1/self", "", "", "")
	for n := 0; status != 429 && n < 200; n++ {
		status, header, _ = in.Raw("GET", "/v1/self", "", "", "")
	}
	if status != 429 || header.Get("Retry-After") == "" {
		t.Errorf("strangers get %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	if n := many(t, in.Client(quiet, nil), 5); n != 0 {
		t.Errorf("%d calls were limited because of strangers", n)
	}
}

// A8: streams are counted while they are open.
func TestA8_StreamsAreLimited(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	open := func() error {
		w, err := api.Watch[mezu.Project](t.Context(), op, api.OpWatchProjects, "", "acme")
		if err == nil {
			t.Cleanup(w.Close)
			_, err = w.Next()
		}
		return err
	}
	var err error
	for n := 0; err == nil; n++ {
		if n > 100 {
			t.Fatal("100 streams are open")
		}
		err = open()
	}
	if errors.Is(err, context.Canceled) || mezu.CodeOf(err) != mezu.CodeRateLimited {
		t.Fatal(err)
	}
}
