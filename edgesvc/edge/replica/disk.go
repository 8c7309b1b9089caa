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
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
	"github.com/mezusphere/mezu/trust/statedir"
)

// Folder is the one in the state directory for the bundles, <environment id>.json.
const Folder = "bundles"

// Files of the state directory.
const (
	keysetFile     = "keyset.json"
	edgesFile      = "edges.json"
	streamFile     = "stream.json"
	revocationsLog = "revocations.log"
	revocationsDir = "revocations" // of the version before: a file each
)

func bundleFile(environment string) string { return filepath.Join(Folder, environment+".json") }

// storedStream is the content of streamFile.
type storedStream struct {
	Cursor     mezu.Position `json:"cursor"`
	Head       mezu.Position `json:"head"`
	Incomplete bool          `json:"incomplete,omitempty"`
	// Snapshot: a snapshot had not come to its end. Which environments it had named is not
	// on disk, so the next start asks for everything.
	Snapshot bool `json:"whole,omitempty"`
	// The rest is what was on the disk when this was written, so that a start sees whether
	// it still is.
	Revocations ledger.Mark      `json:"revocations,omitzero"`
	Bundles     api.StatementSet `json:"bundles,omitzero"`
	Edges       mezu.Position    `json:"edges,omitzero"`
	Keyset      uint64           `json:"keyset,omitempty"`
	Keys        api.StatementSet `json:"assertion_keys,omitzero"`
	Parts       api.StatementSet `json:"edge_parts,omitzero"`
}

// Load reads the state directory into memory, if the edge has enrolled, and keeps there
// what comes. Files that do not verify are set aside. Only a log of revocations that can't
// be opened is an error.
func (r *Replica) Load(dir *statedir.Dir) error {
	r.dir = dir
	if r.trust() == nil {
		return nil
	}
	var stored storedStream
	err := r.dir.ReadJSON(streamFile, &stored)
	if err != nil {
		r.dir.Reject(streamFile, err)
	}
	lost, logErr := r.openLog(r.trust(), stored.Revocations)
	if logErr != nil {
		return logErr
	}
	if !r.loadKeyset() {
		return nil
	}
	good := r.loadStatements()
	lost = append(lost, r.lostSince(stored)...)
	r.catchUp.had = err == nil || len(r.state.bundles) > 0
	r.raiseHead(stored.Head)
	if len(lost) > 0 {
		r.state.lost = lost
		r.log.Error("statements that were on this edge's disk are not there any more, or are older ones; asking the control plane for everything", "lost", strings.Join(lost, ", "))
	}
	if !good || len(lost) > 0 || stored.Incomplete {
		r.log.Warn("asking the control plane for everything: a statement was lost or rejected earlier")
		// Written at once: what was set aside now the next start would not miss.
		r.state.incomplete, r.state.dirty = true, true
		r.Flush()
		return nil
	}
	if !stored.Snapshot {
		r.state.cursor, r.state.durable = stored.Cursor, stored.Cursor
	}
	return nil
}

// lostSince names the kinds of statements of which the disk has less, or older ones, than
// when the position was written. Newer ones are no loss: they were written after it.
func (r *Replica) lostSince(stored storedStream) (lost []string) {
	if _, keyset := r.trust().Keyset(); keyset.Version < stored.Keyset {
		lost = append(lost, fmt.Sprintf("keyset (version %d, was %d)", keyset.Version, stored.Keyset))
	}
	var edges mezu.Position
	if r.state.edges != nil {
		edges = r.state.edges.Position
	}
	if edges.Compare(stored.Edges) < 0 {
		lost = append(lost, fmt.Sprintf("list of edges (at %s, was at %s)", edges, stored.Edges))
	}
	newer := false
	for _, d := range r.state.bundles {
		newer = newer || d.Position.Compare(stored.Head) > 0
	}
	if n := r.state.known; n.Count < stored.Bundles.Count || !newer && stored.Bundles.Count > 0 && n != stored.Bundles {
		lost = append(lost, fmt.Sprintf("bundles (%d, were %d)", n.Count, stored.Bundles.Count))
	}
	newer = false
	for _, k := range r.state.keys {
		newer = newer || k.Position.Compare(stored.Head) > 0
	}
	if n := r.state.keySet; n.Count < stored.Keys.Count || !newer && stored.Keys.Count > 0 && n != stored.Keys {
		lost = append(lost, fmt.Sprintf("keys of Warpgates (of %d environments, were of %d)", n.Count, stored.Keys.Count))
	}
	newer = false
	for _, p := range r.state.parts {
		newer = newer || p.Position.Compare(stored.Head) > 0
	}
	if n := r.state.partSet; n.Count < stored.Parts.Count || !newer && stored.Parts.Count > 0 && n != stored.Parts {
		lost = append(lost, fmt.Sprintf("secrets of webhooks (of %d environments, were of %d)", n.Count, stored.Parts.Count))
	}
	return lost
}

// Pin opens the log of revocations when the edge enrols, for what it believes from now on.
// After that it does nothing.
func (r *Replica) Pin(anchor *trust.Anchor) error {
	if r.revoked != nil {
		return nil
	}
	_, err := r.openLog(anchor, ledger.Mark{})
	return err
}

// openLog opens the log of revocations for an anchor.
func (r *Replica) openLog(anchor *trust.Anchor, must ledger.Mark) (lost []string, err error) {
	log, report, err := ledger.Open(r.dir.Path(revocationsLog), anchor, r.now, must)
	if err != nil {
		return nil, err
	}
	r.revoked = log
	if report.Lost {
		lost = append(lost, "revocations ("+report.Why+")")
	}
	return lost, nil
}

// loadKeyset reads the keyset and reports whether there is one. Without it no other
// statement can be verified; their files are then left as they are.
func (r *Replica) loadKeyset() bool {
	var keyset mezu.Signed
	err := r.dir.ReadJSON(keysetFile, &keyset)
	if err == nil {
		_, err = r.trust().AcceptKeyset(keyset)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Error("the keyset on disk can't be used; nothing is served before the control plane sends one", "error", err)
	}
	return err == nil
}

// loadStatements reads the signed statements and reports whether all files were
// good.
func (r *Replica) loadStatements() bool {
	good := r.importRevocations()
	var edges mezu.Signed
	err := r.dir.ReadJSON(edgesFile, &edges)
	if err == nil {
		err = r.loadEdges(edges)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.dir.Reject(edgesFile, err)
		good = false
	}
	good = r.loadDir(Folder, r.loadBundle) && good
	good = r.loadDir(KeysFolder, r.loadKeys) && good
	return r.loadDir(PartsFolder, r.loadPart) && good
}

// loadDir hands each statement of a folder to take, with its file's name. It
// reports whether all were good.
func (r *Replica) loadDir(dir string, take func(name string, statement mezu.Signed) error) bool {
	entries, err := os.ReadDir(r.dir.Path(dir))
	if err != nil {
		r.log.Error("reading the state directory", "folder", dir, "error", err)
		return false
	}
	good := true
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		file := filepath.Join(dir, entry.Name())
		var statement mezu.Signed
		err := r.dir.ReadJSON(file, &statement)
		if err == nil {
			err = take(name, statement)
		}
		if err != nil {
			r.dir.Reject(file, err)
			good = false
		}
	}
	return good
}

// importRevocations moves the files of the version before into the log and reports whether
// all were good. It may be killed at any point: files are removed after the log is on the
// disk.
func (r *Replica) importRevocations() bool {
	if _, err := os.Stat(r.dir.Path(revocationsDir)); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	var taken []string
	good := r.loadDir(revocationsDir, func(name string, statement mezu.Signed) error {
		rev, err := r.trust().OpenRevocation(statement)
		if err == nil {
			_, err = r.revoked.Add(r.trust(), rev, statement)
		}
		if err == nil {
			taken = append(taken, filepath.Join(revocationsDir, name+".json"))
		}
		return err
	})
	if err := r.revoked.Flush(); err != nil {
		r.dir.Unsaved(revocationsLog, err)
		return good
	}
	for _, name := range taken {
		r.remove(name)
	}
	// This fails if a file was set aside, which is as it should be.
	_ = os.Remove(r.dir.Path(revocationsDir))
	return good
}

func (r *Replica) loadEdges(statement mezu.Signed) error {
	list, err := r.trust().OpenEdges(statement)
	if err != nil {
		return err
	}
	r.state.edges, r.state.gone = &trust.InForce{Signed: statement, Position: list.Position}, list.Gone
	return nil
}

func (r *Replica) loadBundle(name string, statement mezu.Signed) error {
	next, err := r.judgeBundle(statement)
	if err != nil {
		return err
	}
	if next.bundle.Environment != name {
		return fmt.Errorf("bundle is of environment %s", next.bundle.Environment)
	}
	r.show(next)
	return nil
}

// KeepKeyset keeps a keyset that was put in force, and tells of it.
func (r *Replica) KeepKeyset(statement mezu.Signed) {
	r.saveStatement(keysetFile, statement)
	r.cfg.OnStatement("", statement)
}

// saveStatement writes a statement before it returns, or has it tried again.
func (r *Replica) saveStatement(name string, statement mezu.Signed) {
	if content := r.encode(statement); content != nil {
		_ = r.dir.Save(name, content) // the directory says so, and tries again
	}
}

// saveStatementSoon writes a statement together with others that come at the same time. When
// too many wait, it writes all of them, after the log of revocations.
func (r *Replica) saveStatementSoon(name string, statement mezu.Signed) {
	content := r.encode(statement)
	if content == nil {
		return
	}
	if full := r.dir.SaveSoon(name, content); full {
		r.writeWaiting(false)
	}
}

func (r *Replica) encode(statement mezu.Signed) []byte {
	content, err := json.Marshal(statement)
	if err != nil {
		r.log.Error("encoding a statement", "purpose", statement.Purpose, "error", err)
		return nil
	}
	return content
}

// remove takes a file away, and what waits to be written there.
func (r *Replica) remove(name string) {
	if err := r.dir.Remove(name); err != nil {
		r.log.Error("tidying the state directory", "error", err)
	}
}

// Flush writes what waits and then the cursor, if all of that could be written: the cursor on
// disk never stands for a statement that is not on disk.
func (r *Replica) Flush() {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	r.mu.Lock()
	stored, dirty := storedStream{Cursor: r.state.cursor, Head: r.state.head, Incomplete: r.state.incomplete, Snapshot: r.state.snapshot, Bundles: r.state.known, Keys: r.state.keySet, Parts: r.state.partSet}, r.state.dirty
	if r.state.edges != nil {
		stored.Edges = r.state.edges.Position
	}
	if anchor := r.trust(); anchor != nil {
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
		// The log has what the cursor stands for. It may have more, which does no harm.
		stored.Revocations = r.revoked.Mark()
	}
	content, err := json.Marshal(stored)
	if err == nil {
		err = r.dir.Write(streamFile, content)
	}
	if err != nil {
		r.counters.unsaved.Add(1)
		r.log.Error("writing the position of the stream", "error", err)
		r.mu.Lock()
		r.state.dirty = true
		r.mu.Unlock()
	}
}
