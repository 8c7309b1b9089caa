package local

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
)

// Why a daemon can't be reached, or none can be started: each is in the chain of a *mezu.Error
// with CodeUnavailable, which has the words for people.
var (
	// ErrNotRunning: nobody listens on the socket.
	ErrNotRunning = errors.New("no daemon is running")
	// ErrForeign: socket or folder are not this user's alone, or what listens there is another
	// program.
	ErrForeign = errors.New("not the daemon of this user")
	// ErrGeneration: the daemon speaks another generation of the API.
	ErrGeneration = errors.New("another generation of the local API")
	// ErrOlder: the daemon is of an earlier version, which has no such operation.
	ErrOlder = errors.New("an older daemon")
	// ErrSilent: somebody listens and doesn't answer, or stopped in the middle.
	ErrSilent = errors.New("no answer")
	// ErrRunning: another process listens on the socket already. It is Listen's.
	ErrRunning = errors.New("another process listens on this socket")
)

// unavailable makes the error of a daemon that can't be reached.
func unavailable(why, cause error, hint, format string, args ...any) error {
	if cause != nil {
		why = fmt.Errorf("%w: %w", why, cause)
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf(format, args...), Hint: hint, Cause: why}
}

// foreign is the error of a socket or folder that is not this user's alone.
func foreign(cause error, hint string) error {
	return unavailable(ErrForeign, cause, cmp.Or(hint, elsewhere), "the daemon's socket is not safe: %v", cause)
}

// elsewhere is the hint about a folder that this user can't use: su and sudo may leave another
// user's in the environment.
const elsewhere = "unset XDG_RUNTIME_DIR, or set MEZU_HOME to a folder of your own"

// notRunning is the error of a socket on which nobody listens.
func notRunning(path string, cause error) error {
	return unavailable(ErrNotRunning, cause, "mezu daemon start", "no daemon is running on %s", path)
}

// silent is the error of a daemon that does not answer in time.
func silent(path string, cause error) error {
	return unavailable(ErrSilent, cause, "mezu daemon restart", "the daemon on %s does not answer", path)
}
