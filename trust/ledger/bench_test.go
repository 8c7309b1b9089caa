package ledger_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
)

// BenchmarkStart is what a start takes with 200,000 revocations in force, and how much
// of the heap they and what is believed of them hold; BenchmarkFeed what it takes to read
// all of them for one Warpgate.
func BenchmarkStart(b *testing.B) {
	path := fill(b)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		anchor := trust.New(nil, nil)
		l, _, err := ledger.Open(path, anchor, time.Now, ledger.Mark{})
		if err != nil || l.Len() != crowd {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB/held")
		runtime.KeepAlive(anchor)
		l.Close()
		b.StartTimer()
	}
}

func BenchmarkFeed(b *testing.B) {
	l, _, err := ledger.Open(fill(b), trust.New(nil, nil), time.Now, ledger.Mark{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		f := l.Feed()
		f.Follow([]string{"", "env_a", "dir_a"}, mezu.Position{})
		n := 0
		for docs, err := f.Next(128); len(docs) > 0; docs, err = f.Next(128) {
			if err != nil {
				b.Fatal(err)
			}
			n += len(docs)
		}
		if n != crowd {
			b.Fatal(n)
		}
	}
}

const crowd = 200_000

// fill makes a log of as many.
func fill(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "revocations.log")
	anchor := trust.New(nil, nil)
	l, _, err := ledger.Open(path, anchor, time.Now, ledger.Mark{})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range crowd {
		r := mezu.Revocation{Position: mezu.Position{Epoch: 1, Revision: uint64(i + 1)}, Kind: mezu.RevokeUser, Subject: fmt.Sprintf("usr_%026d", i), Scope: "dir_a", NotBefore: now, Until: now.Add(mezu.MaxGrantLife)}
		payload, err := json.Marshal(r)
		if err == nil {
			_, err = l.Add(anchor, &r, mezu.Signed{Purpose: mezu.PurposeRevocation, KeyID: "key_00000000000000000000000000", Payload: payload, Signature: make([]byte, 64)})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}
