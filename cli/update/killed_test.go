package update_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// What a run that was killed left beside its places goes an hour later, wherever that is.
func TestKilled_LeavesNothing(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	for name, argv := range map[string][]string{"install.sh": {"sh", path}, "mezu update": {"", "update"}} {
		p := updating(t, r)
		p.from(r)
		if argv[0] == "" {
			argv[0] = p.program()
		}
		old := time.Now().Add(-2 * time.Hour)
		for _, dir := range []string{".local/bin", ".local/share/man/man1", ".local/share/mezu/install"} {
			for _, file := range []string{".mezu.new.1.old", ".mezu.new.1.young"} {
				left := p.path(dir + "/" + file)
				if err := os.WriteFile(left, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(file, "old") {
					if err := os.Chtimes(left, old, old); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if out, code := p.run(argv...); code != 0 {
			t.Fatalf("%s: code %d, %s", name, code, out)
		}
		var left []string
		for _, file := range p.files() {
			if strings.Contains(file, ".mezu.new.") {
				left = append(left, file)
			}
		}
		if want := []string{".local/bin/.mezu.new.1.young", ".local/share/man/man1/.mezu.new.1.young", ".local/share/mezu/install/.mezu.new.1.young"}; !slices.Equal(left, want) {
			t.Errorf("%s: left %q", name, left)
		}
	}
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
