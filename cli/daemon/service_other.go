//go:build !windows

package daemon

import (
	"context"

	"github.com/mezusphere/mezu/cli/invocation"
)

// account is empty: a service of a user runs as the user.
func account() string { return "" }

// servicePassword is empty: nobody asks for one here.
func servicePassword(context.Context, *invocation.Invocation) (string, error) { return "", nil }
