package grant_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/grant/granttest"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	start     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	directory = mezu.NewID(mezu.PrefixDirectory, start)
	shop      = mezu.NewID(mezu.PrefixEnvironment, start)
	blog      = mezu.NewID(mezu.PrefixEnvironment, start)
)

// authority is one in epoch 3, with a clock that stands still.
type authority struct {
	*granttest.Authority
	clock *testkit.Clock
}

func newAuthority(t testing.TB) *authority {
	clock := testkit.StillClock(start)
	a := granttest.New(t, clock.Now)
	a.Epoch = 3
	return &authority{a, clock}
}

// session makes the n-th session of an environment.
func (a *authority) session(n int, environment string) mezu.Grant {
	return a.Session(n, environment, directory)
}
