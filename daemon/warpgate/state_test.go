package warpgate_test

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/daemon/state"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
)

// registered makes a state directory of a Warpgate that has served.
func registered(t *testing.T, w *world) (dir, warpgate string) {
	t.Helper()
	dir = t.TempDir()
	g := w.start(w.config(dir))
	g.ready()
	id := g.event("connected", func(e mezu.Event) bool { return e.Status == mezu.WarpgateConnected }).WarpgateID
	w.edges[0].hub.Push("", w.revoke("beef"))
	eventually(t, "revocation on disk", func() bool {
		data, _ := os.ReadFile(filepath.Join(dir, "revocations.log"))
		return bytes.Contains(data, []byte("beef"))
	})
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	return dir, id
}

// stateFiles are all files but the lock.
func stateFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	if len(names) != 9 {
		t.Fatalf("files %v", names)
	}
	return names
}

// damages are ways to spoil a file.
func damages(data []byte) map[string][]byte {
	out := map[string][]byte{"zeros": make([]byte, len(data)), "doubled": append(bytes.Clone(data), data...), "noise": []byte("\x00\xff{]")}
	for i := range 20 {
		at := i * (len(data) - 1) / 19
		out["cut at "+string(rune('a'+i))] = data[:at]
		flipped := bytes.Clone(data)
		flipped[at] ^= 0x01
		out["flipped at "+string(rune('a'+i))] = flipped
	}
	return out
}

// Every file, cut and altered at many places: what the others say stays good,
// and nothing in the damaged one is believed.
func TestD8DamagedFiles(t *testing.T) {
	w := newWorld(t, 1)
	dir, id := registered(t, w)
	whole, err := state.Open(dir, w.real.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	key, err := whole.Key()
	if err != nil {
		t.Fatal(err)
	}
	epoch := whole.Epoch()
	whole.Close()
	// What is lost with each file. The others are judged by the trust root and
	// the keyset, and are lost with them.
	trustLost := []string{"certificate.pem", "bundle.json", "edges.json"}
	lost := map[string][]string{"trust-root.pem": trustLost, "keyset.json": trustLost, "certificate.pem": {"certificate.pem", "bundle.json"},
		"identity.key": {"identity.key", "certificate.pem", "bundle.json"}}
	for _, name := range stateFiles(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		missing := lost[name]
		if missing == nil {
			missing = []string{name}
		}
		for how, damaged := range damages(data) {
			missing := missing
			if name == "revocations.log" && how == "doubled" {
				missing = nil // what stands before the damage counts
			}
			copied := t.TempDir()
			testkit.CopyDir(t, dir, copied)
			if err := os.WriteFile(filepath.Join(copied, name), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := state.Open(copied, w.real.Now, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatalf("%s %s: %v", name, how, err)
			}
			check := func(file string, present bool) {
				t.Helper()
				if want := !slices.Contains(missing, file); present != want {
					t.Errorf("%s %s: %s is there: %v, want %v", name, how, file, present, want)
				}
			}
			check("certificate.pem", s.Certified())
			check("bundle.json", s.Table() != nil)
			check("edges.json", len(s.Edges()) == 1)
			check("registration.json", s.Registration() != nil && s.Registration().Warpgate == id)
			if a := s.Anchor(); a != nil && name != "keyset.json" {
				check("revocations.log", a.CertificateRevoked("beef"))
			}
			now, err := s.Key()
			if err != nil {
				t.Fatal(err)
			}
			check("identity.key", now.Public().(*ecdsa.PublicKey).Equal(key.Public()))
			if s.Epoch() < epoch {
				t.Errorf("%s %s: the epoch fell", name, how)
			}
			if name == "identity.key" {
				if kept, err := os.ReadFile(filepath.Join(copied, name+".damaged")); err != nil || !bytes.Equal(kept, damaged) {
					t.Errorf("%s: the damaged key was not kept: %v", how, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s %s: closing: %v", name, how, err)
			}
		}
	}
}

// Every file damaged in turn, and the whole Warpgate started on it: it serves.
func TestD8StartsWithDamagedFile(t *testing.T) {
	w := newWorld(t, 1)
	dir, id := registered(t, w)
	withoutControl := []string{"bundle.json", "epoch", "revocations.log", "registration.json"}
	for _, name := range stateFiles(t, dir) {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir()
			testkit.CopyDir(t, dir, copied)
			path := filepath.Join(copied, name)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, info.Size()/2); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(withoutControl, name) {
				w.stopAPI()
				defer w.startAPI(w.addr)
			}
			g := w.start(w.config(copied))
			defer g.Close()
			e := g.event("connected", func(e mezu.Event) bool { return e.Status == mezu.WarpgateConnected })
			g.ready()
			w.edges[0].ping(t, w.env)
			if e.WarpgateID != id && name != "identity.key" {
				t.Errorf("identity %s, was %s", e.WarpgateID, id)
			}
			if err := g.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A directory that can't be written to any more: what is in force goes on, and
// is acknowledged once it is on disk.
func TestStateDirGone(t *testing.T) {
	w := newWorld(t, 1)
	parent := t.TempDir()
	dir := filepath.Join(parent, "state")
	g := w.start(w.config(dir))
	g.ready()
	first := positionOf(t, w.bundle)
	w.edges[0].applied(t, first)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	next := w.setBundle(w.env, "/next")
	w.edges[0].hub.Push("", next)
	g.event("error", isError("", "state directory"))
	g.event("in force", func(e mezu.Event) bool { return e.Event == mezu.EventConfig && e.Revision == positionOf(t, next) })
	w.edges[0].applied(t, first)
	w.edges[0].ping(t, w.env)
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	w.edges[0].applied(t, positionOf(t, next))
}

func TestStateModes(t *testing.T) {
	w := newWorld(t, 1)
	dir := filepath.Join(t.TempDir(), "a", "b")
	g := w.start(w.config(dir))
	g.ready()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		info, err := os.Stat(d)
		if err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v %v", d, info.Mode(), err)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, "identity.key"))
	if err != nil || !strings.Contains(string(key), "PRIVATE KEY") {
		t.Errorf("key: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "registration.json"))
	if err != nil || bytes.Contains(data, []byte(w.key)) {
		t.Errorf("the service account key is on disk, or: %v", err)
	}
}

// An answer that was asked for before the own certificate was revoked doesn't
// bring the Warpgate back.
func TestOwnCertificateRevoked_AnswerInFlight(t *testing.T) {
	w := newWorld(t, 1)
	dir, _ := registered(t, w)
	st, err := state.Open(dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	key, err := st.Key()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := trust.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(api.RegisterRequest{CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	revoked := w.serial
	req := httptest.NewRequest("POST", api.OpRegisterWarpgate.Path, bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+w.key)
	rec := httptest.NewRecorder()
	w.register(rec, req)
	var answer state.Answer
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code != 200 {
		t.Fatalf("answer %d: %v", rec.Code, err)
	}
	if _, err := st.Accept(w.revoke(revoked)); !errors.Is(err, state.ErrRevoked) {
		t.Fatalf("accepting the revocation: %v", err)
	}
	if out, err := st.Register(&answer, nil); !errors.Is(err, state.ErrRevoked) || out.Adopted || !st.Revoked() {
		t.Fatalf("registering after it: %+v, %v", out, err)
	}
}

// At the position of the statement in force nothing else takes effect, whoever signed it.
func TestAnotherStatementAtThePositionInForce(t *testing.T) {
	w := newWorld(t, 1)
	dir, _ := registered(t, w)
	st, err := state.Open(dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	table, edges := st.Table(), st.Edges()
	var bundle mezu.Bundle
	if err := json.Unmarshal(w.bundle.Payload, &bundle); err != nil {
		t.Fatal(err)
	}
	bundle.Routes = []mezu.Route{{Prefix: "/twin/"}}
	var list mezu.EdgeList
	if err := json.Unmarshal(w.edgeDoc.Payload, &list); err != nil {
		t.Fatal(err)
	}
	list.Edges = nil
	for _, statement := range []mezu.Signed{w.bundle, w.edgeDoc, w.sign(mezu.PurposeBundle, bundle), w.sign(mezu.PurposeEdges, list)} {
		if changed, err := st.Accept(statement); changed || err != nil {
			t.Errorf("a %s at the position in force: changed %t, %v", statement.Purpose, changed, err)
		}
	}
	current := bundle.Position
	bundle.Position.Revision--
	want := fmt.Sprintf("statement is older than the one in use: bundle of %s at %s, in use %s", bundle.Environment, bundle.Position, current)
	if changed, err := st.Accept(w.sign(mezu.PurposeBundle, bundle)); changed || !errors.Is(err, state.ErrBackwards) || err.Error() != want {
		t.Errorf("an older bundle: changed %t, %v, want %s", changed, err, want)
	}
	if st.Table() != table || !slices.Equal(st.Edges(), edges) {
		t.Error("another statement took effect at the position in force")
	}
}

// A first registration whose answer brings revocations and a certificate that is not this
// Warpgate's, or is itself revoked, changes nothing, and the next one finds a state that works.
func TestFirstAnswerWithRevocationsIsRefused(t *testing.T) {
	w := newWorld(t, 1)
	for _, own := range []bool{false, true} {
		st, err := state.Open(t.TempDir(), time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		key, err := st.Key()
		if err != nil {
			t.Fatal(err)
		}
		csr, err := trust.CSR(key)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(api.RegisterRequest{CSR: csr})
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest("POST", api.OpRegisterWarpgate.Path, bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+w.key)
		rec := httptest.NewRecorder()
		w.register(rec, req)
		var answer state.Answer
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code != 200 {
			t.Fatalf("answer %d: %v", rec.Code, err)
		}
		lie := answer
		if own {
			lie.Revocations = []mezu.Signed{w.revoke(w.serial)}
		} else {
			lie.Revocations, lie.Certificates = []mezu.Signed{w.revoke("beef")}, "none"
		}
		if out, err := st.Register(&lie, &state.Registration{}); err == nil || out.Adopted || errors.Is(err, state.ErrRevoked) != own {
			t.Errorf("own certificate revoked %t: %+v, %v", own, out, err)
		}
		if err := st.Flush(); err != nil || st.Anchor() != nil {
			t.Errorf("afterwards: flushing says %v, anchor %v", err, st.Anchor())
		}
		if own {
			answer.Revocations = nil
		}
		if out, err := st.Register(&answer, &state.Registration{}); err != nil || !out.Adopted {
			t.Errorf("the next registration: %+v, %v", out, err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}
