package e2e

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// soakVariable asks for the long form of tests, as make soak does.
const soakVariable = "MEZU_SOAK"

// oldLog is an audit log of which a part is due for the archive, in the state of a
// control plane that doesn't run.
type oldLog struct {
	w     *world
	dir   string // of the control plane's state
	store *sealed.Store
	scope int             // how many scopes were made
	all   map[string]bool // the ids of all records
}

// opened does something with the store of the control plane, which doesn't run.
func (o *oldLog) opened(do func()) {
	o.w.t.Helper()
	var db *badger.DB
	// A process that another test starts holds the lock of the last opening until its exec.
	eventually(o.w.t, "the store to open", func() (err error) {
		db, err = badger.Open(badger.Options{Dir: filepath.Join(o.dir, "store"), Ballast: -1})
		return err
	})
	var err error
	o.store, err = sealed.Open(o.w.t.Context(), db, sealed.Options{Wrapper: seal.NewWrapper(filepath.Join(o.dir, "seal.key")), Plain: format.Plain})
	if err != nil {
		o.w.t.Fatal(err)
	}
	do()
	if err := o.store.Close(); err != nil {
		o.w.t.Fatal(err)
	}
}

// write writes records of a scope, of nine days ago and before.
func (o *oldLog) write(scope string, n int) {
	o.w.t.Helper()
	var ops []store.Op
	for i := range n {
		at := time.Now().Add(-9*24*time.Hour - time.Duration(n-i)*time.Second)
		r := mezu.AuditRecord{ID: mezu.NewAuditID(at), Time: at.UTC(), Operation: "create-project", Outcome: mezu.AuditDone, Actor: mezu.AuditActor{Kind: "operator"}}
		if scope != audit.Installation {
			r.Organization = scope
		}
		value, err := json.Marshal(r)
		if err != nil {
			o.w.t.Fatal(err)
		}
		ops = append(ops, store.Op{Key: audit.Key(r), Value: value})
		o.all[r.ID] = true
	}
	var writing sync.WaitGroup
	for len(ops) > 0 {
		batch := ops[:min(len(ops), store.MaxOps)]
		ops = ops[len(batch):]
		writing.Go(func() {
			if _, err := o.store.Commit(o.w.t.Context(), store.Txn{Ops: batch}); err != nil {
				o.w.t.Error(err)
			}
		})
	}
	writing.Wait()
}

// due counts the records in the store that are to be archived.
func (o *oldLog) due() (n int) {
	o.w.t.Helper()
	limit := mezu.AuditIDAt(time.Now().Add(-8 * 24 * time.Hour))
	for token := ""; ; {
		page, err := o.store.List(o.w.t.Context(), "audit/", token, store.MaxPage)
		if err != nil {
			o.w.t.Fatal(err)
		}
		for _, r := range page.Records {
			if r.Key[strings.LastIndexByte(r.Key, '/')+1:] < limit {
				n++
			}
		}
		if token = page.Next; token == "" {
			return n
		}
	}
}

// more makes sure that a kill comes while there is work.
func (o *oldLog) more() {
	const scopes, each, least = 20, 300, 3000
	if o.due() >= least {
		return
	}
	for range scopes {
		o.scope++
		o.write(fmt.Sprintf("org_%09d", o.scope), each)
	}
}

// vacate ends what the killed process left under a lease, as time would.
func (o *oldLog) vacate() {
	o.w.t.Helper()
	if _, err := o.store.Commit(o.w.t.Context(), store.Txn{Ops: []store.Op{{Key: "meta/lead/sweep", Delete: true}, {Key: "meta/done/sweep", Delete: true}}}); err != nil {
		o.w.t.Fatal(err)
	}
}

func (o *oldLog) archive() string { return filepath.Join(o.dir, "archive") }

// whole checks that a query finds each record once, in the store or in the archive.
func (o *oldLog) whole() {
	o.w.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, "trust-root.pub"))
	if err != nil {
		o.w.t.Fatal(err)
	}
	root, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		o.w.t.Fatal(err)
	}
	log, err := audit.Open(o.w.t.Context(), audit.Config{Store: o.store, Archive: archive.New(o.archive(), ed25519.PublicKey(root)), Now: time.Now})
	if err != nil {
		o.w.t.Fatal(err)
	}
	seen := map[string]bool{}
	scopes := []string{audit.Installation}
	for i := range o.scope {
		scopes = append(scopes, fmt.Sprintf("org_%09d", i+1))
	}
	for _, scope := range scopes {
		for after := ""; ; {
			page, err := log.Read(o.w.t.Context(), audit.Query{Scope: scope, Oldest: true}, after, store.MaxPage)
			if err != nil || len(page.Damaged) > 0 {
				o.w.t.Fatalf("reading the log of %s: %v, %v", scope, err, page.Damaged)
			}
			for _, r := range page.Records {
				if seen[r.ID] {
					o.w.t.Errorf("%s of %s is there twice", r.ID, scope)
				}
				seen[r.ID] = true
			}
			if after = page.Next; after == "" {
				break
			}
		}
	}
	lost := 0
	for id := range o.all {
		if !seen[id] {
			lost++
		}
	}
	if lost > 0 {
		o.w.t.Errorf("%d of %d records are lost", lost, len(o.all))
	}
}

// segments counts the files of the archive.
func (o *oldLog) segments() int {
	found, err := filepath.Glob(filepath.Join(o.archive(), "*", "*.seg"))
	if err != nil {
		o.w.t.Fatal(err)
	}
	return len(found)
}

// verify runs mezusphere audit verify.
func (o *oldLog) verify() {
	o.w.t.Helper()
	o.w.operate(0, "audit", "verify", "--trust-root", filepath.Join(o.dir, "trust-root.pub"), o.archive())
}

// TestS1_KillWhileArchiving kills a control plane at random moments while it moves
// records of its audit log to the archive: each time the archive verifies, and of all
// records none is lost and none is there twice.
func TestS1_KillWhileArchiving(t *testing.T) {
	t.Parallel()
	kills := 20
	if os.Getenv(soakVariable) != "" {
		kills = 100
	}
	// Some kills come while a segment is written, most while records are removed.
	const window = 80 * time.Millisecond
	w := newWorld(t, 0, open)
	w.control.down(false)
	o := &oldLog{w: w, dir: filepath.Join(w.dir, "control"), all: map[string]bool{}}
	o.opened(func() { o.write(audit.Installation, 1500) })
	for range kills {
		o.opened(func() {
			o.more()
			o.vacate()
		})
		before := o.segments()
		w.startControl()
		eventually(t, "a segment", func() error {
			if o.segments() == before {
				return fmt.Errorf("still %d", before)
			}
			return nil
		})
		<-time.After(rand.N(window))
		w.control.kill()
		o.verify()
		o.opened(func() {
			if o.due() == 0 {
				t.Error("all was archived before the kill")
			}
			o.whole()
		})
	}
	o.opened(o.vacate)
	w.startControl()
	eventually(t, "the rest to be archived", func() error {
		scopes, err := archive.New(o.archive(), nil).Scopes()
		if err == nil && len(scopes) < o.scope+1 {
			err = fmt.Errorf("%d of %d scopes", len(scopes), o.scope+1)
		}
		return err
	})
	w.control.down(false)
	o.verify()
	o.opened(o.whole)
	t.Logf("%d records in %d segments after %d kills", len(o.all), o.segments(), kills)
}
