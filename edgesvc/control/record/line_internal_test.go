package record

import (
	"context"
	"errors"
	"testing"
)

// Row 2 of the attacks: who sends many large changes waits behind his own, and who hangs
// up waits no more.
func TestLine(t *testing.T) {
	l := newLine()
	leave, err := l.publish(t.Context(), "loud")
	if err != nil {
		t.Fatal(err)
	}
	gone, hangUp := context.WithCancel(t.Context())
	const many = 20
	ended := make(chan error, many)
	for range many {
		go func() {
			_, err := l.publish(gone, "loud")
			ended <- err
		}()
	}
	// Another caller is next, however many of the loud one's wait.
	next := make(chan func())
	go func() {
		leave, err := l.publish(t.Context(), "quiet")
		if err != nil {
			t.Error(err)
		}
		next <- leave
	}()
	own, err := l.own(t.Context(), "a third") // nothing to publish: no turn of all
	if err != nil {
		t.Fatal(err)
	}
	own()
	hangUp()
	for range many {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	leave()
	(<-next)()
	leave, err = l.publish(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if len(l.callers) != 0 || len(l.turn) != 0 {
		t.Errorf("%v are left", l.callers)
	}
}
