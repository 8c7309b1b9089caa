package service

import (
	"log/slog"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store/sealed/sealedtest"
)

// stalled takes one event of a stream and returns when the stream is ended.
type stalled struct {
	sent  int
	ended chan struct{}
}

func (s *stalled) KeepAlive() error { return nil }
func (s *stalled) End()             { close(s.ended) }
func (s *stalled) Send(api.StreamEvent) error {
	s.sent++
	<-s.ended
	return nil
}

// K2: an edge that is removed while it gets the snapshot, which may take minutes, gets
// no more of it, and doesn't hold the stream open by taking nothing.
func TestK2_SnapshotEndsWithItsEdge(t *testing.T) {
	now := time.Now()
	r := &Records{store: sealedtest.Open(t), epoch: 1, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
	s := &Fleet{records: r}
	id := mezu.NewID(mezu.PrefixEdge, now)
	_, err := r.commit(t.Context(), internal(), func(ch *change) error {
		ch.create(keyRevision, uint64(9))
		ch.create(keyID(id), keyEdge("edge-1"))
		ch.create(keyEdge("edge-1"), edge{Certificates: []certificate{{Serial: "1", NotAfter: now.Add(time.Hour)}}})
		for i, name := range []string{"a", "b", "c"} {
			ch.create(keyBundle(name), streamRecord{streamHead: streamHead{Kind: api.StreamBundle, Position: mezu.Position{Epoch: 1, Revision: uint64(i + 1)}}, Signed: blob{Inline: []byte("{}")}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := &stalled{ended: make(chan struct{})}
	_, err = r.commit(t.Context(), internal(), func(ch *change) error {
		ch.drop(keyEdge("edge-1"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.StreamEdge(t.Context(), Caller{Kind: Edge, ID: id, serial: "1", ExpiresAt: now.Add(time.Hour)}, mezu.Position{}, out)
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated || out.sent != 1 {
		t.Errorf("%d events after the edge was removed: %v", out.sent-1, err)
	}
}
