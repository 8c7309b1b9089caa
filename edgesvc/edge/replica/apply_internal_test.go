package replica

import (
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/labels"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
	"github.com/mezusphere/mezu/trust/statedir"
)

// notes are certificates of which is noted what is asked of them.
type notes struct{ said []string }

func (n *notes) Add(label string)    { n.said = append(n.said, "add "+label) }
func (n *notes) Drop(label string)   { n.said = append(n.said, "drop "+label) }
func (n *notes) Remove(label string) { n.said = append(n.said, "remove "+label) }
func (n *notes) Order(label string)  { n.said = append(n.said, "order "+label) }
func (n *notes) Retry()              {}

// A host and its certificate go together, before anything is written.
func TestCertificateGoesWithItsHost(t *testing.T) {
	said := &notes{}
	r := New(Config{Identity: domain{suffix: ".edge.example"}, Certificates: said, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	b := &mezu.Bundle{Environment: "env_1", Endpoint: "shop", Position: mezu.Position{Epoch: 1, Revision: 1}}
	r.show(&judged{bundle: b, table: &policy.Table{}})
	gone := *b
	gone.Removed, gone.Position.Revision = true, 2
	if freed := r.show(&judged{bundle: &gone}); freed != "shop" {
		t.Errorf("freed %q", freed)
	}
	if got := strings.Join(said.said, ", "); got != "add shop, drop shop" {
		t.Errorf("the certificates were told: %s", got)
	}
}

// Under another domain no connection keeps what it found under the one before.
func TestMove(t *testing.T) {
	r := &Replica{cfg: Config{Identity: domain{suffix: ".old.example"}}, hosts: labels.New[endpoint]()}
	table := &policy.Table{}
	e := &endpoint{label: "shop", environment: "env_1"}
	e.site.Set(table)
	r.hosts.Put("shop", e)
	before := r.Site("shop.old.example")
	r.cfg.Identity = domain{suffix: ".new.example"}
	r.Move()
	if before.Table() != nil || r.Site("shop.old.example") != nil {
		t.Error("something is in force for a host of the domain before")
	}
	if r.Host("shop.new.example") != table || r.hosts.Get("shop").environment != "env_1" {
		t.Error("the endpoint is not served under its new host")
	}
}

// When too many statements wait, the revocations that came before them are written first.
func TestFullQueueWritesRevocationsFirst(t *testing.T) {
	path := t.TempDir()
	dir, err := statedir.Open(statedir.Config{Path: path, Owner: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	anchor := trust.New(make(ed25519.PublicKey, ed25519.PublicKeySize), time.Now)
	log, _, err := ledger.Open(filepath.Join(path, revocationsLog), anchor, time.Now, ledger.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r := &Replica{dir: dir, revoked: log, log: slog.New(slog.DiscardHandler)}
	rev := &mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "beef", Until: time.Now().Add(time.Hour)}
	if added, err := log.Add(anchor, rev, mezu.Signed{Purpose: mezu.PurposeRevocation}); !added || err != nil {
		t.Fatal(added, err)
	}
	for range 1023 {
		r.saveStatementSoon(filepath.Join("nowhere", mezu.NewID(mezu.PrefixEnvironment, time.Now())), mezu.Signed{})
	}
	if waits, _ := log.Unwritten(); !waits {
		t.Fatal("the log was written before the queue is full")
	}
	r.saveStatementSoon(filepath.Join("nowhere", "last"), mezu.Signed{})
	if waits, failed := log.Unwritten(); waits || failed {
		t.Error("statements were written before the revocations that came before them")
	}
}
