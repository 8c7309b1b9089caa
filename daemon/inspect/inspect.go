// Package inspect keeps what passed through the tunnels of a daemon, so that their owner can look
// at it and send it again. It is kept in memory only, and ends with the process.
//
// What lives here: the recorder of exchanges, what it keeps of which and for how long, and how
// they are found again. What may not: what a person is shown of them (packages mask, decode,
// pretty and filter say that), logs, files, and what a request may. Nothing here is masked:
// whoever gives a Record away masks it. daemon and daemon/rest import it; the sidecar links
// nothing of it.
package inspect

import (
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// Config says how much is kept.
type Config struct {
	// Inspect is how many exchanges are kept, and how many bytes. If zero, the defaults.
	local.Inspect
	// Now is the clock; if nil, time.Now.
	Now func() time.Time
}

// Inspector keeps the exchanges of all tunnels. It is safe for concurrent use.
type Inspector struct {
	cfg Config
}

// New makes one that keeps nothing yet.
func New(cfg Config) *Inspector { return &Inspector{cfg: cfg} }

// Query says which exchanges are asked for.
type Query struct {
	// Match is asked of each; if nil, all match. It is called without locks, newest first,
	// until there are enough.
	Match func(*Record) bool
	// Most is how many there are at most; if zero, no matter how many.
	Most int
	// Before is the Sequence before which they began; if zero, there is no such bound.
	Before uint64
	// ChangedAfter is a Revision: only those that have changed since.
	ChangedAfter uint64
}

// List gives exchanges, newest first. next is the Before of the page behind, zero if there is
// none. The state is that of the moment before.
func (i *Inspector) List(q Query) (page []*Record, next uint64, state local.InspectorState) {
	return nil, 0, i.State()
}

// Get gives the exchange whose id or request id is id, or begins with it. An error is a
// *mezu.Error: there is none, or there are several.
func (i *Inspector) Get(id string) (*Record, error) {
	return nil, mezu.Errorf(mezu.CodeNotFound, "there is no request %q", id)
}

// Remove removes an exchange that has ended, be it pinned or not.
func (i *Inspector) Remove(id string) error { return nil }

// Clear removes the exchanges that have ended, are not pinned and match; all if match is nil. It
// returns how many.
func (i *Inspector) Clear(match func(*Record) bool) int { return 0 }

// Pin has an exchange stay, or no longer.
func (i *Inspector) Pin(id string, pinned bool) (*Record, error) { return i.Get(id) }

// State is how the inspector is.
func (i *Inspector) State() local.InspectorState { return local.InspectorState{} }

// Changed gives a channel that is closed when the Revision is above the given one.
func (i *Inspector) Changed(revision uint64) <-chan struct{} { return nil }
