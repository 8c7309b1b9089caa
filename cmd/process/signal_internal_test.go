package process

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestAThirdSignalEndsAtOnce: whatever still hangs then.
func TestAThirdSignalEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		came, done := make(chan os.Signal), make(chan struct{})
		defer close(done)
		var steps atomic.Int32
		step := func() { steps.Add(1) }
		go follow(done, came, new(atomic.Int32), step, step, step)
		for n := range int32(3) {
			came <- syscall.SIGTERM
			synctest.Wait()
			if got := steps.Load(); got != n+1 {
				t.Errorf("%d steps after %d signals", got, n+1)
			}
			<-time.After(2 * sameSignal) // of the bubble's clock
		}
	})
}

// TestWhatWasCutEndsSoon: at the second signal the process is given cutTime, and no more.
func TestWhatWasCutEndsSoon(t *testing.T) {
	for _, ends := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			done, cut := make(chan struct{}), make(chan struct{})
			var late atomic.Bool
			go endLate(done, cut, func() { late.Store(true) })
			close(cut)
			<-time.After(cutTime - 1)
			if late.Load() {
				t.Error("it ended before its time")
			}
			if ends {
				close(done)
			}
			<-time.After(1)
			synctest.Wait()
			if late.Load() == ends {
				t.Errorf("ended by force: %v, ends by itself: %v", late.Load(), ends)
			}
		})
	}
}
