package e2e

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// madeReset is what mezusphere operator reset --json prints.
type madeReset struct {
	Link   string `json:"link"`
	Site   string `json:"site"`
	Code   string `json:"code"`
	CAFile string `json:"ca_file"`
	Ended  bool   `json:"ended"`
}

// beginReset runs mezusphere operator reset.
func (w *world) beginReset(flags ...string) *process {
	w.t.Helper()
	return startWith(w.t, "reset", nil, filepath.Join(binaries, "mezusphere"), append([]string{"operator", "reset", "--json"}, flags...)...)
}

// resetOperator is a reset that has to succeed.
func (w *world) resetOperator(flags ...string) (out madeReset) {
	w.t.Helper()
	p := w.beginReset(flags...)
	<-p.gone
	if err := json.Unmarshal([]byte(p.out.String()), &out); p.err != nil || err != nil {
		w.t.Fatalf("%v, %v: %s", p.err, err, p.log.String())
	}
	return out
}

// redeem is a token by a bootstrap code.
func (w *world) redeem(code string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := api.Invoke[api.TokenResponse](ctx, w.newClient(""), api.OpBootstrap, api.BootstrapRequest{Code: code})
	return out.Token, err
}

// TestOperatorReset_Killed kills who is in the middle of a reset: the control plane that is asked,
// whoever asks it, and whoever has the store while that is stopped. Of several at once one has
// answered by then. Of all codes that were printed one at most opens anything, and the next reset
// works.
func TestOperatorReset_Killed(t *testing.T) {
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), api: freeAddr(t)}
	w.startControl()
	w.bootstrap()
	state := filepath.Join(w.dir, "control")
	for name, kill := range map[string]func(asking []*process){
		"the control plane": func([]*process) { w.control.kill() },
		"who asks it": func(asking []*process) {
			for _, p := range asking {
				p.kill()
			}
		},
		"who has the store": func(asking []*process) {
			for _, p := range asking {
				p.kill()
			}
		},
	} {
		if name == "who has the store" {
			w.control.down(false)
		}
		asking := make([]*process, 4)
		answered := make(chan struct{}, len(asking))
		for i := range asking {
			asking[i] = w.beginReset("--state", state)
			go func() {
				<-asking[i].gone
				answered <- struct{}{}
			}()
		}
		<-answered
		kill(asking)
		for _, p := range asking {
			<-p.gone
		}
		if name != "who asks it" {
			w.startControl()
		}
		opened, printed := 0, 0
		for _, p := range asking {
			var made madeReset
			if json.Unmarshal([]byte(p.out.String()), &made) != nil {
				continue // it was cut
			}
			printed++
			if _, err := w.redeem(made.Code); err == nil {
				opened++
			} else if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
		if printed == 0 || opened > 1 {
			t.Errorf("%s: %d links were printed, and %d open something", name, printed, opened)
		}
		if _, err := w.redeem(w.resetOperator("--state", state).Code); err != nil {
			t.Errorf("%s: the next one: %v", name, err)
		}
	}
}
