// Package restore says what of a store outlives a backup and its restore: what lives under
// a lease or goes on at the moment does not, and the epoch rises.
//
// What may not live here: files and how they are read (packages backup and snapshot).
// Only control/snapshot imports it.
package restore

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/team"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
)

// KeyEpoch is the record of the epoch, which a restore raises.
const KeyEpoch = record.KeyEpoch

// Leased reports whether a record lives under a lease of the store: an edge that is
// connected, or a lease of package election that is held. No backup and no restored store
// has it: without its lease it would never end.
func Leased(key string) bool { return fleet.Leased(key) || election.Held(key) }

// EndsWithRestore reports whether a record is of what goes on at the moment, and not of
// what is: who is connected or logged in, what may be done once, and mail that was about to be sent. A
// code that was used after the backup must not work again. Whatever else is live or
// works once belongs to what the nouns say here.
func EndsWithRestore(key string, value []byte) bool {
	return fleet.EndsWithRestore(key) || team.EndsWithRestore(key) || record.EndsWithRestore(key) || access.EndsWithRestore(key, value) || account.EndsWithRestore(key)
}

// RaiseEpoch gives the epoch's record after a restore: higher than it was, and, by the
// clock, than those of other restores of the same backup, whose revisions some peer may
// have seen.
func RaiseEpoch(epoch []byte, now time.Time) ([]byte, error) {
	var was uint64
	if err := json.Unmarshal(epoch, &was); err != nil {
		return nil, fmt.Errorf("reading the epoch: %w", err)
	}
	return record.Encode(max(was+1, uint64(max(now.Unix(), 0))))
}
