package daemon

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"1.2.0", "1.3.0", true}, {"v1.2.0", "1.2.1", true}, {"1.9.9", "1.10.0", true}, {"1.9.9", "2.0.0", true}, {"1.2.0-3-gabc", "1.3.0", true},
		{"1.3.0", "1.3.0", false}, {"1.3.0", "1.2.9", false}, {"1.2.0-3-gabc", "1.2.0-4-gdef", false}, {"devel", "1.3.0", false},
		{"1.2.0", "devel", false}, {"", "1.3.0", false}, {"1.2", "1.3.0", false}, {"1.2.x", "1.3.0", false}, {"-1.0.0", "1.3.0", false},
	} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("%q before %q: %v", c.a, c.b, got)
		}
	}
}

// await waits until a text was written.
func await(t *testing.T, b *testkit.Buffer, want string) {
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	late := time.After(time.Minute)
	for b.String() != want {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%q, and not %q", b, want)
		}
	}
}
