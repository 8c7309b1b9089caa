package password

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
)

const (
	// maxMemoryTogether is the most memory that all hashes take at one time. Each makes a block of its own, which the garbage collector takes back when the heap
	// has doubled. So a worker counts twice: with what it works on, and what it left.
	maxMemoryTogether = 256 << 20
	// maxWorkers follows from it.
	maxWorkers = maxMemoryTogether / (2 * maxMemory * 1024)
	// maxWaiting is how many wait for each worker. A hash takes 20 to 50 ms of a core, so
	// that the last one waits 4 to 10 s, which is as long as an edge waits for a page.
	maxWaiting = 200
	// maxWaitingPart is the part of them that one share has: one in 2.
	maxWaitingPart = 2
)

// ErrOverloaded is the cause of the refusal of work when too much waits.
var ErrOverloaded = errors.New("too many passwords wait to be hashed")

// Hasher makes and compares hashes with few of the machine's cores: half of them, so that
// whoever makes many attempts leaves the other half to the traffic of an edge beside it.
// (A lower priority would be finer, but in Go a goroutine has none.) The work is done by
// the goroutine that asks for it, when its turn comes. Whoever asks when too many wait is
// refused at once.
//
// Each call names its share, which is the directory. One has at most half of what may
// wait, and shares take turns, so that a flood on one directory costs the others the time
// of one hash.
type Hasher struct{ turns *turns }

// NewHasher makes one for a machine of so many cores: runtime.GOMAXPROCS(0), which heeds a
// container's limit.
func NewHasher(cores int) *Hasher {
	workers := min(max(1, cores/2), maxWorkers)
	return &Hasher{newTurns(workers, workers*maxWaiting)}
}

// Waiting is how many wait for their turn.
func (h *Hasher) Waiting() int { return h.turns.waiting() }

// Hash makes what is kept of a password. It refuses what Normalize refuses; other rules
// are those of Policy.Check, which is asked before.
func (h *Hasher) Hash(ctx context.Context, share, password string) (Hash, error) {
	password, err := Normalize(password)
	if err != nil {
		return Hash{}, err
	}
	if err := h.enter(ctx, share); err != nil {
		return Hash{}, err
	}
	defer h.turns.leave()
	out := blank(newSalt())
	out.Key = out.derive(password, keyLength)
	return out, nil
}

// Verify reports whether a password is the one that was hashed. If nothing was, because
// the account has no password or there is no account, it costs what a hash of this build
// costs and says no. What can't be normalised is no password of anybody: it costs nothing
// in either case.
func (h *Hasher) Verify(ctx context.Context, share string, stored Hash, password string) (bool, error) {
	if stored.IsZero() {
		return false, h.Waste(ctx, share, password)
	}
	if err := stored.check(); err != nil {
		return false, err
	}
	return h.compare(ctx, share, stored, password)
}

// Waste costs what Verify costs with a hash of this build. It is done where there is no
// account, so that time doesn't tell who has one.
func (h *Hasher) Waste(ctx context.Context, share, password string) error {
	stored := blank(make([]byte, saltLength))
	stored.Key = make([]byte, keyLength)
	_, err := h.compare(ctx, share, stored, password)
	return err
}

func (h *Hasher) compare(ctx context.Context, share string, stored Hash, password string) (bool, error) {
	password, err := Normalize(password)
	if err != nil {
		return false, nil
	}
	if err := h.enter(ctx, share); err != nil {
		return false, err
	}
	defer h.turns.leave()
	return stored.matches(password), nil
}

// enter waits for a turn. The caller leaves after its work.
func (h *Hasher) enter(ctx context.Context, share string) error {
	err := h.turns.enter(ctx, share)
	if errors.Is(err, ErrOverloaded) {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "overloaded: too many logins at once", Hint: "try again in a few seconds", Cause: err}
	}
	return err
}
