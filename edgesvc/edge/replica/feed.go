package replica

import (
	"maps"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust/ledger"
)

// Feed reads the revocations that one Warpgate must have: those for everyone, those of its
// environment and those of the directory that the environment names at the moment. It is
// for one goroutine.
type Feed struct {
	r           *Replica
	environment string
	told        mezu.Told
	directory   string // that is read
	begun       bool
	log         *ledger.Feed
	// upTo is the position up to which everything had come before the last call of Next.
	upTo   mezu.Position
	faulty bool
}

// Revocations begins a Feed of what a Warpgate of the environment was not told by this
// edge yet.
func (r *Replica) Revocations(environment string, told mezu.Told) *Feed {
	return &Feed{r: r, environment: environment, told: told, log: r.revoked.Feed()}
}

// Next gives up to n more, none when there are none now. If some can't be read from the disk,
// Current says nothing from then on, so that all are told again at the next registration.
func (f *Feed) Next(n int) []mezu.Signed {
	f.follow()
	statements, err := f.log.Next(n)
	if err != nil {
		if !f.faulty {
			f.r.log.Error("telling a Warpgate of revocations", "environment", f.environment, "error", err)
		}
		f.faulty = true
	}
	return statements
}

// follow makes the feed read the directory that the environment names now. It notes how far
// the stream has come before the log is read, so that what is read is not less than that.
func (f *Feed) follow() {
	r := f.r
	r.mu.RLock()
	directory := ""
	if d := r.state.bundles[f.environment]; d != nil {
		directory = d.directory
	}
	f.upTo = r.state.cursor
	if r.state.incomplete || r.state.snapshot {
		f.upTo = mezu.Position{} // something may be missing
	}
	r.mu.RUnlock()
	if f.begun && directory == f.directory {
		return
	}
	// For everyone first: an edge's certificate is what Warpgates judge by.
	f.log.Follow([]string{"", f.environment}, f.told.Position)
	if directory != "" {
		after := mezu.Position{}
		if directory == f.told.Directory {
			after = f.told.Position
		}
		f.log.Follow([]string{"", f.environment, directory}, after)
	}
	f.directory, f.begun = directory, true
}

// Current says up to where everything was told.
func (f *Feed) Current() (told mezu.Told, ok bool) {
	return mezu.Told{Directory: f.directory, Position: f.upTo}, !f.upTo.IsZero() && !f.faulty
}

// Concerned are the environments whose Warpgates must have a revocation; all is true if
// every Warpgate must.
func (r *Replica) Concerned(rev *mezu.Revocation) (environments []string, all bool) {
	if rev.Scope == "" {
		return nil, rev.ForEveryone()
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if of := r.state.directories[rev.Scope]; of != nil {
		return slices.Collect(maps.Keys(of)), false
	}
	return []string{rev.Scope}, false
}
