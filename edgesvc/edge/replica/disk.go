package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
)

// Files of the state directory.
const (
	identityFile   = "identity.json"     // who the edge is, with its key
	joinKeyFile    = "enrolment-key.pem" // of an enrolment under way
	keysetFile     = "keyset.json"
	edgesFile      = "edges.json"
	streamFile     = "stream.json"
	bundlesDir     = "bundles" // <environment id>.json
	revocationsLog = "revocations.log"
	revocationsDir = "revocations" // of the version before: a file each
	certsDir       = "certs"       // <label>.pem
)

// rejectedSuffix marks a file that was set aside.
const rejectedSuffix = ".rejected"

const fileMode = 0o600

// maxFile bounds a file that is read: the largest is a bundle, whose payload is
// in base64.
const maxFile = mezu.MaxSignedPayload/3*4 + 64<<10

// storedStream is the content of streamFile.
type storedStream struct {
	Cursor     mezu.Position `json:"cursor"`
	Head       mezu.Position `json:"head"`
	Incomplete bool          `json:"incomplete,omitempty"`
	// Whole: the snapshot under way was not at its end. What it has named so far is
	// not on disk, so that the next start asks for it anew.
	Whole bool `json:"whole,omitempty"`
	// What follows is what was on the disk then, to tell whether it still is: of
	// revocations, bundles, edges and keyset.
	Revocations ledger.Mark      `json:"revocations,omitzero"`
	Bundles     api.StatementSet `json:"bundles,omitzero"`
	Edges       mezu.Position    `json:"edges,omitzero"`
	Keyset      uint64           `json:"keyset,omitempty"`
}

func (r *Replica) path(parts ...string) string {
	return filepath.Join(append([]string{r.cfg.StateDir}, parts...)...)
}

// load reads the state directory into memory. Only an unusable identity is an
// error.
func (r *Replica) load() error {
	for _, dir := range []string{bundlesDir, certsDir} {
		if err := atomicfile.EnsureOwnDir(r.path(dir)); err != nil {
			return unusableState(r.cfg.StateDir, err)
		}
	}
	if err := r.loadIdentity(); err != nil || r.self.Load() == nil {
		return err
	}
	var stored storedStream
	err := readJSON(r.path(streamFile), &stored)
	if err != nil {
		r.setAside(r.path(streamFile), err)
	}
	lost, logErr := r.openLog(r.Trust(), stored.Revocations)
	if logErr != nil {
		return logErr
	}
	if !r.loadKeyset() {
		return nil
	}
	whole := r.loadStatements()
	lost = append(lost, r.lostSince(stored)...)
	r.start.had = err == nil || len(r.state.documents) > 0
	r.raiseHead(stored.Head)
	if len(lost) > 0 {
		r.state.lost = lost
		r.log.Error("statements that were on this edge's disk are not there any more, or are older ones; asking the control plane for everything", "lost", strings.Join(lost, ", "))
	}
	if !whole || len(lost) > 0 || stored.Incomplete {
		r.log.Warn("asking the control plane for everything: a statement was lost or rejected earlier")
		// On disk at once: what was set aside is not missed by the next start.
		r.state.incomplete, r.state.dirty = true, true
		r.flush()
		return nil
	}
	if !stored.Whole {
		r.state.cursor, r.state.settled = stored.Cursor, stored.Cursor
	}
	return nil
}

// lostSince names what is older than when the position was written. What was written
// after it is newer, which is no loss.
func (r *Replica) lostSince(stored storedStream) (lost []string) {
	if _, keyset := r.Trust().Keyset(); keyset.Version < stored.Keyset {
		lost = append(lost, fmt.Sprintf("keyset (version %d, was %d)", keyset.Version, stored.Keyset))
	}
	var edges mezu.Position
	if r.state.edges != nil {
		edges = r.state.edges.position
	}
	if edges.Compare(stored.Edges) < 0 {
		lost = append(lost, fmt.Sprintf("list of edges (at %s, was at %s)", edges, stored.Edges))
	}
	newer := false
	for _, d := range r.state.documents {
		newer = newer || d.position.Compare(stored.Head) > 0
	}
	if n := r.state.bundles; n.Count < stored.Bundles.Count || !newer && stored.Bundles.Count > 0 && n != stored.Bundles {
		lost = append(lost, fmt.Sprintf("bundles (%d, were %d)", n.Count, stored.Bundles.Count))
	}
	return lost
}

// openLog opens the log of revocations for an anchor.
func (r *Replica) openLog(anchor *trust.Anchor, must ledger.Mark) (lost []string, err error) {
	log, report, err := ledger.Open(r.path(revocationsLog), anchor, r.now, must)
	if err != nil {
		return nil, err
	}
	r.revoked = log
	if !report.Whole {
		lost = append(lost, "revocations ("+report.Why+")")
	}
	return lost, nil
}

// loadKeyset reports whether there is a keyset. Without one nothing else can be
// verified; the other files are then left as they are, neither trusted nor set
// aside.
func (r *Replica) loadKeyset() bool {
	var keyset mezu.Signed
	err := readJSON(r.path(keysetFile), &keyset)
	if err == nil {
		_, err = r.Trust().AcceptKeyset(keyset)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Error("the keyset on disk can't be used; nothing is served before the control plane sends one", "error", err)
	}
	return err == nil
}

// loadStatements reads the signed statements and reports whether all files were
// good.
func (r *Replica) loadStatements() bool {
	whole := r.takeInRevocations()
	var edges mezu.Signed
	err := readJSON(r.path(edgesFile), &edges)
	if err == nil {
		err = r.loadEdges(edges)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.setAside(r.path(edgesFile), err)
		whole = false
	}
	whole = r.loadDir(bundlesDir, r.loadBundle) && whole
	if r.pair == nil {
		r.loadCertificates()
	}
	return whole
}

// loadDir hands each statement of a folder to take, with its file's name. It
// reports whether all were good.
func (r *Replica) loadDir(dir string, take func(name string, doc mezu.Signed) error) bool {
	entries, err := os.ReadDir(r.path(dir))
	if err != nil {
		r.log.Error("reading the state directory", "folder", dir, "error", err)
		return false
	}
	whole := true
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		path := r.path(dir, entry.Name())
		var doc mezu.Signed
		err := readJSON(path, &doc)
		if err == nil {
			err = take(name, doc)
		}
		if err != nil {
			r.setAside(path, err)
			whole = false
		}
	}
	return whole
}

// takeInRevocations moves what the version before kept into the log, each verified. It
// may be killed at any point: a file goes when the log is on the disk.
func (r *Replica) takeInRevocations() bool {
	if _, err := os.Stat(r.path(revocationsDir)); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	var taken []string
	whole := r.loadDir(revocationsDir, func(name string, doc mezu.Signed) error {
		rev, err := r.Trust().OpenRevocation(doc)
		if err == nil {
			_, err = r.revoked.Add(r.Trust(), rev, doc)
		}
		if err == nil {
			taken = append(taken, r.path(revocationsDir, name+".json"))
		}
		return err
	})
	if err := r.revoked.Flush(); err != nil {
		r.unsaved(r.path(revocationsLog), err)
		return whole
	}
	for _, path := range taken {
		if err := removeFile(path); err != nil {
			r.log.Error("tidying the state directory", "error", err)
		}
	}
	// What was set aside stays for whoever looks into it, and the folder with it.
	_ = os.Remove(r.path(revocationsDir))
	return whole
}

func (r *Replica) loadEdges(doc mezu.Signed) error {
	list, err := r.Trust().OpenEdges(doc)
	if err != nil {
		return err
	}
	r.state.edges, r.state.gone = &document{signed: doc, position: list.Position}, list.Gone
	return nil
}

func (r *Replica) loadBundle(name string, doc mezu.Signed) error {
	next, err := r.judgeBundle(doc)
	if err != nil {
		return err
	}
	if next.bundle.Environment != name {
		return fmt.Errorf("bundle is of environment %s", next.bundle.Environment)
	}
	r.show(next)
	return nil
}

// setAside takes a bad file out of use and keeps it for whoever looks into it. A
// missing file is none.
func (r *Replica) setAside(path string, reason error) {
	if errors.Is(reason, fs.ErrNotExist) {
		return
	}
	r.log.Error("setting a bad file aside", "file", path, "to", path+rejectedSuffix, "error", reason)
	if err := os.Rename(path, path+rejectedSuffix); err != nil {
		r.log.Error("setting a bad file aside", "file", path, "error", err)
	}
}

// saveStatement writes a signed statement, by save or saveSoon.
func (r *Replica) saveStatement(path string, doc mezu.Signed, save func(path string, data []byte)) {
	content, err := json.Marshal(doc)
	if err != nil {
		r.log.Error("encoding a statement", "purpose", doc.Purpose, "error", err)
		return
	}
	save(path, content)
}

// remove takes a file away, and what waits to be written there.
func (r *Replica) remove(path string) {
	r.disk.writing.Lock()
	defer r.disk.writing.Unlock()
	r.disk.remove(path)
	if err := removeFile(path); err != nil {
		r.log.Error("tidying the state directory", "error", err)
	}
}

// flush writes what waits and then the cursor: the one on disk never lies after a
// statement that is not there.
func (r *Replica) flush() {
	r.disk.flushing.Lock()
	defer r.disk.flushing.Unlock()
	r.mu.Lock()
	stored, dirty := storedStream{Cursor: r.state.cursor, Head: r.state.head, Incomplete: r.state.incomplete, Whole: r.state.whole, Bundles: r.state.bundles}, r.state.dirty
	if r.state.edges != nil {
		stored.Edges = r.state.edges.position
	}
	if anchor := r.Trust(); anchor != nil {
		if _, keyset := anchor.Keyset(); keyset != nil {
			stored.Keyset = keyset.Version
		}
	}
	r.state.dirty = false
	r.mu.Unlock()
	if !r.writeWaiting(true) {
		r.mu.Lock()
		r.state.dirty = r.state.dirty || dirty
		r.mu.Unlock()
		return
	}
	if !dirty {
		return
	}
	if r.revoked != nil {
		// It has what the cursor stands for, and perhaps more, which is as good.
		stored.Revocations = r.revoked.Mark()
	}
	content, err := json.Marshal(stored)
	if err == nil {
		err = atomicfile.Write(r.path(streamFile), content, fileMode)
	}
	if err != nil {
		r.counters.unsaved.Add(1)
		r.log.Error("writing the position of the stream", "error", err)
		r.mu.Lock()
		r.state.dirty = true
		r.mu.Unlock()
	}
}

// readJSON reads a file of at most maxFile bytes.
func readJSON(path string, into any) error {
	content, err := atomicfile.ReadFile(path, maxFile)
	if err != nil {
		return err
	}
	return decodeJSON(path, content, into)
}

func decodeJSON(path string, content []byte, into any) error {
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("decoding %s: %w", path, err)
	}
	return nil
}

// readKey reads a file that has a private key.
func readKey(path string) ([]byte, error) { return atomicfile.ReadKey(path, maxFile) }

// removeFile removes a file that may be gone already.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a file: %w", err)
	}
	return nil
}
