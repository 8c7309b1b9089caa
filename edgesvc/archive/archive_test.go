package archive_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/archive"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const scope = "org_06h1a73ae0aj4kp17p6y6qyrtr"

// signer is an installation's trust root and its audit key of the moment.
type signer struct {
	t       *testing.T
	root    ed25519.PrivateKey
	version uint64
	keys    []mezu.PublicKey
	id      string
	key     ed25519.PrivateKey
	now     time.Time
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	_, root, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{t: t, root: root, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	s.rotate(nil)
	return s
}

func (s *signer) public() ed25519.PublicKey { return s.root.Public().(ed25519.PublicKey) }

// rotate makes a new key and tells the archive, if there is one.
func (s *signer) rotate(a *archive.Archive) {
	s.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	s.version++
	s.id, s.key = fmt.Sprintf("audit-%d", s.version), private
	// The old keys leave the keyset, as they do after their overlap.
	s.keys = []mezu.PublicKey{{ID: s.id, Purpose: mezu.PurposeAudit, Key: public, NotAfter: s.now.Add(365 * 24 * time.Hour)}}
	if a != nil {
		s.keep(a)
	}
}

func (s *signer) keyset() mezu.Signed {
	s.t.Helper()
	signed, err := mezu.Sign(mezu.PurposeKeyset, "trust-root", s.root, mezu.Keyset{
		Version: s.version, IssuedAt: s.now, NotAfter: s.now.Add(365 * 24 * time.Hour), Keys: s.keys, CARoots: []string{"-"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return signed
}

func (s *signer) keep(a *archive.Archive) {
	s.t.Helper()
	if err := a.Keep(s.keyset()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *signer) sign(v any) (mezu.Signed, error) {
	return mezu.Sign(mezu.PurposeAudit, s.id, s.key, v)
}

// lines are n records from the i-th on, an hour apart.
func (s *signer) lines(i, n int) (out []archive.Line) {
	for range n {
		at := s.now.Add(time.Duration(i) * time.Hour)
		rec := mezu.AuditRecord{ID: mezu.NewAuditID(at), Time: at, Operation: fmt.Sprint("op-", i)}
		data, err := json.Marshal(rec)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, archive.Line{ID: rec.ID, JSON: data})
		i++
	}
	return out
}

// filled is an archive with three segments of two records, under two keys.
func filled(t *testing.T) (s *signer, dir string, head archive.Head) {
	t.Helper()
	s = newSigner(t)
	dir = filepath.Join(t.TempDir(), "archive[1]") // no pattern
	a := archive.New(dir, s.public())
	s.keep(a)
	for i := range 3 {
		if i == 1 {
			s.rotate(a)
		}
		var err error
		if head, err = a.Append(scope, head, s.lines(2*i, 2), s.now, s.sign); err != nil {
			t.Fatal(err)
		}
	}
	return s, dir, head
}

func segment(dir string, n int) string { return filepath.Join(dir, scope, fmt.Sprintf("%010d.seg", n)) }

// verify verifies the directory as somebody who has it and the trust root alone.
func verify(t *testing.T, s *signer, dir string) archive.ScopeReport {
	t.Helper()
	reports, err := archive.New(dir, s.public()).Verify()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reports {
		if r.Scope == scope {
			for _, other := range reports {
				if other.Scope != scope {
					r.Faults = append(r.Faults, other.Faults...)
				}
			}
			return r
		}
	}
	t.Fatalf("no report of %s: %+v", scope, reports)
	return archive.ScopeReport{}
}

// What was written is read and verified with the directory and the trust root alone,
// also under a key that left the keyset.
func TestSegments(t *testing.T) {
	s, dir, head := filled(t)
	r := verify(t, s, dir)
	if len(r.Faults) != 0 || r.Segments != 3 || r.Records != 6 || r.Head != head || !r.From.Equal(s.now) || !r.To.Equal(s.now.Add(5*time.Hour)) {
		t.Fatalf("%+v, head %+v", r, head)
	}
	a := archive.New(dir, s.public())
	for n := 1; n <= 3; n++ {
		records, err := a.Read(scope, uint64(n))
		if err != nil || len(records) != 2 || records[1].Operation != fmt.Sprint("op-", 2*n-1) {
			t.Errorf("segment %d: %+v, %v", n, records, err)
		}
	}
	for _, bad := range []string{"", "..", "a/b", "keysets", `c:\`, "ORG"} {
		if _, err := a.Append(bad, archive.Head{}, s.lines(0, 1), s.now, s.sign); err == nil {
			t.Errorf("%q is a scope", bad)
		}
	}
	if _, err := a.Append(scope, head, nil, s.now, s.sign); err == nil {
		t.Error("a segment of nothing")
	}
	if _, err := a.Append(scope, head, []archive.Line{{ID: "x", JSON: []byte("{}\n{}")}}, s.now, s.sign); err == nil {
		t.Error("a record of two lines")
	}
	if got, err := archive.New(filepath.Join(dir, "nowhere"), s.public()).Verify(); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v %v", got, err)
	}
}

// Whatever is done to the files is noticed, and named, and what is whole is read still.
func TestTampering(t *testing.T) {
	resign := func(t *testing.T, s *signer, dir string, n int, change func([]byte) []byte) {
		// Who has the disk and not the key signs with one of his own.
		data, err := os.ReadFile(segment(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		line, body, _ := bytes.Cut(data, []byte("\n"))
		var signed mezu.Signed
		if err := json.Unmarshal(line, &signed); err != nil {
			t.Fatal(err)
		}
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		forged, err := mezu.Sign(mezu.PurposeAudit, signed.KeyID, key, json.RawMessage(change(signed.Payload)))
		if err != nil {
			t.Fatal(err)
		}
		line, err = json.Marshal(forged)
		if err != nil {
			t.Fatal(err)
		}
		write(t, segment(dir, n), append(append(line, '\n'), body...))
	}
	edit := func(old, new string) func(*testing.T, *signer, string) {
		return func(t *testing.T, _ *signer, dir string) {
			data, err := os.ReadFile(segment(dir, 2))
			if err != nil || !bytes.Contains(data, []byte(old)) {
				t.Fatalf("%q is not there: %v", old, err)
			}
			write(t, segment(dir, 2), bytes.Replace(data, []byte(old), []byte(new), 1))
		}
	}
	for name, c := range map[string]struct {
		do     func(t *testing.T, s *signer, dir string)
		faults int
		want   string
	}{
		"a record changed":   {edit("op-2", "op-9"), 1, "not those that were signed"},
		"a record cut out":   {func(t *testing.T, _ *signer, dir string) { cutLine(t, segment(dir, 2)) }, 1, "not those that were signed"},
		"the header changed": {edit(`"purpose":"audit"`, `"purpose":"edges"`), 1, "expected"},
		"another key":        {func(t *testing.T, s *signer, dir string) { resign(t, s, dir, 2, bytes.Clone) }, 1, "does not verify"},
		"cut short":          {func(t *testing.T, _ *signer, dir string) { truncate(t, segment(dir, 2), 100) }, 1, "can't be read"},
		"emptied":            {func(t *testing.T, _ *signer, dir string) { truncate(t, segment(dir, 2), 0) }, 1, "can't be read"},
		"removed":            {func(t *testing.T, _ *signer, dir string) { remove(t, segment(dir, 2)) }, 1, "it is missing"},
		"the first removed":  {func(t *testing.T, _ *signer, dir string) { remove(t, segment(dir, 1)) }, 1, "it is missing"},
		"two removed": {func(t *testing.T, _ *signer, dir string) { remove(t, segment(dir, 1)); remove(t, segment(dir, 2)) }, 1,
			"it and all up to 2 are missing"},
		"in another's place": {func(t *testing.T, _ *signer, dir string) { rename(t, segment(dir, 3), segment(dir, 2)) }, 1, "in the place of another"},
		"renumbered": {func(t *testing.T, _ *signer, dir string) {
			remove(t, segment(dir, 2))
			rename(t, segment(dir, 3), segment(dir, 2))
		}, 1, "in the place of another"},
		"another scope's": {func(t *testing.T, s *signer, dir string) {
			a := archive.New(dir, s.public())
			if _, err := a.Append("other", archive.Head{}, s.lines(0, 1), s.now, s.sign); err != nil {
				t.Fatal(err)
			}
			rename(t, filepath.Join(dir, "other", "0000000001.seg"), segment(dir, 1))
		}, 1, "in the place of another"},
		"a chain of its own": {func(t *testing.T, s *signer, dir string) {
			// By somebody with the key who wants to change the past: what follows does
			// not follow.
			remove(t, segment(dir, 2))
			a := archive.New(dir, s.public())
			records, err := a.Read(scope, 1)
			if err != nil || len(records) != 2 {
				t.Fatal(err)
			}
			entries, err := a.Index(scope, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Append(scope, archive.Head{Sequence: 1, Hash: entries[0].Hash}, s.lines(2, 2), s.now, s.sign); err != nil {
				t.Fatal(err)
			}
		}, 1, "does not follow"},
		"written after its key's end": {func(t *testing.T, s *signer, dir string) {
			remove(t, segment(dir, 3))
			a := archive.New(dir, s.public())
			entries, err := a.Index(scope, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Append(scope, archive.Head{Sequence: 2, Hash: entries[1].Hash}, s.lines(4, 2), s.now.Add(366*24*time.Hour), s.sign); err != nil {
				t.Fatal(err)
			}
		}, 1, "after the end of its key"},
		"the keyset removed": {func(t *testing.T, _ *signer, dir string) { remove(t, filepath.Join(dir, "keysets", "0000000001.json")) }, 1,
			`no keyset of the archive has the key "audit-1"`},
		"the keyset forged": {func(t *testing.T, s *signer, dir string) {
			other := newSigner(t)
			data, err := json.Marshal(other.keyset())
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "keysets", "0000000001.json"), data)
		}, 2, "does not verify"}, // the keyset, and what it does not vouch for
	} {
		t.Run(name, func(t *testing.T) {
			s, dir, _ := filled(t)
			c.do(t, s, dir)
			r := verify(t, s, dir)
			if len(r.Faults) != c.faults || !strings.Contains(strings.Join(r.Faults, "\n"), c.want) || !strings.Contains(r.Faults[0]+strings.Join(r.Faults, ""), dir) {
				t.Errorf("faults %q, want %d with %q", r.Faults, c.faults, c.want)
			}
		})
	}
	// Cut off at the end, the chain is whole; who knows the head knows better.
	s, dir, head := filled(t)
	remove(t, segment(dir, 3))
	if r := verify(t, s, dir); len(r.Faults) != 0 || r.Head == head {
		t.Errorf("%+v", r)
	}
	entries, err := archive.New(dir, s.public()).Index(scope, head.Sequence)
	if err != nil || len(entries) != 3 || entries[2].Err == nil || entries[2].Last != "" {
		t.Errorf("%+v, %v", entries, err)
	}
}

// Of many who write the same segment one wins, and the others find what it wrote.
func TestAppendOnce(t *testing.T) {
	s := newSigner(t)
	dir := t.TempDir()
	s.keep(archive.New(dir, s.public()))
	var mu sync.Mutex
	var won []archive.Head
	var wg sync.WaitGroup
	for i := range 8 {
		lines := s.lines(i, 3)
		wg.Go(func() {
			a := archive.New(dir, s.public())
			head, err := a.Append(scope, archive.Head{}, lines, s.now, s.sign)
			switch {
			case errors.Is(err, fs.ErrExist):
				if _, _, err := a.Next(scope, archive.Head{}); err != nil {
					t.Error(err)
				}
			case err != nil:
				t.Error(err)
			default:
				mu.Lock()
				won = append(won, head)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d wrote it", len(won))
	}
	if head, records, err := archive.New(dir, s.public()).Next(scope, archive.Head{}); err != nil || head != won[0] || len(records) != 3 {
		t.Errorf("%+v %d %v", head, len(records), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, scope, ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, _, err := archive.New(dir, s.public()).Next(scope, won[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
	if _, _, err := archive.New(dir, s.public()).Next(scope, archive.Head{Hash: "other"}); err == nil {
		t.Error("it follows another chain")
	}
}

func TestParseLocation(t *testing.T) {
	if dir, err := archive.ParseLocation("dir:/var/x"); err != nil || dir != "/var/x" {
		t.Errorf("%q %v", dir, err)
	}
	for _, bad := range []string{"", "/var/x", "dir:", "s3:bucket"} {
		if _, err := archive.ParseLocation(bad); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, n int64) {
	t.Helper()
	if err := os.Truncate(path, n); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// cutLine removes the last record.
func cutLine(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.LastIndexByte(data[:len(data)-1], '\n')
	write(t, path, data[:i+1])
}
