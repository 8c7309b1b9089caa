//go:build unix

package process_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/testkit"
)

// TestSignals: the first signal drains, a second one cuts, and a signal that
// comes twice at once is one.
func TestSignals(t *testing.T) {
	drain, cut, stop := process.Signals(context.Background())
	defer stop()
	send := func(s syscall.Signal) {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGTERM)
	send(syscall.SIGINT)
	wait(t, drain)
	select {
	case <-cut.Done():
		t.Fatal("two signals at once cut")
	case <-time.After(200 * time.Millisecond):
	}
	send(syscall.SIGTERM)
	wait(t, cut)
}

// TestHangup: SIGHUP drains as SIGTERM does; when it comes again, from the kernel and from
// a shell, that cuts nothing.
func TestHangup(t *testing.T) {
	testkit.Hangups(t)
	drain, cut, stop := process.Signals(context.Background())
	defer stop()
	for range 3 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		wait(t, drain)
		select {
		case <-cut.Done():
			t.Fatal("a hangup cut")
		case <-time.After(150 * time.Millisecond):
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, cut)
}

func wait(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("no signal seen")
	}
}

// TestHeldSignals: what comes while a program has the signals ends nothing here.
func TestHeldSignals(t *testing.T) {
	drain, _, hold, stop := process.HeldSignals(context.Background())
	defer stop()
	release, again := hold(), hold()
	for _, give := range []func(){func() {}, release, release} {
		give()
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		select {
		case <-drain.Done():
			t.Fatal("a signal that is held ended something")
		case <-time.After(50 * time.Millisecond):
		}
	}
	again()
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	wait(t, drain)
}

// TestAHangingProcessEnds: at a third signal at once, and some time after the second without one.
func TestAHangingProcessEnds(t *testing.T) {
	t.Parallel()
	for _, signals := range []int{2, 3} {
		t.Run(fmt.Sprint(signals), func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self, hangs)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for _, step := range []string{"ready", "drain", "cut"}[:signals] {
				if !lines.Scan() || lines.Text() != step {
					t.Fatalf("it says %q, not %q", lines.Text(), step)
				}
				<-time.After(200 * time.Millisecond) // two signals at once are one
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
			for lines.Scan() { // to its end
			}
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exit.Interrupted || !strings.Contains(said.String(), "ended at once, as the signals asked for") {
				t.Errorf("%v, %q", err, said.String())
			}
		})
	}
}
