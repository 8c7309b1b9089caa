package fleet

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/record/recordtest"
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
	r := recordtest.Open(t, func() time.Time { return now }, nil)
	s := New(r, access.New(r), Config{Domain: "localhost"})
	id := mezu.NewID(mezu.PrefixEdge, now)
	_, err := r.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		ch.Put("meta/revision", uint64(9))
		ch.Create(record.KeyID(id), keyEdge("edge-1"))
		ch.Create(keyEdge("edge-1"), edge{Certificates: []Certificate{{Serial: "1", NotAfter: now.Add(time.Hour)}}})
		for i, name := range []string{"a", "b", "c"} {
			ch.Create(record.KeyBundle(name), record.StreamRecord{StreamHead: record.StreamHead{Kind: api.StreamBundle, Position: mezu.Position{Epoch: 1, Revision: uint64(i + 1)}}, Signed: record.Blob{Inline: []byte("{}")}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := &stalled{ended: make(chan struct{})}
	_, err = r.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		ch.Drop(keyEdge("edge-1"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.StreamEdge(t.Context(), access.Caller{Kind: access.Edge, ID: id, Serial: "1", ExpiresAt: now.Add(time.Hour)}, mezu.Position{}, out)
	if mezu.CodeOf(err) != mezu.CodeUnauthenticated || out.sent != 1 {
		t.Errorf("%d events after the edge was removed: %v", out.sent-1, err)
	}
}
