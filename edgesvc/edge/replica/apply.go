package replica

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/policy"
)

// errBackwards: the statement is older than the one in force.
var errBackwards = errors.New("statement is older than the one in force")

// errConflict: two different statements claim one position.
var errConflict = errors.New("statement differs from the one in force at the same position")

// judged is a bundle that verifies, compiles and follows the one in force.
type judged struct {
	signed mezu.Signed
	bundle *mezu.Bundle
	table  *policy.Table // nil of a removed environment
	// known: the same statement is in force already, perhaps under an older
	// signature.
	known bool
}

// apply puts one statement of the stream in force. A statement that fails changes
// nothing.
func (r *Replica) apply(ev api.StreamEvent) error {
	switch ev.Kind {
	case api.StreamKeyset:
		return r.applyKeyset(ev.Signed)
	case api.StreamRevocation:
		return r.applyRevocation(ev.Signed)
	case api.StreamEdges:
		return r.applyEdges(ev.Signed)
	case api.StreamBundle:
		return r.applyBundle(ev.Signed)
	}
	// A newer control plane says more than this build knows.
	r.log.Debug("passing over an event", "kind", ev.Kind)
	return nil
}

func (r *Replica) applyKeyset(doc mezu.Signed) error {
	changed, err := r.Trust().AcceptKeyset(doc)
	if err != nil || !changed {
		return err
	}
	_, keyset := r.Trust().Keyset()
	r.log.Info("keyset changed", "version", keyset.Version)
	r.saveStatement(r.path(keysetFile), doc, r.save)
	r.tell("", doc)
	return nil
}

// applyRevocation is in force before it is on disk: a full disk must not keep
// anybody in.
func (r *Replica) applyRevocation(doc mezu.Signed) error {
	rev, err := r.Trust().OpenRevocation(doc)
	if err != nil {
		return err
	}
	added, err := r.revoked.Add(r.Trust(), rev, doc)
	if !added {
		return err
	}
	if err != nil {
		r.log.Error("forgetting what a revocation of a whole directory stands for", "error", err)
	}
	r.markDirty()
	r.disk.poke()
	if r.cfg.OnRevocation != nil {
		r.cfg.OnRevocation(rev, doc)
	}
	if s := r.self.Load(); r.Trust().CertificateRevoked(s.serial) {
		r.log.Error("this edge's certificate has been revoked; Warpgates and the control plane refuse it. Enrol anew with an empty state directory", "edge", s.id)
	}
	return nil
}

// markDirty has the position be written again.
func (r *Replica) markDirty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.dirty = true
}

func (r *Replica) applyEdges(doc mezu.Signed) error {
	list, err := r.Trust().OpenEdges(doc)
	if err != nil {
		return err
	}
	r.mu.RLock()
	known, err := follows(r.state.edges, doc, list.Position)
	r.mu.RUnlock()
	if err != nil || known {
		return err
	}
	r.saveStatement(r.path(edgesFile), doc, r.save)
	r.mu.Lock()
	r.state.edges, r.state.gone = &document{signed: doc, position: list.Position}, list.Gone
	r.mu.Unlock()
	r.tell("", doc)
	return nil
}

func (r *Replica) applyBundle(doc mezu.Signed) error {
	next, err := r.judgeBundle(doc)
	if err != nil {
		return err
	}
	environment := next.bundle.Environment
	if next.known && r.inForce(environment, doc) {
		return nil
	}
	// In force first: many are written at once, and the cursor goes after them.
	freed := r.show(next)
	r.saveStatement(r.path(bundlesDir, environment+".json"), doc, r.saveSoon)
	r.tell(environment, doc)
	if r.pair == nil {
		if freed != "" {
			r.remove(r.path(certsDir, freed+".pem"))
		}
		if e := r.hosts.get(next.bundle.Endpoint); e != nil && !next.bundle.Removed {
			r.orderCertificate(e)
		}
	}
	return nil
}

// inForce reports whether exactly this statement is.
func (r *Replica) inForce(environment string, doc mezu.Signed) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	d := r.state.documents[environment]
	return d != nil && d.signed.KeyID == doc.KeyID && bytes.Equal(d.signed.Signature, doc.Signature)
}

// judgeBundle verifies and compiles a bundle and checks that it does not fall
// behind the one in force.
func (r *Replica) judgeBundle(doc mezu.Signed) (*judged, error) {
	b, err := r.Trust().OpenBundle(doc)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	current := r.state.documents[b.Environment]
	if current != nil {
		current.named = r.state.snapshots
	}
	known, err := follows(current, doc, b.Position)
	r.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("judging the bundle of %s: %w", b.Environment, err)
	}
	j := &judged{signed: doc, bundle: b, known: known}
	if b.Removed {
		return j, nil
	}
	if j.table, err = compile(b); err != nil {
		return nil, fmt.Errorf("judging the bundle of %s: %w", b.Environment, err)
	}
	return j, nil
}

// compile keeps a bundle that breaks the compiler from breaking the edge.
func compile(b *mezu.Bundle) (t *policy.Table, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("compiling broke off: %v", p)
		}
	}()
	return policy.Compile(b)
}

// follows judges a statement by its place: known is true for the one in force,
// whoever signed it; one that lies before it is refused.
func follows(current *document, doc mezu.Signed, at mezu.Position) (known bool, err error) {
	if current == nil {
		return false, nil
	}
	switch c := at.Compare(current.position); {
	case c < 0:
		return false, fmt.Errorf("%w: at %s, in force %s", errBackwards, at, current.position)
	case c == 0 && !bytes.Equal(doc.Payload, current.signed.Payload):
		return false, fmt.Errorf("%w: %s", errConflict, at)
	default:
		return c == 0, nil
	}
}

// show makes a judged bundle visible. freed is the label that it takes off, if
// any.
func (r *Replica) show(j *judged) (freed string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	environment := j.bundle.Environment
	old := r.state.documents[environment]
	d := &document{signed: j.signed, position: j.bundle.Position, label: j.bundle.Endpoint, removed: j.bundle.Removed, named: r.state.snapshots, directory: j.bundle.Directory}
	if d.removed {
		d.label = ""
	}
	r.state.documents[environment] = d
	r.recount(environment, old, d)
	r.raiseHead(d.position)
	if old != nil && !old.removed {
		r.state.envs--
		if old.label != d.label && r.release(old.label, environment) {
			freed = old.label
		}
	}
	if !d.removed {
		r.state.envs++
		r.claim(d.label, j)
	}
	return freed
}

// recount keeps what is told of the documents up to date when one takes the place of
// another; either may be nil. r.mu is held.
func (r *Replica) recount(environment string, was, is *document) {
	if was != nil {
		r.state.bundles.CountBundle(environment, was.position, -1)
		if !was.removed {
			r.state.served.CountBundle(environment, was.position, -1)
		}
		if of := r.state.directories[was.directory]; of != nil {
			if delete(of, environment); len(of) == 0 {
				delete(r.state.directories, was.directory)
			}
		}
	}
	if is == nil {
		return
	}
	r.state.bundles.CountBundle(environment, is.position, 1)
	if is.removed {
		return
	}
	r.state.served.CountBundle(environment, is.position, 1)
	if is.directory == "" {
		return
	}
	of := r.state.directories[is.directory]
	if of == nil {
		of = map[string]bool{}
		r.state.directories[is.directory] = of
	}
	of[environment] = true
}

// raiseHead keeps the highest position; r.mu is held or r is not shared yet.
func (r *Replica) raiseHead(p mezu.Position) {
	if p.Compare(r.state.head) > 0 {
		r.state.head, r.state.dirty = p, true
	}
}

// claim puts a table under its label; r.mu is held. No label has two
// environments: the later statement has it, because a label that was given away
// must have been free by then.
func (r *Replica) claim(label string, j *judged) {
	e := r.hosts.get(label)
	switch {
	case e == nil:
		e = &endpoint{label: label, environment: j.bundle.Environment, position: j.bundle.Position}
		e.table.Store(j.table)
		r.hosts.put(e)
		return
	case e.environment != j.bundle.Environment:
		taken := j.bundle.Position.Compare(e.position) > 0
		r.log.Error("two environments claim one endpoint; the later statement has it",
			"endpoint", label, "holder", e.environment, "claims", j.bundle.Environment, "taken", taken)
		if !taken {
			return
		}
	}
	e.environment, e.position = j.bundle.Environment, j.bundle.Position
	e.table.Store(j.table)
}

// forgetGone drops the environments of which the snapshot that has come to its end said
// nothing, and that are from no later than the place up to which the control plane says
// of removed ones nothing more. r.mu is held; the files to be removed are returned.
func (r *Replica) forgetGone() []string {
	var files []string
	if r.state.incomplete {
		return nil // what was said of them may have been rejected
	}
	for environment, d := range r.state.documents {
		if d.removed || d.named == r.state.snapshots || d.position.Compare(r.state.gone) > 0 {
			continue
		}
		delete(r.state.documents, environment)
		r.recount(environment, d, nil)
		r.state.envs--
		files = append(files, r.path(bundlesDir, environment+".json"))
		if r.release(d.label, environment) && r.pair == nil {
			files = append(files, r.path(certsDir, d.label+".pem"))
		}
		r.log.Info("an environment was removed while this edge was away", "environment", environment, "endpoint", d.label)
	}
	return files
}

// release takes a label from an environment, if it has it; r.mu is held.
func (r *Replica) release(label, environment string) bool {
	e := r.hosts.get(label)
	if e == nil || e.environment != environment {
		return false
	}
	r.hosts.drop(label)
	return true
}

// tell hands a statement on.
func (r *Replica) tell(environment string, doc mezu.Signed) {
	if r.cfg.OnDocument != nil {
		r.cfg.OnDocument(environment, doc)
	}
}

// forgetRevocations drops those that can affect nothing any more.
func (r *Replica) forgetRevocations() {
	r.Trust().ForgetEnded()
	anew, err := r.revoked.Tidy(r.Trust())
	if err != nil {
		r.log.Error("tidying the state directory", "error", err)
	}
	if anew {
		r.markDirty()
		r.flush()
	}
}
