package ledger_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a log with the anchor and the clock that belong to it.
type book struct {
	*ledger.Ledger
	t      *testing.T
	path   string
	anchor *trust.Anchor
	now    time.Time
	at     uint64
	report ledger.Report
}

func newBook(t *testing.T) *book {
	b := &book{t: t, path: filepath.Join(t.TempDir(), "revocations.log"), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.open(ledger.Mark{})
	t.Cleanup(func() { b.Close() })
	return b
}

// open reads the file as a start does.
func (b *book) open(had ledger.Mark) {
	b.t.Helper()
	clock := func() time.Time { return b.now }
	b.anchor = trust.New(nil, clock)
	var err error
	if b.Ledger, b.report, err = ledger.Open(b.path, b.anchor, clock, had); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) reopen(had ledger.Mark) {
	b.t.Helper()
	must(b.t, b.Close())
	b.open(had)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add adds a revocation at the next position.
func (b *book) add(r mezu.Revocation) bool {
	b.t.Helper()
	b.at++
	r.Position = mezu.Position{Epoch: 1, Revision: b.at}
	if r.Until.IsZero() {
		r.Until = b.now.Add(24 * time.Hour)
	}
	payload, err := json.Marshal(r)
	must(b.t, err)
	added, err := b.Add(b.anchor, &r, mezu.Signed{Purpose: mezu.PurposeRevocation, KeyID: "key", Payload: payload, Signature: make([]byte, 64)})
	must(b.t, err)
	return added
}

func user(n int, directory string, at time.Time) mezu.Revocation {
	return mezu.Revocation{Kind: mezu.RevokeUser, Subject: fmt.Sprintf("usr_%d", n), Scope: directory, NotBefore: at}
}

// subjects reads a feed to its end.
func (b *book) subjects(f *ledger.Feed) (out []string) {
	b.t.Helper()
	for {
		docs, err := f.Next(50)
		must(b.t, err)
		if len(docs) == 0 {
			return out
		}
		for _, doc := range docs {
			var r mezu.Revocation
			must(b.t, json.Unmarshal(doc.Payload, &r))
			if doc.Purpose != mezu.PurposeRevocation || doc.KeyID != "key" || len(doc.Signature) != 64 {
				b.t.Fatalf("document %+v", doc)
			}
			out = append(out, r.Subject)
		}
	}
}

func TestFeed(t *testing.T) {
	b := newBook(t)
	b.add(user(1, "dir_a", b.now))
	b.add(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "edge"})
	b.add(user(2, "dir_b", b.now))
	b.add(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "gate", Scope: "env_a"})
	b.add(mezu.Revocation{Kind: mezu.RevokeUser, Subject: "unscoped"})
	f := b.Feed()
	f.Follow([]string{"", "env_a", "dir_a"}, mezu.Position{})
	if got, want := b.subjects(f), []string{"edge", "gate", "usr_1"}; !slices.Equal(got, want) {
		t.Fatalf("told of %v, want %v", got, want)
	}
	must(t, b.Flush())
	b.add(user(3, "dir_a", b.now))
	b.add(user(4, "dir_b", b.now))
	if got := b.subjects(f); !slices.Equal(got, []string{"usr_3"}) {
		t.Fatalf("told of %v", got)
	}
	// Another directory is told from its beginning, what was told is not.
	f.Follow([]string{"", "env_a", "dir_b"}, mezu.Position{})
	if got := b.subjects(f); !slices.Equal(got, []string{"usr_2", "usr_4"}) {
		t.Fatalf("told of %v", got)
	}
	// Whoever knows all up to a position is told what is later.
	g := b.Feed()
	g.Follow([]string{"", "env_a", "dir_a"}, mezu.Position{Epoch: 1, Revision: 4})
	if got := b.subjects(g); !slices.Equal(got, []string{"usr_3"}) {
		t.Fatalf("told of %v", got)
	}
}

// Several of one subject are one, after a restart too.
func TestMerge(t *testing.T) {
	b := newBook(t)
	if !b.add(user(1, "dir_a", b.now)) || b.add(user(1, "dir_a", b.now)) || !b.add(user(1, "dir_a", b.now.Add(time.Hour))) {
		t.Error("what says nothing new is news, or the other way round")
	}
	must(t, b.Flush())
	b.reopen(b.Mark())
	if r, ok := b.anchor.Revoked(mezu.RevokeUser, "usr_1"); !ok || !r.NotBefore.Equal(b.now.Add(time.Hour)) || b.report.Lost {
		t.Errorf("%+v %v", r, b.report)
	}
}

// Where a clock went back no statement says everything: none of them is dropped.
func TestPartial(t *testing.T) {
	b := newBook(t)
	first, second := user(1, "dir_a", b.now.Add(time.Hour)), user(1, "dir_a", b.now)
	first.Until, second.Until = b.now.Add(10*time.Hour), b.now.Add(20*time.Hour)
	b.add(first)
	b.add(second)
	for i := range 3000 {
		b.add(user(2, "dir_a", b.now.Add(time.Duration(i)*time.Minute)))
	}
	must(t, b.Flush())
	if anew, err := b.Tidy(b.anchor); err != nil || !anew {
		t.Fatalf("written anew: %v, %v", anew, err)
	}
	b.reopen(b.Mark())
	if r, _ := b.anchor.Revoked(mezu.RevokeUser, "usr_1"); !r.NotBefore.Equal(first.NotBefore) || !r.Until.Equal(second.Until) {
		t.Errorf("left of it is %+v", r)
	}
}

// All of a directory in one statement: what it stands for is kept nowhere any more.
func TestDirectory(t *testing.T) {
	b := newBook(t)
	for i := range 50 {
		b.add(user(i, "dir_a", b.now))
	}
	b.add(user(50, "dir_b", b.now))
	b.now = b.now.Add(time.Minute)
	wide := mezu.Revocation{Kind: mezu.RevokeDirectory, Subject: "dir_a", Scope: "dir_a", NotBefore: b.now}
	b.add(wide)
	b.add(user(51, "dir_a", b.now.Add(time.Minute)))
	for range 2 {
		if b.Len() != 3 {
			t.Errorf("%d are kept", b.Len())
		}
		_, old := b.anchor.Revoked(mezu.RevokeUser, "usr_7")
		_, other := b.anchor.Revoked(mezu.RevokeUser, "usr_50")
		if !b.anchor.GrantRevoked(&mezu.Grant{User: "usr_7", Directory: "dir_a", IssuedAt: b.now.Add(-1)}) || old || !other {
			t.Errorf("covered %v, of another directory %v", old, other)
		}
		must(t, b.Flush())
		b.reopen(b.Mark())
	}
}

// None is forgotten before its end, and the file grows with what is in force and not with
// what was.
func TestRow1NoneIsForgotten(t *testing.T) {
	b := newBook(t)
	const many = 10_500 // a Warpgate of the version before kept 10,000
	for i := range many {
		b.add(user(i, "dir_a", b.now))
	}
	must(t, b.Flush())
	b.reopen(b.Mark())
	if b.Len() != many || b.report.Lost {
		t.Fatalf("%d are left: %+v", b.Len(), b.report)
	}
	for i := range many {
		if _, ok := b.anchor.Revoked(mezu.RevokeUser, fmt.Sprintf("usr_%d", i)); !ok {
			t.Fatalf("number %d is forgotten", i)
		}
	}
	before := b.Mark()
	for i := range many { // each is said again, a little later
		b.add(user(i, "dir_a", b.now.Add(time.Minute)))
	}
	must(t, b.Note("edg_1", mezu.Told{Directory: "dir_a", Position: mezu.Position{Epoch: 1, Revision: 9}}))
	must(t, b.Flush())
	f := b.Feed()
	f.Follow([]string{"dir_a"}, mezu.Position{})
	if _, err := f.Next(100); err != nil {
		t.Fatal(err)
	}
	anew, err := b.Tidy(b.anchor)
	if err != nil || !anew || b.Len() != many {
		t.Fatalf("written anew: %v, %d, %v", anew, b.Len(), err)
	}
	info, err := os.Stat(b.path)
	must(t, err)
	if size := before.Size * 11 / 10; info.Size() > size {
		t.Errorf("%d bytes, at most %d are expected", info.Size(), size)
	}
	// A feed goes on where it was, and the state before is one that it had.
	if got := b.subjects(f); len(got) != many {
		t.Errorf("told of %d more", len(got))
	}
	b.reopen(before)
	if b.report.Lost || b.Len() != many || b.Noted("edg_1").Position.Revision != 9 {
		t.Errorf("%+v, %d, %+v", b.report, b.Len(), b.Noted("edg_1"))
	}
	// Past its end it goes.
	b.now = b.now.Add(48 * time.Hour)
	if anew, err := b.Tidy(b.anchor); err != nil || !anew || b.Len() != 0 {
		t.Errorf("written anew: %v, %d, %v", anew, b.Len(), err)
	}
}

// What a crash cut off is dropped, unless it is known to have been there; what was
// altered is found, and what stands before it counts.
func TestDamage(t *testing.T) {
	b := newBook(t)
	b.add(user(1, "dir_a", b.now))
	must(t, b.Flush())
	first := b.Mark()
	b.add(user(2, "dir_a", b.now))
	must(t, b.Flush())
	second := b.Mark()
	whole, err := os.ReadFile(b.path)
	must(t, err)
	check := func(how string, data []byte, had ledger.Mark, lost bool, left int) {
		t.Helper()
		must(t, b.Close())
		must(t, os.WriteFile(b.path, data, 0o600))
		b.open(had)
		if b.report.Lost != lost || b.Len() != left {
			t.Errorf("%s: %+v, %d are left, want %d", how, b.report, b.Len(), left)
		}
		// It can be gone on with.
		b.add(user(3, "dir_a", b.now))
		must(t, b.Flush())
		b.reopen(b.Mark())
		if b.report.Lost || b.Len() != left+1 {
			t.Errorf("%s, gone on with: %+v, %d are left", how, b.report, b.Len())
		}
	}
	check("whole", whole, second, false, 2)
	for cut := int(first.Size); cut < len(whole); cut += 7 {
		check(fmt.Sprint("torn at ", cut), whole[:cut], first, false, 1)
	}
	check("rolled back", whole[:first.Size], second, true, 1)
	check("cut within the first", whole[:first.Size-1], first, true, 0)
	check("empty", nil, first, true, 0)
	for at := 0; at < len(whole); at += 5 {
		flipped := slices.Clone(whole)
		flipped[at] ^= 1
		left := 1
		if int64(at) < first.Size {
			left = 0
		}
		must(t, b.Close())
		must(t, os.WriteFile(b.path, flipped, 0o600))
		b.open(second)
		if !b.report.Lost || b.Len() > left {
			t.Errorf("flipped at %d: %+v, %d are left", at, b.report, b.Len())
		}
	}
	must(t, b.Close())
	must(t, os.Remove(b.path))
	b.open(second)
	if !b.report.Lost || !strings.Contains(b.report.Why, "not there") {
		t.Errorf("removed: %+v", b.report)
	}
}

// A disk that takes nothing keeps nobody in, and loses nothing once it does.
func TestUnwritable(t *testing.T) {
	b := newBook(t)
	b.add(user(1, "dir_a", b.now))
	dir := filepath.Dir(b.path)
	must(t, os.Rename(dir, dir+".away"))
	if err := b.Flush(); err == nil {
		t.Fatal("written to a folder that is not there")
	}
	if waits, failed := b.Unwritten(); waits || !failed {
		t.Errorf("waits %v, failed %v", waits, failed)
	}
	b.add(user(2, "dir_a", b.now))
	f := b.Feed()
	f.Follow([]string{"dir_a"}, mezu.Position{})
	if got := b.subjects(f); len(got) != 2 {
		t.Errorf("told of %v", got)
	}
	must(t, os.Rename(dir+".away", dir))
	must(t, b.Flush())
	b.reopen(b.Mark())
	if b.Len() != 2 || b.report.Lost {
		t.Errorf("%d are left: %+v", b.Len(), b.report)
	}
}

// FuzzOpen: whatever is in the file, a start goes on.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("mezu-revocations-1\n\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Add([]byte("mezu-revocations-1\n\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x03r\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "revocations.log")
		must(t, os.WriteFile(path, data, 0o600))
		l, _, err := ledger.Open(path, trust.New(nil, nil), time.Now, ledger.Mark{})
		must(t, err)
		must(t, l.Close())
	})
}

// Walk reads what still tells something of all scopes, once, whatever is added or written
// anew meanwhile.
func TestWalk(t *testing.T) {
	b := newBook(t)
	for i := range 10 {
		b.add(user(i, fmt.Sprint("dir_", i%3), b.now))
	}
	b.add(user(4, "dir_1", b.now.Add(time.Minute))) // says more than the one before
	walk := b.Walk(func(at mezu.Position) bool { return at.Revision > 3 })
	var got []string
	for page := range 10 {
		docs, err := walk.Next(b.anchor, 2)
		must(t, err)
		for _, doc := range docs {
			var r mezu.Revocation
			must(t, json.Unmarshal(doc.Payload, &r))
			got = append(got, fmt.Sprint(r.Subject, "@", r.Position.Revision))
		}
		if len(docs) == 0 {
			break
		}
		if page == 0 {
			must(t, b.Flush())
		}
	}
	slices.Sort(got)
	if want := []string{"usr_3@4", "usr_4@11", "usr_5@6", "usr_6@7", "usr_7@8", "usr_8@9", "usr_9@10"}; !slices.Equal(got, want) {
		t.Errorf("read %v", got)
	}
}
