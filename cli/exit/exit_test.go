package exit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
)

func TestOf(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://api", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
	late := &url.Error{Op: "Get", URL: "https://api", Err: os.ErrDeadlineExceeded}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("disk full"), 1},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, 1},
		{&net.OpError{Op: "listen", Err: syscall.EADDRINUSE}, 1},
		{&mezu.Error{Code: mezu.CodeUnavailable, Cause: &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}}, 1},
		{mezu.Errorf(mezu.CodeInternal, "broken"), 1},
		{mezu.Errorf(mezu.CodeRateLimited, "slow down"), 1},
		{exit.Usagef("no such flag"), 2},
		{mezu.Invalid("name", "a name is required"), 2},
		{mezu.Errorf(mezu.CodeUnauthenticated, "no"), 3},
		{mezu.Errorf(mezu.CodeForbidden, "no"), 3},
		{mezu.Errorf(mezu.CodeNotFound, "no"), 4},
		{mezu.Errorf(mezu.CodeConflict, "no"), 5},
		{mezu.Errorf(mezu.CodePreconditionFailed, "no"), 5},
		{mezu.Errorf(mezu.CodeUnavailable, "no"), 6},
		{refused, 6},
		{&mezu.Error{Code: mezu.CodeInternal, Cause: refused}, 6},
		{&mezu.Error{Code: mezu.CodeUnavailable, Cause: late}, 6},
		{&api.UnreachableError{URL: "https://api", Err: errors.New("unexpected end")}, 6},
		{&api.UnreachableError{URL: "https://api", Err: context.DeadlineExceeded}, 7},
		{late, 7},
		{context.DeadlineExceeded, 7},
		{&url.Error{Op: "Get", Err: context.DeadlineExceeded}, 7},
		{context.Canceled, 130},
		{&url.Error{Op: "Get", Err: context.Canceled}, 130},
	} {
		if got := exit.Of(c.err); got != c.want {
			t.Errorf("Of(%v) = %d, want %d", c.err, got, c.want)
		}
		if c.err == nil {
			continue
		}
		if got := exit.Of(fmt.Errorf("listing projects: %w", c.err)); got != c.want {
			t.Errorf("Of(wrapped %v) = %d, want %d", c.err, got, c.want)
		}
	}
}
