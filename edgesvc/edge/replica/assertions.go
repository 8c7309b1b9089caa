package replica

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// KeysFolder is the one in the state directory for the keys of Warpgates, <environment id>.json.
const KeysFolder = "assertions"

func keysFile(environment string) string { return filepath.Join(KeysFolder, environment+".json") }

// keys is the statement in force of the keys of one environment's Warpgates.
type keys struct {
	trust.InForce
	list   *mezu.AssertionKeys
	listed atomic.Pointer[listed]
}

// listed are those of the keys that workloads may go by, until the first of them ends; zero is
// never.
type listed struct {
	keys  []mezu.AssertionKey
	until time.Time
}

// listedAt gives those of a moment: the same slice as long as nothing changes.
func (k *keys) listedAt(now time.Time) []mezu.AssertionKey {
	if l := k.listed.Load(); l != nil && (l.until.IsZero() || !now.After(l.until)) {
		return l.keys
	}
	l := &listed{keys: k.list.Listed(now)}
	for i := range l.keys {
		if end := l.keys[i].Until; !end.IsZero() && (l.until.IsZero() || end.Before(l.until)) {
			l.until = end
		}
	}
	k.listed.Store(l)
	return l.keys
}

func (r *Replica) applyAssertions(statement mezu.Signed) error {
	list, known, err := r.showKeys(statement)
	if err != nil || known {
		return err
	}
	r.saveStatementSoon(keysFile(list.Environment), statement)
	r.cfg.OnStatement(list.Environment, statement)
	return nil
}

// showKeys puts keys in force, unless they are already.
func (r *Replica) showKeys(statement mezu.Signed) (list *mezu.AssertionKeys, known bool, err error) {
	list, known, err = r.trust().NextAssertions(statement, func(environment string) *trust.InForce {
		r.mu.RLock()
		defer r.mu.RUnlock()
		if k := r.state.keys[environment]; k != nil {
			return &k.InForce
		}
		return nil
	})
	if err != nil || known {
		return list, known, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.state.keys[list.Environment]; was != nil {
		r.state.keySet.CountBundle(list.Environment, was.Position, -1)
	}
	r.state.keys[list.Environment] = &keys{InForce: trust.InForce{Signed: statement, Position: list.Position}, list: list}
	r.state.keySet.CountBundle(list.Environment, list.Position, 1)
	r.raiseHead(list.Position)
	return list, false, nil
}

// loadKeys reads those on the disk.
func (r *Replica) loadKeys(name string, statement mezu.Signed) error {
	list, _, err := r.showKeys(statement)
	if err != nil {
		return err
	}
	if list.Environment != name {
		return fmt.Errorf("keys are of environment %s", list.Environment)
	}
	return nil
}

// dropKeys forgets the keys of an environment that is gone.
func (r *Replica) dropKeys(environment string) {
	r.mu.Lock()
	was := r.state.keys[environment]
	if was != nil {
		delete(r.state.keys, environment)
		r.state.keySet.CountBundle(environment, was.Position, -1)
	}
	r.mu.Unlock()
	if was != nil {
		r.remove(keysFile(environment))
	}
}

// AssertionKeys are the keys by which the Warpgates of an environment sign, for who checks what
// they signed. They are read only, and in the same slice as long as they are the same.
func (r *Replica) AssertionKeys(environment string) []mezu.AssertionKey {
	r.mu.RLock()
	k := r.state.keys[environment]
	r.mu.RUnlock()
	if k == nil {
		return nil
	}
	return k.listedAt(r.now())
}
