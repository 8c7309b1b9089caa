package service

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// counter takes the events of a stream and ends it after the snapshot.
type counter struct{ sent int }

func (c *counter) KeepAlive() error { return nil }
func (c *counter) End()             {}
func (c *counter) Send(e api.StreamEvent) error {
	c.sent++
	if e.Kind == api.StreamSynced {
		return record.ErrGone
	}
	return nil
}

// BenchmarkRevocations is what an edge's stream costs with 200,000 revocations in force:
// one that resumes at the present, and one that gets everything.
func BenchmarkRevocations(b *testing.B) {
	const many = 200_000
	p := newPool(b, nil)
	p.now = p.now.Truncate(time.Millisecond)
	signature, err := p.records.Authority.Sign(mezu.PurposeRevocation, mezu.Revocation{})
	if err != nil {
		b.Fatal(err)
	}
	id := make([]byte, 13)
	for i := 0; i < many; {
		var txn store.Txn
		for range store.MaxOps {
			rand.Read(id)
			at := mezu.Position{Epoch: p.records.Epoch, Revision: uint64(i + 1)}
			r := mezu.Revocation{Position: at, Kind: mezu.RevokeUser, Subject: "usr_" + hex.EncodeToString(id), Scope: p.dir.ID, NotBefore: p.now, Until: p.now.Add(mezu.MaxGrantLife)}
			doc := signature
			doc.Payload, _ = record.Encode(r)
			signed, _ := record.Encode(doc)
			value, err := record.Encode(record.StreamRecord{StreamHead: record.StreamHead{Kind: api.StreamRevocation, Position: at, Until: r.Until, NotBefore: r.NotBefore}, Signed: record.Blob{Inline: signed}, KeyID: doc.KeyID})
			if err != nil {
				b.Fatal(err)
			}
			txn.Ops = append(txn.Ops, store.Op{Key: record.KeyRevocation(r.Kind, "org_a", p.dir.ID, r.Subject), Value: value})
			i++
		}
		if _, err := p.cfg.Store.Commit(b.Context(), txn); err != nil {
			b.Fatal(err)
		}
	}
	head := mezu.Position{Epoch: p.records.Epoch, Revision: many + 1000}
	if _, err := p.records.Commit(b.Context(), record.Internal(), func(ch *record.Change) error { ch.Put("meta/revision", head.Revision); return nil }); err != nil {
		b.Fatal(err)
	}
	for name, from := range map[string]mezu.Position{"resumed": head, "everything": {}} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			for b.Loop() {
				var out counter
				if err := p.StreamEdge(b.Context(), access.Caller{Kind: access.Edge}, from, &out); err != record.ErrGone {
					b.Fatal(err)
				}
			}
		})
	}
}
