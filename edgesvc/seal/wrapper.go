package seal

import (
	"context"
	"strings"
)

// Wrapper holds the key-encryption key and wraps data keys under it, as key services
// do. It is called when a process starts and when keys rotate, and never for a record. So
// it may be slow, and away at other times.
//
// The same contract holds for the command behind "exec:" (see Command), by which operators
// connect a key service of their own.
type Wrapper interface {
	// KeyID names the key under which Wrap wraps now, in visible ASCII, at most
	// maxKeyID bytes. The next rotation wraps again what was wrapped under another.
	KeyID(ctx context.Context) (string, error)
	// Wrap encrypts a data key of 32 bytes so that only Unwrap with the same name
	// gives it back, and any change of a byte is noticed. The name is authenticated
	// and not secret.
	Wrap(ctx context.Context, name string, secret []byte) ([]byte, error)
	// Unwrap returns what Wrap got, even if KeyID has changed since. The error is
	// ErrOtherKey if the key does not exist any more.
	Unwrap(ctx context.Context, name string, wrapped []byte) ([]byte, error)
}

// Limits of what a Wrapper answers.
const (
	maxKeyID   = 128
	maxWrapped = 16 << 10 // of bytes; key services answer some hundred
)

// commandPrefix tells a command from the path of a file.
const commandPrefix = "exec:"

// NewWrapper makes the Wrapper that a setting names: the path of a key file, or
// "exec:" and a command with its arguments, divided by spaces.
func NewWrapper(setting string) Wrapper {
	if command, ok := strings.CutPrefix(setting, commandPrefix); ok {
		return &Command{Args: strings.Fields(command)}
	}
	return &File{Path: setting}
}
