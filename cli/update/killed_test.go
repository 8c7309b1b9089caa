package update_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mezusphere/mezu/testkit"
)

// killed runs a program and kills it after a time, if it has not ended by then.
func (p *person) killed(after time.Duration, argv ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), after)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = p.env, p.home
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil && ctx.Err() == nil {
		p.t.Fatal(err)
	}
}

// moments are those at which something is killed that takes some tenths of a second.
func moments() []time.Duration {
	step := 20 * time.Millisecond
	if os.Getenv("MEZU_SOAK") != "" {
		step = time.Millisecond
	}
	var out []time.Duration
	for at := step; at <= 12*20*time.Millisecond; at += step {
		out = append(out, at)
	}
	return out
}

// Whenever install.sh or mezu update is killed, the program is the old one or the new one, and the
// next run finishes.
func TestKilled(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	for name, argv := range map[string][]string{"install.sh": {"sh", path}, "mezu update": {"", "update"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := updating(t, r)
			p.from(r)
			run := append([]string(nil), argv...)
			if run[0] == "" {
				run[0] = p.program()
			}
			for _, after := range moments() {
				p.killed(after, run...)
				switch out, code := p.run(p.program(), "version"); {
				case code == 0 && out == "mezu v1.2.0\n":
				case code == 0 && out == "mezu 1.3.0\n": // once more
					if err := os.Remove(p.program()); err != nil {
						t.Fatal(err)
					}
					place(t, p.program())
				default:
					t.Fatalf("after %v: code %d, %s", after, code, out)
				}
			}
			if out, code := p.run(run...); code != 0 {
				t.Fatalf("code %d, %s", code, out)
			}
			p.says("1.3.0")
		})
	}
}
