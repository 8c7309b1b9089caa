package invocation

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
)

// ending is when the credential of a command's calls ends, if that is soon. Several goroutines
// may note it.
type ending struct {
	credential profile.Credential
	at         atomic.Int64 // seconds since 1970; zero if nobody has said so
}

func (e *ending) note(at time.Time) { e.at.Store(at.Unix()) }

// EndNotice says that what the command called with ends soon, and what to do; "" if it doesn't.
func (i *Invocation) EndNotice() string {
	if i.ends == nil || i.ends.at.Load() == 0 {
		return ""
	}
	at := time.Unix(i.ends.at.Load(), 0)
	what, next := "the key in use was replaced and", "use the new one"
	switch c := i.ends.credential; {
	case c.Refresh != "":
		what, next = "this login", "mezu login begins another"
	case strings.HasPrefix(c.Token, mezu.TokenBearer):
		what, next = "the token in use", "mezu tokens create NAME makes another"
	}
	return fmt.Sprintf("%s ends in %s, on %s; %s", what, terminal.Span(at.Sub(i.Clock())), at.Local().Format("2006-01-02 15:04"), next)
}
