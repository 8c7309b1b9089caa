// Package keyring keeps secrets in the keyring of the operating system: the Keychain of
// macOS, the Credential Manager of Windows, or whatever serves org.freedesktop.secrets on
// the session bus.
//
// What may not live here: what a secret is, and where it is kept if not in a keyring. It
// imports cli/profile, whose Keyring it is, and go-keyring; only cmd/mezu imports it, so that
// other programs with profiles do without the library.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	system "github.com/zalando/go-keyring"

	"github.com/mezusphere/mezu/cli/profile"
)

const (
	// maxSecret is what all keyrings take: a credential of Windows has 2,560 bytes, and the
	// tool of macOS reads a command of 4,096 bytes, in which the secret is a third longer.
	maxSecret = 2000
	// answerTime is how long a keyring may take. One that is locked asks the person at a
	// desktop, which takes longer, and where there is none it never answers.
	answerTime = 2 * time.Second
	// restTime is how long a keyring that did not answer isn't asked again: a command waits for
	// it once, however often it needs it.
	restTime = 10 * time.Second
	// service is what our secrets are filed under, beside their account.
	service = "mezu"
	// trial begins the account of Try.
	trial = "trial"
)

// Of is the keyring of whoever runs this program. It is nil if there is none: without a
// session bus on Unix, or if MEZU_NO_KEYRING is set to anything. Whether it works shows when
// it is used.
func Of(getenv func(string) string) profile.Keyring {
	if getenv("MEZU_NO_KEYRING") != "" || !reachable(getenv) {
		return nil
	}
	return &ofSystem{}
}

// ofSystem is the one keyring of this machine's system for this user.
type ofSystem struct {
	mu sync.Mutex
	// silent is when it did not answer last.
	silent time.Time
}

// Try implements profile.Keyring. An account of its own keeps two that try at once apart.
func (k *ofSystem) Try(ctx context.Context) error {
	// One deadline for all three: who waits, waits for the keyring and not for its parts.
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	account := profile.NewAccount(trial)
	if err := k.Set(ctx, account, account); err != nil {
		return err
	}
	got, err := k.Get(ctx, account)
	if err == nil && got != account {
		err = errors.New("the keyring gives back something else")
	}
	return errors.Join(err, k.Delete(ctx, account))
}

// Get implements profile.Keyring.
func (k *ofSystem) Get(ctx context.Context, account string) (string, error) {
	return k.answer(ctx, func() (string, error) { return system.Get(service, account) })
}

// Set implements profile.Keyring.
func (k *ofSystem) Set(ctx context.Context, account, secret string) error {
	if len(secret) > maxSecret {
		return fmt.Errorf("the keyring takes %d bytes at most", maxSecret)
	}
	_, err := k.answer(ctx, func() (string, error) { return "", system.Set(service, account, secret) })
	return err
}

// Delete implements profile.Keyring.
func (k *ofSystem) Delete(ctx context.Context, account string) error {
	_, err := k.answer(ctx, func() (string, error) { return "", system.Delete(service, account) })
	if errors.Is(err, profile.ErrNoSecret) {
		return nil
	}
	return err
}

// answer waits for the keyring, for answerTime at most. Nothing can interrupt a call of it.
// One that isn't waited for goes on until the process ends.
func (k *ofSystem) answer(ctx context.Context, call func() (string, error)) (string, error) {
	if k.rests() {
		return "", errSilent
	}
	waiting, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	type result struct {
		secret string
		err    error
	}
	came := make(chan result, 1)
	go func() {
		secret, err := call()
		came <- result{secret, err}
	}()
	select {
	case r := <-came:
		switch {
		case errors.Is(r.err, system.ErrNotFound):
			return "", profile.ErrNoSecret
		case r.err != nil:
			return "", fmt.Errorf("the keyring: %s", strings.TrimSpace(r.err.Error()))
		}
		return r.secret, nil
	case <-waiting.Done():
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", ctx.Err()
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.silent = time.Now()
		return "", errSilent
	}
}

// errSilent is the error of a keyring that takes too long.
var errSilent = fmt.Errorf("the keyring did not answer within %v", answerTime)

// rests reports whether it did not answer a moment ago.
func (k *ofSystem) rests() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.silent.IsZero() && time.Since(k.silent) < restTime
}
