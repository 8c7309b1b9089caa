package statedir

import (
	"errors"
	"fmt"
	"testing"
)

func TestWaiting(t *testing.T) {
	var w queue
	w.init()
	w.put("a", []byte("1"), false)
	if n := w.put("a", []byte("2"), false); n != 1 {
		t.Fatalf("%d files wait, one was put twice", n)
	}
	files, contents := w.take(w.last(), false)
	if len(files) != 1 || string(contents[0].data) != "2" {
		t.Fatalf("took %v", files)
	}
	// While it is written, a later content comes: it goes on waiting.
	w.put("a", []byte("3"), false)
	if news := w.written("a", contents[0], nil); news || w.idle() || w.len() != 1 {
		t.Error("a write settled what came after it")
	}
	_, contents = w.take(w.last(), false)
	if !w.written("a", contents[0], errors.New("no space")) || !w.idle() || w.len() != 1 {
		t.Error("a failure is no news, or ends the waiting")
	}
	if w.written("a", contents[0], errors.New("no space")) {
		t.Error("a failure is news twice")
	}
	if files, _ = w.take(w.last(), false); len(files) != 0 {
		t.Error("what was tried in vain is tried at once again")
	}
	if files, contents = w.take(w.last(), true); len(files) != 1 || w.written("a", contents[0], nil) || w.len() != 0 {
		t.Error("the next try does not count")
	}
	before := w.last()
	for i := range 2 * maxBatch {
		w.put(fmt.Sprint(i), nil, false)
	}
	if files, _ = w.take(before, true); len(files) != 0 {
		t.Error("took what came after the order")
	}
	if files, _ = w.take(w.last(), true); len(files) != maxBatch {
		t.Errorf("took %d at once", len(files))
	}
	for i := range 2 * maxBatch {
		w.remove(fmt.Sprint(i))
	}
	if !w.idle() || w.len() != 0 {
		t.Error("what was removed waits")
	}
}

func TestSaveSoonReportsThatItIsFull(t *testing.T) {
	d := &Dir{}
	d.queue.init()
	for i := range maxUntried {
		if full := d.SaveSoon(fmt.Sprint(i), nil); full != (i == maxUntried-1) {
			t.Fatalf("full %t with %d files", full, i+1)
		}
	}
	if d.Waiting() != maxUntried {
		t.Errorf("%d files wait", d.Waiting())
	}
}
