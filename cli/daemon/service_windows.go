package daemon

import (
	"context"
	"os"
	"os/user"

	"golang.org/x/sys/windows"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
)

// account is the name under which Windows is to run the service: that of this user, because
// nobody else reaches the daemon's pipe and files.
func account() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// servicePassword asks for the password of this user's account, without which Windows runs no
// service as somebody. It is given to Windows, and kept nowhere else.
func servicePassword(ctx context.Context, inv *invocation.Invocation) (string, error) {
	if !inv.CanPrompt() {
		return "", &mezu.Error{Code: mezu.CodeInvalid, Detail: "Windows runs a service of yours only with the password of your account", Hint: "run this in a console, where it can be typed"}
	}
	console := windows.Handle(os.Stdin.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(console, &mode); err == nil {
		if err := windows.SetConsoleMode(console, mode&^windows.ENABLE_ECHO_INPUT); err != nil {
			return "", err
		}
		defer windows.SetConsoleMode(console, mode)
	}
	return inv.Ask(ctx, "Password of "+account()+", for Windows (not shown):")
}
