package replica

import (
	"fmt"
	"path/filepath"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// PartsFolder is the one in the state directory for what edges alone get, <environment id>.json.
// It lies there as it came, encrypted.
const PartsFolder = "parts"

// part is what edges alone get of an environment.
type part struct {
	trust.InForce
	waits bool // it is not encrypted to this edge, as far as it knows
}

func partFile(environment string) string { return filepath.Join(PartsFolder, environment+".json") }

func (r *Replica) applyPart(statement mezu.Signed) error {
	p, known, err := r.showPart(statement)
	if err != nil || known {
		return err
	}
	r.saveStatementSoon(partFile(p.Environment), statement)
	return nil
}

// showPart puts what edges alone get in force, unless it is already. One that is not encrypted to
// this edge takes the place of the one before, too: that is of no use any more, and the control
// plane makes another for an edge that has joined.
func (r *Replica) showPart(statement mezu.Signed) (p *mezu.EdgePart, known bool, err error) {
	p, known, err = r.trust().NextEdgePart(statement, func(environment string) *trust.InForce {
		r.mu.RLock()
		defer r.mu.RUnlock()
		if is := r.state.parts[environment]; is != nil {
			return &is.InForce
		}
		return nil
	})
	if err != nil || known {
		return p, known, err
	}
	content, err := r.cfg.Identity.OpenPart(p)
	if err != nil {
		return p, false, err
	}
	if content == nil {
		r.log.Info("waiting for the secrets of an environment to be encrypted to this edge; its webhooks answer 503", "environment", p.Environment)
	}
	r.mu.Lock()
	if was := r.state.parts[p.Environment]; was != nil {
		r.state.partSet.CountBundle(p.Environment, was.Position, -1)
	}
	r.state.parts[p.Environment] = &part{InForce: trust.InForce{Signed: statement, Position: p.Position}, waits: content == nil}
	r.state.partSet.CountBundle(p.Environment, p.Position, 1)
	r.raiseHead(p.Position)
	r.mu.Unlock()
	r.cfg.OnContent(p.Environment, content)
	return p, false, nil
}

// openParts opens what was not encrypted to this edge when it came. The control plane may send
// what it has encrypted to a new key before the answer that lets this edge go on with that key.
func (r *Replica) openParts() {
	r.mu.RLock()
	var waiting []*part
	for _, is := range r.state.parts {
		if is.waits {
			waiting = append(waiting, is)
		}
	}
	r.mu.RUnlock()
	for _, is := range waiting {
		p, err := r.trust().OpenEdgePart(is.Signed)
		if err != nil {
			continue // it was good when it came; the control plane signs it anew with its next key
		}
		content, err := r.cfg.Identity.OpenPart(p)
		switch {
		case err != nil:
			r.log.Error("the secrets of an environment can't be decrypted", "environment", p.Environment, "error", err)
		case content != nil:
			r.mu.Lock()
			there := r.state.parts[p.Environment] == is
			is.waits = false
			r.mu.Unlock()
			if there {
				r.cfg.OnContent(p.Environment, content)
			}
		}
	}
}

// loadPart reads one on the disk.
func (r *Replica) loadPart(name string, statement mezu.Signed) error {
	p, _, err := r.showPart(statement)
	if err != nil {
		return err
	}
	if p.Environment != name {
		return fmt.Errorf("part is of environment %s", p.Environment)
	}
	return nil
}

// dropPart forgets what edges alone know of an environment that is gone.
func (r *Replica) dropPart(environment string) {
	r.mu.Lock()
	was := r.state.parts[environment]
	if was != nil {
		delete(r.state.parts, environment)
		r.state.partSet.CountBundle(environment, was.Position, -1)
	}
	r.mu.Unlock()
	if was != nil {
		r.remove(partFile(environment))
		r.cfg.OnContent(environment, nil)
	}
}
