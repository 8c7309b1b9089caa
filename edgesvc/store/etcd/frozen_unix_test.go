//go:build unix

package etcd_test

import (
	"testing"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest"
	"github.com/mezusphere/mezu/edgesvc/store/storetest"
)

// A frozen member keeps its connections and answers nothing: the others are asked.
func TestFrozenMember(t *testing.T) {
	c := etcdtest.StartProcesses(t)
	db := openHasty(t, c, "")
	commit(t, db, put("a", "1"))
	thaw := c.Freeze((c.Leader() + 1) % etcdtest.Members)
	defer thaw()
	for range 6 {
		if _, err := db.Get(t.Context(), "a"); err != nil {
			t.Errorf("Get: %v", err)
		}
	}
	storetest.Until(t, "writes to go on", func() bool {
		_, err := db.Commit(t.Context(), store.Txn{Ops: []store.Op{put("a", "2")}})
		return err == nil
	})
}
