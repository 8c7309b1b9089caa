package etcd

import (
	"context"
	"testing"
	"time"
)

// Commits that go on while a watch begins don't hold it up: the feed is always a
// little behind them.
func TestCatchUp_WhileCommitting(t *testing.T) {
	db := &DB{callTime: time.Hour}
	db.history.init(1)
	db.committed.Store(5)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	begun := make(chan struct{})
	done := make(chan error, 1)
	go func() { close(begun); done <- db.catchUp(ctx) }()
	<-begun
	for revision := int64(2); ; revision++ {
		db.committed.Store(revision + 100)
		db.history.append([]*commit{{revision: revision}})
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("at revision %d: %v", revision, err)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Watchers that fell behind together read the past once.
func TestReplay_Shared(t *testing.T) {
	db := &DB{ctx: t.Context()}
	db.replays.init()
	db.replays.after = 10
	for r := int64(12); r < 20; r += 2 {
		db.replays.commits = append(db.replays.commits, &commit{revision: r})
	}
	// There is no client: what is not at hand would panic.
	for after, first := range map[int64]int64{10: 12, 11: 12, 12: 14, 13: 14, 17: 18} {
		got, err := db.replay(t.Context(), after)
		if err != nil || len(got) == 0 || got[0].revision != first {
			t.Errorf("after %d: %v, %v; want %d first", after, got, err, first)
		}
	}
	<-db.replays.turn // somebody reads
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.replay(ctx, 10); err == nil {
		t.Error("an ended watch waits for its turn")
	}
}
