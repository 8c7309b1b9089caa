package main

import (
	"slices"
	"testing"
	"time"
)

func TestHop(t *testing.T) {
	begin := time.Now()
	h := newHop(0, 1, 0)
	const bytes = 2500 // 100 µs of the link
	const each = 100 * time.Microsecond
	for i := range 3 {
		if at, arrives := h.take(begin, bytes); !arrives || at.Sub(begin) != linkDelay+time.Duration(i+1)*each {
			t.Errorf("packet %d takes %v (%v)", i, at.Sub(begin), arrives)
		}
	}
	waiting := 3
	for {
		if _, arrives := h.take(begin, bytes); !arrives {
			break
		}
		waiting++
	}
	if want := int(linkQueue/each) + 1; waiting != want {
		t.Errorf("%d packets found room, want %d", waiting, want)
	}
	later := begin.Add(time.Second)
	if at, arrives := h.take(later, bytes); !arrives || at.Sub(later) != linkDelay+each {
		t.Errorf("a packet on an empty link takes %v (%v)", at.Sub(later), arrives)
	}
}

// TestHop_LosesTheSame: from one seed the same packets are lost, each way others.
func TestHop_LosesTheSame(t *testing.T) {
	const packets = 10_000
	fates := func(seed, way uint64) (lost []int) {
		h := newHop(linkLoss, seed, way)
		for i := range packets {
			if _, arrives := h.take(time.Now().Add(time.Duration(i)*time.Second), 1); !arrives {
				lost = append(lost, i)
			}
		}
		return lost
	}
	one := fates(1, 0)
	if n := len(one); n < packets/200 || n > packets/50 {
		t.Errorf("%d of %d packets are lost, want about one of a hundred", n, packets)
	}
	if !slices.Equal(one, fates(1, 0)) || slices.Equal(one, fates(1, 1)) || slices.Equal(one, fates(2, 0)) {
		t.Error("what is lost does not follow seed and way")
	}
}
