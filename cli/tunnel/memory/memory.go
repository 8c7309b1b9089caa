// Package memory keeps what "mezu tunnel" has learned from a person and shall not ask again:
// how their environments are called, which of them are theirs, and which targets the mezu.yaml
// of a folder may lead to.
//
// What may not live here: asking. It imports atomicfile only; cli/tunnel and the packages below
// it import it.
package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/mezusphere/mezu/atomicfile"
)

const (
	// fileName is the file in the folder of the state, lockName the lock of who writes it.
	fileName = "tunnels-known.json"
	lockName = ".tunnels-known.lock"
	// maxFile bounds the file, far above what maxEntries of everything take.
	maxFile = 4 << 20
	// maxEntries bounds each of the lists. A person works in fewer folders; beyond it some
	// entry is forgotten, and asked for again.
	maxEntries = 1000
)

// Memory is what is remembered. The zero value is nothing.
type Memory struct {
	// Names are the first parts of the names of somebody's environments, by who and where.
	Names map[string]string `json:"names,omitempty"`
	// Environments are those that this machine made or served, by Key.
	Environments map[string]Environment `json:"environments,omitempty"`
	// Targets are those that the mezu.yaml of a folder may lead to, by the folder.
	Targets map[string][]string `json:"targets,omitempty"`
}

// Environment is what is known of one environment.
type Environment struct {
	// ID is its id. An environment of the same name that has another one is another's.
	ID string `json:"id"`
	// Mine says that it was made for whoever is at this machine.
	Mine bool `json:"mine,omitempty"`
	// Warpgate is the id by which this machine served it last.
	Warpgate string `json:"warpgate,omitempty"`
}

// Key names an environment: the control plane's address and the three names.
func Key(api, organization, project, environment string) string {
	return api + " " + organization + "/" + project + "/" + environment
}

// Store is the file.
type Store struct {
	// Dir is the folder of the state; if empty, nothing is kept.
	Dir string
}

// Load reads what is remembered. A file that is damaged, or that others could have written,
// counts as none: then everything is asked again.
func (s Store) Load() Memory {
	var m Memory
	if s.Dir == "" {
		return m
	}
	data, err := atomicfile.ReadGivenKey(filepath.Join(s.Dir, fileName), maxFile)
	if err != nil || json.Unmarshal(data, &m) != nil {
		return Memory{}
	}
	return m
}

// Update changes what is remembered. Several processes may do so at once.
func (s Store) Update(ctx context.Context, change func(*Memory)) error {
	if s.Dir == "" {
		return nil
	}
	if err := atomicfile.EnsureOwnDir(s.Dir); err != nil {
		return fmt.Errorf("remembering a tunnel: %w", err)
	}
	lock, err := atomicfile.LockFile(ctx, filepath.Join(s.Dir, lockName))
	if err != nil {
		return fmt.Errorf("remembering a tunnel: %w", err)
	}
	defer lock.Close()
	m := s.Load()
	before, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding what is remembered: %w", err)
	}
	m.Names, m.Environments, m.Targets = ready(m.Names), ready(m.Environments), ready(m.Targets)
	change(&m)
	bound(m.Names)
	bound(m.Environments)
	bound(m.Targets)
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding what is remembered: %w", err)
	}
	if string(data) == string(before) {
		return nil
	}
	if err := atomicfile.Write(filepath.Join(s.Dir, fileName), data, 0o600); err != nil {
		return fmt.Errorf("remembering a tunnel: %w", err)
	}
	return nil
}

func ready[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// bound forgets some entries of one that has too many.
func bound[V any](m map[string]V) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if len(m) <= maxEntries {
			return
		}
		delete(m, key)
	}
}
