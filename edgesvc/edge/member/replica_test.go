package member_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/edge/member"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is a log that a test can read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) has(s string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), s)
}

// edge is a replica under test.
type edge struct {
	*member.Member
	t      *testing.T
	cfg    member.Config
	log    *journal
	cancel context.CancelFunc
	ended  chan error

	mu          sync.Mutex
	documents   []string // environment and kind, as they came
	revocations []string
	presence    []mezu.Presence
	contents    map[string]*mezu.EdgeContent
}

// configure makes the configuration of an edge of this control plane.
func (c *control) configure(dir string) member.Config {
	return member.Config{Control: c.server.URL, CAFile: c.caFile, StateDir: dir, Name: "edge-1", TunnelAddress: "127.0.0.1:8444",
		Version: "test", Now: c.clock.Now}
}

// open opens a replica without running it.
func open(t *testing.T, cfg member.Config) *edge {
	t.Helper()
	e := &edge{t: t, log: &journal{}, contents: map[string]*mezu.EdgeContent{}}
	cfg.Log = slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.OnStatement = func(environment string, doc mezu.Signed) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.documents = append(e.documents, environment+" "+string(doc.Purpose))
	}
	cfg.OnRevocation = func(r *mezu.Revocation, _ mezu.Signed) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.revocations = append(e.revocations, r.Subject)
	}
	cfg.OnContent = func(environment string, content *mezu.EdgeContent) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.contents[environment] = content
	}
	cfg.Presence = func() []mezu.Presence {
		e.mu.Lock()
		defer e.mu.Unlock()
		return slices.Clone(e.presence)
	}
	e.cfg = cfg
	r, err := member.Open(cfg)
	must(t, err)
	e.Member = r
	t.Cleanup(func() {
		e.stop()
		if t.Failed() {
			t.Logf("log of the edge:\n%s", e.log.text.String())
		}
	})
	return e
}

func (e *edge) run() {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel, e.ended = cancel, make(chan error, 1)
	go runEdge(ctx, e.Member, e.ended)
}

func runEdge(ctx context.Context, r *member.Member, ended chan<- error) { ended <- r.Run(ctx) }

// stop ends and closes the replica; it may be called again.
func (e *edge) stop() {
	if e.cancel != nil {
		e.cancel()
		if err := <-e.ended; err != nil {
			e.t.Errorf("run ended with %v", err)
		}
		e.cancel = nil
	}
	must(e.t, e.Close())
}

// startEdge runs an edge that enrols first, and waits until it is ready.
func (c *control) startEdge(dir string) *edge {
	c.t.Helper()
	cfg := c.configure(dir)
	cfg.JoinToken = func() (string, error) { return c.token(), nil }
	e := open(c.t, cfg)
	e.run()
	eventually(c.t, "edge is in step", e.Ready)
	return e
}

// told are the revocations that a Warpgate of the environment gets which knows none.
func (e *edge) told(environment string) (out []mezu.Revocation) {
	e.t.Helper()
	feed := e.Revocations(environment, mezu.Told{})
	for docs := feed.Next(2); len(docs) > 0; docs = feed.Next(2) {
		for _, doc := range docs {
			rev, err := e.Trust().OpenRevocation(doc)
			must(e.t, err)
			out = append(out, *rev)
		}
	}
	return out
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		tick := time.NewTimer(5 * time.Millisecond)
		<-tick.C
		runtime.Gosched()
	}
}

func newEnvironment() string { return mezu.NewID(mezu.PrefixEnvironment, time.Now()) }

// serves reports whether the host is served from this position.
func (e *edge) serves(label string, at mezu.Position) bool {
	table := e.Host(label + "." + testDomain)
	return table != nil && table.Position() == at
}

func TestFollowsTheControlPlane(t *testing.T) {
	c := newControl(t)
	env, other := newEnvironment(), newEnvironment()
	first := c.bundle(env, "shop-acme", "/")
	e := c.startEdge(t.TempDir())
	eventually(t, "first bundle is served", func() bool { return e.serves("shop-acme", first) })
	if e.ID() == "" || e.Domain() != testDomain || e.Trust() == nil {
		t.Fatalf("identity is incomplete: id %q, domain %q", e.ID(), e.Domain())
	}
	c.edges(e.ID())
	second := c.bundle(env, "shop-acme", "/", "/api/")
	third := c.bundle(other, "blog-acme", "/")
	eventually(t, "changes are served", func() bool { return e.serves("shop-acme", second) && e.serves("blog-acme", third) })
	for _, host := range []string{testDomain, "." + testDomain, "x." + testDomain, "shop-acme.other.example", "shop-acme", "a.shop-acme." + testDomain, ""} {
		if e.Host(host) != nil {
			t.Errorf("host %q is served", host)
		}
	}
	var kinds []mezu.Purpose
	for _, d := range e.Statements(env) {
		kinds = append(kinds, d.Purpose)
	}
	if want := []mezu.Purpose{mezu.PurposeKeyset, mezu.PurposeEdges, mezu.PurposeBundle}; !slices.Equal(kinds, want) {
		t.Errorf("documents of the environment are %v, want %v", kinds, want)
	}
	eventually(t, "position is reported", func() bool {
		return look(c, func() bool { return len(c.reports) > 0 && c.reports[len(c.reports)-1].Applied == third })
	})
	m := e.Metrics()
	if m.Environments != 2 || !m.Connected || m.Applied != third || m.CertificateNotAfter.IsZero() || m.Rejected != 0 {
		t.Errorf("metrics are %+v", m)
	}
	if e.Head() != third {
		t.Errorf("head is %s, want %s", e.Head(), third)
	}
}

func TestHostAllocatesNothing(t *testing.T) {
	c := newControl(t)
	at := c.bundle(newEnvironment(), "shop-acme", "/")
	e := c.startEdge(t.TempDir())
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", at) })
	host, unknown := "shop-acme."+testDomain, "nobody."+testDomain
	if n := testing.AllocsPerRun(1000, func() {
		if e.Host(host) == nil || e.Host(unknown) != nil {
			t.Error("wrong table")
		}
	}); n >= 1 {
		t.Errorf("%v allocations for a look-up", n)
	}
}

func TestResumesWithoutGap(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	e := c.startEdge(t.TempDir())
	at := c.bundle(env, "shop-acme", "/")
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", at) })
	c.stop()
	// While it is away two environments change.
	second, other := newEnvironment(), newEnvironment()
	at2, at3 := c.bundle(second, "two-acme", "/"), c.bundle(other, "three-acme", "/")
	c.restart()
	eventually(t, "what happened meanwhile is served", func() bool { return e.serves("two-acme", at2) && e.serves("three-acme", at3) })
	last := look(c, func() mezu.Position { return c.resumed[len(c.resumed)-1] })
	if last != at {
		t.Errorf("stream resumed from %s, want %s", last, at)
	}
	if e.Metrics().Reconnects == 0 {
		t.Error("the reconnect is not counted")
	}
}

func TestBadDocumentsKeepTheLastGoodOne(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	good := c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", good) })

	altered := newBundle(env, "shop-acme", "/", "/open/")
	altered.Position = mezu.Position{Epoch: 1, Revision: 1000}
	signed := c.sign(mezu.PurposeBundle, altered)
	signed.Payload = bytes.Replace(signed.Payload, []byte("/open/"), []byte("/Open/"), 1)
	badRoute := newBundle(env, "shop-acme")
	badRoute.Position = mezu.Position{Epoch: 1, Revision: 1001}
	badRoute.Routes = []mezu.Route{{Regexp: "/(["}}
	other := c.sign(mezu.PurposeEdges, mezu.EdgeList{Position: mezu.Position{Epoch: 1, Revision: 1002}})

	for name, doc := range map[string]mezu.Signed{
		"altered":       signed,
		"bad regexp":    c.sign(mezu.PurposeBundle, badRoute),
		"other purpose": other,
		"empty":         {},
	} {
		before := e.Metrics().Rejected
		c.raw("bad", api.StreamBundle, doc)
		eventually(t, name+" is counted", func() bool { return e.Metrics().Rejected == before+1 })
		if !e.serves("shop-acme", good) {
			t.Fatalf("%s: the last good bundle is gone", name)
		}
	}
	next := c.bundle(env, "shop-acme", "/", "/x/")
	eventually(t, "a good one is served again", func() bool { return e.serves("shop-acme", next) })

	// What was rejected is asked for again after a restart.
	e.stop()
	again := open(t, e.cfg)
	again.run()
	eventually(t, "everything is asked for", func() bool {
		return look(c, func() bool { return c.resumed[len(c.resumed)-1].IsZero() })
	})
}

func TestRollbackIsRefusedUnlessTheEpochRises(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/old/")
	old := look(c, func() statement { return c.statements[0] })
	good := c.bundle(env, "shop-acme", "/")
	e := c.startEdge(t.TempDir())
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", good) })

	c.raw("old", api.StreamBundle, old.signed)
	eventually(t, "the older one is counted", func() bool { return e.Metrics().Backwards == 1 })
	if !e.serves("shop-acme", good) || e.Metrics().Rejected != 0 {
		t.Fatal("an older bundle took effect")
	}
	// Another statement at the position of the one in force is a forgery of history.
	twin := newBundle(env, "shop-acme", "/twin/")
	twin.Position = good
	c.raw("twin", api.StreamBundle, c.sign(mezu.PurposeBundle, twin))
	eventually(t, "the twin is counted", func() bool { return e.Metrics().Rejected == 1 })

	c.mu.Lock()
	c.at = mezu.Position{Epoch: 2}
	c.mu.Unlock()
	raised := c.bundle(env, "shop-acme", "/restored/")
	eventually(t, "a lower revision of a higher epoch is served", func() bool { return e.serves("shop-acme", raised) })
}

func TestRestoredControlPlaneDeletesNothing(t *testing.T) {
	c := newControl(t)
	kept, lost := newEnvironment(), newEnvironment()
	c.bundle(kept, "kept-acme", "/")
	early := look(c, func() []statement { return slices.Clone(c.statements) })
	earlyAt := look(c, func() mezu.Position { return c.at })
	now := c.bundle(kept, "kept-acme", "/", "/new/")
	at := c.bundle(lost, "lost-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "both are served", func() bool { return e.serves("lost-acme", at) && e.serves("kept-acme", now) })

	c.stop()
	c.mu.Lock()
	c.statements, c.at = early, earlyAt
	c.mu.Unlock()
	c.restart()
	eventually(t, "the edge notices", func() bool { return e.Metrics().Unnamed == 1 && e.Metrics().Backwards > 0 })
	if !e.serves("lost-acme", at) || !e.serves("kept-acme", now) {
		t.Fatal("an old control plane took something away")
	}
	eventually(t, "the log says so", func() bool {
		return e.log.has("earlier position") && e.log.has("restored from an old backup")
	})
	// It goes on from there: later changes arrive, also over a reconnect.
	third := newEnvironment()
	at3 := c.bundle(third, "third-acme", "/")
	eventually(t, "a new environment is served", func() bool { return e.serves("third-acme", at3) })
	c.stop()
	fourth := newEnvironment()
	at4 := c.bundle(fourth, "fourth-acme", "/")
	c.restart()
	eventually(t, "no gap after the step back", func() bool { return e.serves("fourth-acme", at4) })

	// An empty one takes nothing away either.
	c.stop()
	c.mu.Lock()
	c.statements, c.at = nil, mezu.Position{Epoch: 1, Revision: 1}
	c.mu.Unlock()
	c.restart()
	eventually(t, "the edge notices the empty one", func() bool { return e.Metrics().Unnamed == 4 })
	if !e.serves("lost-acme", at) || !e.serves("fourth-acme", at4) {
		t.Fatal("an empty control plane took something away")
	}
}

// Row 17: a restored control plane does not know the revocations since its backup. An edge
// that holds them keeps them, over everything that is said anew and over its own restart.
func TestRow17RestoredControlPlaneRevivesNothing(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	early := look(c, func() []statement { return slices.Clone(c.statements) })
	dir := t.TempDir()
	e := c.startEdge(dir)
	session := mezu.NewID("ses", time.Now())
	c.revoke(mezu.Revocation{Kind: mezu.RevokeSession, Subject: session, Until: c.clock.Now().Add(time.Hour)})
	c.revoke(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "0abc", Scope: env, Until: c.clock.Now().Add(48 * time.Hour)})
	ended := func(a *trust.Anchor) bool {
		_, ok := a.Revoked(mezu.RevokeSession, session)
		return ok && a.CertificateRevoked("0abc")
	}
	eventually(t, "the revocations are in force", func() bool { return ended(e.Trust()) })

	c.stop()
	c.mu.Lock()
	c.statements, c.at, c.resumed = early, mezu.Position{Epoch: 2}, nil
	c.mu.Unlock()
	c.restart()
	eventually(t, "the edge asks for everything", func() bool {
		return look(c, func() bool { return slices.Contains(c.resumed, mezu.Position{}) })
	})
	at := c.bundle(env, "shop-acme", "/restored/")
	eventually(t, "the restored one is followed", func() bool { return e.serves("shop-acme", at) })
	if !ended(e.Trust()) {
		t.Error("the edge forgot revocations that the restored control plane does not know")
	}
	e.stop()
	if again := c.startEdge(dir); !ended(again.Trust()) {
		t.Error("the edge forgot them in a restart")
	}
}

// Row 17: an edge hands up what the restored control plane does not know, in pages, once.
// Then both say the same, and everything is not asked for again.
func TestRow17HandsUpWhatARestoreLost(t *testing.T) {
	const lost = api.MaxEdgeRevocations + 5
	c := newControl(t)
	c.says = true
	env := newEnvironment()
	c.edges()
	c.bundle(env, "shop-acme", "/")
	known := mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "0known", Scope: env, Until: c.clock.Now().Add(48 * time.Hour)}
	c.revoke(known)
	early := look(c, func() []statement { return slices.Clone(c.statements) })
	e := c.startEdge(t.TempDir())
	for i := range lost {
		c.revoke(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: fmt.Sprintf("0%03d", i), Scope: []string{env, newEnvironment()}[i%2], Until: c.clock.Now().Add(48 * time.Hour)})
	}
	eventually(t, "the revocations are in force", func() bool { return e.Metrics().Revocations == lost+1 })

	restore := func(epoch uint64, takes bool) {
		c.stop()
		c.mu.Lock()
		c.statements, c.at, c.resumed, c.handed, c.takes = early, mezu.Position{Epoch: epoch, Revision: 1}, nil, nil, takes
		c.mu.Unlock()
		c.restart()
	}
	full := func() (n int) {
		return look(c, func() (n int) {
			for _, from := range c.resumed {
				if from.IsZero() {
					n++
				}
			}
			return n
		})
	}
	// It restarts the stream until it was asked for it once more.
	again := func() {
		t.Helper()
		n := len(look(c, func() []mezu.Position { return c.resumed }))
		c.stop()
		c.restart()
		eventually(t, "it comes back", func() bool { return look(c, func() int { return len(c.resumed) }) > n && e.Metrics().Connected })
	}
	restore(2, true)
	eventually(t, "all is handed up", func() bool { return look(c, func() int { return len(c.statements) }) == len(early)+lost })
	eventually(t, "both say the same", func() bool { return !e.Metrics().Differs && len(e.Doubts()) == 0 && e.Metrics().Connected })
	again()
	eventually(t, "they still do", func() bool { return len(e.Doubts()) == 0 })
	if n := full(); n != 1 {
		t.Errorf("everything was asked for %d times", n)
	}
	pages := look(c, func() (sizes []int) {
		for _, page := range c.handed {
			sizes = append(sizes, len(page))
		}
		return sizes
	})
	// What the backup has is of the epoch before as well: the edge can't tell.
	if !slices.Equal(pages, []int{api.MaxEdgeRevocations, lost + 1 - api.MaxEdgeRevocations}) {
		t.Errorf("pages of %v", pages)
	}

	// Another edge hands up the same between this one's comparison and its call: nothing is
	// left to take, and both say the same all the same.
	c.mu.Lock()
	c.faster = true
	c.mu.Unlock()
	restore(3, true)
	eventually(t, "what another edge handed up is compared", func() bool {
		return look(c, func() int { return len(c.handed) }) == 2 && !e.Metrics().Differs && len(e.Doubts()) == 0 && e.Metrics().Connected
	})

	// One that has not the key takes nothing: the edge says so, and asks once.
	restore(4, false)
	eventually(t, "it is refused", func() bool {
		return e.Metrics().Differs && e.log.has("refused=200") && e.log.has("refused=6")
	})
	again()
	again()
	if n, handed := full(), len(look(c, func() [][]mezu.Signed { return c.handed })); n != 1 || handed != 2 {
		t.Errorf("everything was asked for %d times, %d pages were handed up", n, handed)
	}
	if !e.Metrics().Differs || !e.Trust().CertificateRevoked("0000") {
		t.Error("what the control plane refuses was forgotten")
	}
	// What is missing then is noticed as before.
	c.mu.Lock()
	r := mezu.Revocation{Position: c.at, Kind: mezu.RevokeCertificate, Subject: "0new", Scope: env, Until: c.clock.Now().Add(48 * time.Hour)}
	c.statements = append(c.statements, statement{"revocation", api.StreamRevocation, r.Position, c.sign(mezu.PurposeRevocation, r)})
	c.mu.Unlock()
	again()
	eventually(t, "what is missing is fetched", func() bool { return e.Trust().CertificateRevoked("0new") })
}

func TestTombstoneRemovesForGood(t *testing.T) {
	c := newControl(t)
	env, next := newEnvironment(), newEnvironment()
	c.bundle(env, "shop-acme", "/")
	old := look(c, func() statement { return c.statements[0] })
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "bundle is served", func() bool { return e.Host("shop-acme."+testDomain) != nil })
	certificate := filepath.Join(dir, "certs", "shop-acme.pem")
	eventually(t, "certificate is on disk", func() bool { _, err := os.Stat(certificate); return err == nil })

	gone := newBundle(env, "shop-acme")
	gone.Removed = true
	c.publish(gone)
	eventually(t, "it is taken off", func() bool { return e.Host("shop-acme."+testDomain) == nil })
	if _, err := e.certificate("shop-acme." + testDomain); !errors.Is(err, member.ErrUnknownServer) {
		t.Errorf("the certificate of a removed endpoint: %v", err)
	}
	eventually(t, "so is its certificate", func() bool { _, err := os.Stat(certificate); return errors.Is(err, os.ErrNotExist) })
	c.raw("old", api.StreamBundle, old.signed)
	eventually(t, "the old bundle is refused", func() bool { return e.Metrics().Backwards == 1 })
	if docs := e.Statements(env); docs[len(docs)-1].Purpose != mezu.PurposeBundle {
		t.Error("Warpgates are not told of the removal")
	}
	// The label goes to another environment; after a restart it still has it.
	at := c.bundle(next, "shop-acme", "/")
	eventually(t, "the label's new environment is served", func() bool { return e.serves("shop-acme", at) })
	e.stop()
	c.stop()
	again := open(t, e.cfg)
	if !again.serves("shop-acme", at) || again.Metrics().Environments != 1 {
		t.Error("restart served something else")
	}
}

// The keys of an environment's Warpgates are served, told to Warpgates, kept on the disk, and
// gone with the environment.
func TestKeysOfWarpgates(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	c.edges()
	e := c.startEdge(t.TempDir())
	key := c.keys(env)
	lists := func(e *edge, key mezu.AssertionKey) bool {
		got := e.AssertionKeys(env)
		return len(got) == 1 && got[0].Key.Equal(key.Key)
	}
	eventually(t, "the key is listed", func() bool { return lists(e, key) })
	next := c.keys(env)
	eventually(t, "the next key is listed", func() bool { return lists(e, next) })
	if e.mu.Lock(); !slices.Contains(e.documents, env+" assertions") {
		t.Error("Warpgates are not told")
	}
	e.mu.Unlock()
	if docs := e.Statements(env); len(docs) != 4 || docs[3].Purpose != mezu.PurposeAssertions {
		t.Errorf("a new Warpgate is told %v", docs)
	}
	forged := c.sign(mezu.PurposeBundle, mezu.AssertionKeys{Position: mezu.Position{Epoch: 9, Revision: 9}, Environment: env})
	forged.Purpose = mezu.PurposeAssertions
	c.raw("forged", api.StreamAssertions, forged)
	eventually(t, "what no key for that has signed is refused", func() bool { return e.Metrics().Rejected == 1 })
	e.stop()
	c.stop()
	again := open(t, e.cfg)
	if !lists(again, next) || again.AssertionKeys(newEnvironment()) != nil {
		t.Error("a restart lists other keys")
	}
	again.stop()
	c.restart()
	again = open(t, e.cfg)
	again.run()
	gone := newBundle(env, "shop-acme")
	gone.Removed = true
	c.publish(gone)
	eventually(t, "the keys are gone", func() bool { return again.AssertionKeys(env) == nil && len(again.Statements(env)) == 3 })
}

// An edge that was away for longer than the control plane says of a removed environment
// that it is gone forgets it with the next whole snapshot; what is newer than the
// control plane can know stays.
func TestForgetsWhatWasRemovedLongAgo(t *testing.T) {
	c := newControl(t)
	kept, gone, newer := newEnvironment(), newEnvironment(), newEnvironment()
	at := c.bundle(kept, "kept-acme", "/")
	atGone := c.bundle(gone, "gone-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "both are served", func() bool { return e.serves("kept-acme", at) && e.serves("gone-acme", atGone) })
	files := []string{filepath.Join(dir, "bundles", gone+".json"), filepath.Join(dir, "certs", "gone-acme.pem")}
	eventually(t, "the certificate is on disk", func() bool { _, err := os.Stat(files[1]); return err == nil })
	c.stop()

	c.mu.Lock()
	removed := c.next()
	list := mezu.EdgeList{Position: c.next(), Gone: removed}
	c.statements = slices.DeleteFunc(c.statements, func(s statement) bool { return s.key == gone })
	c.put("edges", api.StreamEdges, c.sign(mezu.PurposeEdges, list))
	c.mu.Unlock()
	c.refused(api.OpEdgeStream, mezu.Errorf(mezu.CodePreconditionFailed, "ask for everything"))
	before := c.count(api.OpEdgeStream)
	c.restart()
	eventually(t, "the edge hears that it can't go on", func() bool { return c.count(api.OpEdgeStream) > before })
	if !e.serves("gone-acme", atGone) {
		t.Error("an environment went before anything was said of it")
	}
	c.refused(api.OpEdgeStream, nil)
	eventually(t, "the removed one is forgotten", func() bool { return e.Host("gone-acme."+testDomain) == nil })
	if _, err := e.certificate("gone-acme." + testDomain); !errors.Is(err, member.ErrUnknownServer) {
		t.Errorf("the certificate of a forgotten endpoint: %v", err)
	}
	for _, file := range files {
		eventually(t, file+" is gone", func() bool { _, err := os.Stat(file); return errors.Is(err, os.ErrNotExist) })
	}
	if m := e.Metrics(); !e.serves("kept-acme", at) || m.Environments != 1 || m.Unnamed != 0 {
		t.Errorf("%+v", m)
	}

	// Of one that is newer nothing is said either, as after a restored backup.
	atNewer := c.bundle(newer, "newer-acme", "/")
	eventually(t, "the newer one is served", func() bool { return e.serves("newer-acme", atNewer) })
	c.stop()
	c.mu.Lock()
	c.statements = slices.DeleteFunc(c.statements, func(s statement) bool { return s.key == newer })
	c.at = list.Position
	c.mu.Unlock()
	c.restart()
	eventually(t, "the edge notices", func() bool { return e.Metrics().Unnamed == 1 })
	if !e.serves("newer-acme", atNewer) {
		t.Error("what the control plane can't know was forgotten")
	}
	e.stop()
	c.stop()
	again := open(t, e.cfg)
	if again.Host("gone-acme."+testDomain) != nil || !again.serves("kept-acme", at) || !again.serves("newer-acme", atNewer) {
		t.Error("restart served something else")
	}
}

func TestTwoEnvironmentsNeverShareALabel(t *testing.T) {
	c := newControl(t)
	first, second := newEnvironment(), newEnvironment()
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.bundle(first, "shop-acme", "/first/")
	at := c.bundle(second, "shop-acme", "/second/")
	eventually(t, "the later statement has it", func() bool { return e.serves("shop-acme", at) })
	// The first one's removal does not take the second one's label.
	gone := newBundle(first, "shop-acme")
	gone.Removed = true
	done := c.publish(gone)
	eventually(t, "removal is applied", func() bool { return e.Metrics().Applied == done })
	if !e.serves("shop-acme", at) {
		t.Error("label was taken from its holder")
	}
}

func TestNewKeysetVerifiesWhatCameBefore(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	e := c.startEdge(t.TempDir())
	before, _ := e.Trust().Keyset()
	// The control plane signs with keys that the edge has not been told of.
	proposal, err := ca.Propose(t.Context(), c.vault, api.RotateSigning, 0, c.clock.Now)
	must(t, err)
	endorsed, err := ca.Endorse(c.offline, proposal, c.clock.Now)
	must(t, err)
	must(t, ca.Install(t.Context(), c.vault, endorsed, c.clock.Now))
	rotated := func() time.Time { return c.clock.Now().Add(time.Hour) }
	ahead, err := ca.Open(t.Context(), c.vault, rotated)
	must(t, err)
	b := newBundle(env, "shop-acme", "/")
	b.Position = mezu.Position{Epoch: 1, Revision: 2}
	signed, err := ahead.Sign(mezu.PurposeBundle, b)
	must(t, err)
	c.raw(env, api.StreamBundle, signed)
	eventually(t, "it is rejected", func() bool { return e.Metrics().Rejected == 1 })
	c.raw("keyset", api.StreamKeyset, ahead.Keyset())
	eventually(t, "it is asked for again and served", func() bool { return e.serves("shop-acme", b.Position) })
	if after, _ := e.Trust().Keyset(); bytes.Equal(after.Payload, before.Payload) {
		t.Error("keyset did not change")
	}
}

// TestR12_UnknownField: the edge closes a route of which it doesn't know a field,
// also after a restart from its disk, and serves the others.
func TestR12_UnknownField(t *testing.T) {
	c := newControl(t)
	env, dir := newEnvironment(), t.TempDir()
	b := newBundle(env, "shop-acme", "/", "/novel/")
	c.mu.Lock()
	b.Position = c.next()
	plain, err := json.Marshal(b)
	must(t, err)
	novel := strings.Replace(string(plain), `"prefix":"/novel/"`, `"prefix":"/novel/","novelty":{"deny":true}`, 1)
	c.put(env, api.StreamBundle, c.sign(mezu.PurposeBundle, json.RawMessage(novel)))
	c.mu.Unlock()
	judged := func(e *edge) {
		t.Helper()
		for path, want := range map[string]mezu.Code{"/x": "", "/novel/x": mezu.CodeRouteUnavailable} {
			if d := e.Host("shop-acme." + testDomain).Decide(&policy.Request{Method: "GET", Path: mezu.Path{Path: path}}); d.Code != want {
				t.Errorf("%s is %q, want %q", path, d.Code, want)
			}
		}
	}
	e := c.startEdge(dir)
	eventually(t, "the bundle is served", func() bool { return e.serves("shop-acme", b.Position) })
	judged(e)
	e.stop()
	c.stop()
	e = open(t, c.configure(dir))
	defer e.stop()
	judged(e)
}
