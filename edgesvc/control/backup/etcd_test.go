package backup_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mezusphere/mezu/edgesvc/control/backup"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/etcd"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest/inprocess"
)

// S6: a backup moves an installation from either driver to the other, taken while it
// is written, and what is restored goes on from the revisions that it had.
func TestS6_BetweenDrivers(t *testing.T) {
	t.Parallel()
	cluster := inprocess.Start(t)
	n := 0
	newEtcd := func() store.Store {
		n++
		db, err := etcd.Open(t.Context(), etcd.Options{Endpoints: cluster.Endpoints, TLS: cluster.TLS(), Namespace: fmt.Sprint("store", n)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	t.Run("etcd to Badger", func(t *testing.T) {
		oneStateUnderLoad(t, newEtcd(), func() store.Store { return newStore(t) })
	})
	t.Run("Badger to etcd", func(t *testing.T) { oneStateUnderLoad(t, newStore(t), newEtcd) })
	t.Run("goes on", func(t *testing.T) {
		from, to, key := newStore(t), newEtcd(), newKey(t)
		for i := range 5 {
			put(t, from, store.Op{Key: "a", Value: []byte{byte(i)}})
		}
		if _, err := backup.Restore(t.Context(), bytes.NewReader(write(t, source(from, key))), target(to, key)); err != nil {
			t.Fatal(err)
		}
		_, err := to.Commit(t.Context(), store.Txn{Checks: []store.Check{{Key: "a", Revision: 5}}, Ops: []store.Op{{Key: "a", Value: []byte("next")}}})
		if err != nil {
			t.Fatal(err)
		}
		if rec, err := to.Get(t.Context(), "a"); err != nil || rec.Revision != 6 {
			t.Errorf("revision %d, %v", rec.Revision, err)
		}
	})
}
