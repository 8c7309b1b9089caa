package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu/cli/exit"
)

// cutTime is how long what was cut may take to end. All that still hangs then hangs for good: on
// a disk that doesn't answer, for example.
const cutTime = 2 * time.Second

// endAtOnce ends the process, past everything that waits. Whoever stores something must bear
// this, as it must bear a kill.
func endAtOnce() {
	said := make(chan struct{})
	go func() {
		defer close(said)
		fmt.Fprintf(os.Stderr, "%s: ended at once, as the signals asked for, with work left undone\n", strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"))
	}()
	select {
	case <-said:
	case <-time.After(sameSignal): // nobody reads it
	}
	os.Exit(exit.Interrupted)
}

// endLate ends the process when what was cut has not ended in time.
func endLate(done, cut <-chan struct{}, end func()) {
	select {
	case <-cut:
	case <-done:
		return
	}
	timer := time.NewTimer(cutTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		end()
	case <-done:
	}
}
