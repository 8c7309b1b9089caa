package replica

import (
	"bytes"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/trust"
)

// judged is a bundle that verifies, compiles and may replace the one in force.
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
	case api.StreamAssertions:
		return r.applyAssertions(ev.Signed)
	case api.StreamEdgePart:
		return r.applyPart(ev.Signed)
	}
	// Newer control planes have kinds that this build doesn't know.
	r.log.Debug("passing over an event", "kind", ev.Kind)
	return nil
}

func (r *Replica) applyKeyset(statement mezu.Signed) error {
	changed, err := r.trust().AcceptKeyset(statement)
	if err != nil || !changed {
		return err
	}
	_, keyset := r.trust().Keyset()
	r.log.Info("keyset changed", "version", keyset.Version)
	r.KeepKeyset(statement)
	return nil
}

// applyRevocation puts a revocation in force before it is on disk: whom it ends must not
// stay because the disk is full.
func (r *Replica) applyRevocation(statement mezu.Signed) error {
	rev, err := r.trust().OpenRevocation(statement)
	if err != nil {
		return err
	}
	added, err := r.revoked.Add(r.trust(), rev, statement)
	if !added {
		return err
	}
	if err != nil {
		r.log.Error("forgetting what a revocation of a whole directory stands for", "error", err)
	}
	r.markDirty()
	r.dir.Poke()
	r.cfg.OnRevocation(rev, statement)
	return nil
}

// markDirty makes the next flush write the cursor, and with it what is on the disk.
func (r *Replica) markDirty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.dirty = true
}

func (r *Replica) applyEdges(statement mezu.Signed) error {
	r.mu.RLock()
	current := r.state.edges
	r.mu.RUnlock()
	list, known, err := r.trust().NextEdges(statement, current)
	if err != nil || known {
		return err
	}
	r.saveStatement(edgesFile, statement)
	r.mu.Lock()
	r.state.edges, r.state.gone = &trust.InForce{Signed: statement, Position: list.Position}, list.Gone
	r.mu.Unlock()
	r.cfg.OnStatement("", statement)
	return nil
}

func (r *Replica) applyBundle(statement mezu.Signed) error {
	next, err := r.judgeBundle(statement)
	if err != nil {
		return err
	}
	environment := next.bundle.Environment
	if next.known && r.inForce(environment, statement) {
		return nil
	}
	// In force first: many are written at once, and the cursor goes after them.
	freed := r.show(next)
	r.saveStatementSoon(bundleFile(environment), statement)
	r.cfg.OnStatement(environment, statement)
	if freed != "" {
		r.cfg.Certificates.Remove(freed)
	}
	if next.bundle.Removed {
		r.dropKeys(environment)
		r.dropPart(environment)
		return nil
	}
	r.cfg.Certificates.Order(next.bundle.Endpoint)
	return nil
}

// inForce reports whether exactly this statement is in force, with the same signature.
func (r *Replica) inForce(environment string, statement mezu.Signed) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	d := r.state.bundles[environment]
	return d != nil && d.Signed.KeyID == statement.KeyID && bytes.Equal(d.Signed.Signature, statement.Signature)
}

// judgeBundle verifies and compiles a bundle and checks that it may replace the one in
// force.
func (r *Replica) judgeBundle(statement mezu.Signed) (*judged, error) {
	b, known, err := r.trust().NextBundle(statement, r.nameBundle)
	if err != nil {
		return nil, err
	}
	j := &judged{signed: statement, bundle: b, known: known}
	if b.Removed {
		return j, nil
	}
	if j.table, err = compile(b); err != nil {
		return nil, fmt.Errorf("judging the bundle of %s: %w", b.Environment, err)
	}
	return j, nil
}

// nameBundle notes that the snapshot under way names an environment, and returns the bundle
// of it that is in force, if there is one.
func (r *Replica) nameBundle(environment string) *trust.InForce {
	r.mu.Lock()
	defer r.mu.Unlock()
	current := r.state.bundles[environment]
	if current == nil {
		return nil
	}
	current.named = r.state.snapshots
	return &current.InForce
}

// compile compiles a bundle. A panic of the compiler is an error, so that a bundle can't end
// the edge.
func compile(b *mezu.Bundle) (t *policy.Table, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("compiling broke off: %v", p)
		}
	}()
	return policy.Compile(b)
}

// show puts a judged bundle in force. freed is the label that nobody has any more, if there
// is one.
func (r *Replica) show(j *judged) (freed string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	environment := j.bundle.Environment
	old := r.state.bundles[environment]
	d := &bundle{InForce: trust.InForce{Signed: j.signed, Position: j.bundle.Position}, label: j.bundle.Endpoint, removed: j.bundle.Removed, named: r.state.snapshots, directory: j.bundle.Directory}
	if d.removed {
		d.label = ""
	}
	r.state.bundles[environment] = d
	r.recount(environment, old, d)
	r.raiseHead(d.Position)
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

// recount brings sums and directories up to date when one bundle takes the place of another;
// either may be nil. r.mu is held.
func (r *Replica) recount(environment string, was, is *bundle) {
	if was != nil {
		r.state.known.CountBundle(environment, was.Position, -1)
		if !was.removed {
			r.state.served.CountBundle(environment, was.Position, -1)
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
	r.state.known.CountBundle(environment, is.Position, 1)
	if is.removed {
		return
	}
	r.state.served.CountBundle(environment, is.Position, 1)
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

// raiseHead notes a position if it is the highest; r.mu is held or r is not shared yet.
func (r *Replica) raiseHead(p mezu.Position) {
	if p.Compare(r.state.head) > 0 {
		r.state.head, r.state.dirty = p, true
	}
}

// claim puts a table under its label; r.mu is held. If another environment has the label,
// the later statement wins: the control plane gives a label away only when it is free, so
// the earlier environment has lost it.
func (r *Replica) claim(label string, j *judged) {
	e := r.hosts.Get(label)
	switch {
	case e == nil:
		e = &endpoint{label: label, environment: j.bundle.Environment, position: j.bundle.Position}
		e.site.Set(j.table)
		r.hosts.Put(label, e)
		r.cfg.Certificates.Add(label)
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
	e.site.Set(j.table)
}

// forgetGone ends a snapshot: it drops the environments that the snapshot did not name and
// that are gone according to the list of edges. The list gives the position up to which the
// control plane has no tombstones any more, so a bundle from before that which was not named
// was removed. The environments and the labels that are free now are returned. r.mu is held.
func (r *Replica) forgetGone() (environments, freed []string) {
	if r.state.incomplete {
		return nil, nil // what named them may have been rejected
	}
	for environment, d := range r.state.bundles {
		if d.removed || d.named == r.state.snapshots || d.Position.Compare(r.state.gone) > 0 {
			continue
		}
		delete(r.state.bundles, environment)
		r.recount(environment, d, nil)
		r.state.envs--
		environments = append(environments, environment)
		if r.release(d.label, environment) {
			freed = append(freed, d.label)
		}
		r.log.Info("an environment was removed while this edge was away", "environment", environment, "endpoint", d.label)
	}
	return environments, freed
}

// release takes a label from an environment and reports whether the environment had it. The
// endpoint's certificate goes first, so that none is shown for a host that nobody has. r.mu is
// held.
func (r *Replica) release(label, environment string) bool {
	e := r.hosts.Get(label)
	if e == nil || e.environment != environment {
		return false
	}
	r.cfg.Certificates.Drop(label)
	r.hosts.Drop(label)
	e.site.Set(nil) // for connections that have found it before
	return true
}

// Move is called when the edge's domain is another one, so that every endpoint has another host.
// A connection that has found one under its host of before must not keep it: each gets a new
// site, and in the old one nothing is in force.
func (r *Replica) Move() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := range r.hosts.All {
		moved := &endpoint{label: e.label, environment: e.environment, position: e.position}
		moved.site.Set(e.site.Table())
		r.hosts.Put(e.label, moved)
		e.site.Set(nil)
	}
}

// forgetRevocations drops revocations that have ended.
func (r *Replica) forgetRevocations() {
	r.trust().ForgetEnded()
	rewritten, err := r.revoked.Tidy(r.trust())
	if err != nil {
		r.log.Error("tidying the state directory", "error", err)
	}
	if rewritten {
		r.markDirty()
		r.Flush()
	}
}
