package log_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/follow"
	"github.com/mezusphere/mezu/tui/log"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

// plane has nothing to tell by itself.
type plane struct{}

func (plane) Follow(ctx context.Context, _ screen.Scope, _ func(log.Records)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (plane) FollowLog(ctx context.Context, _ func(log.Lines)) error {
	<-ctx.Done()
	return ctx.Err()
}

func record(n int, who, operation, name string, ago time.Duration, outcome mezu.AuditOutcome) log.Record {
	at := screentest.Now().Add(-ago)
	return log.Record{Who: who, AuditRecord: mezu.AuditRecord{ID: fmt.Sprintf("aud_%04d", n), Time: at, Operation: operation, Outcome: outcome,
		Target: mezu.AuditTarget{Kind: "route", Name: name}, Actor: mezu.AuditActor{Kind: "member", ID: "mbr_1", Address: "203.0.113.9"}, RequestID: "0d9e41"}}
}

func drawn() log.Records {
	first := record(7, "ada@dev.test", "update-route", "api", 79*time.Second, mezu.AuditDone)
	first.Before, first.After = json.RawMessage(`{"timeout":"10s","auth":"optional","name":"api"}`), json.RawMessage(`{"timeout":"30s","auth":"required","name":"api"}`)
	return log.Records{first, record(6, "ci (service account)", "apply-project", "shop", 3*time.Minute, mezu.AuditDone),
		record(5, "ci (service account)", "delete-environment", "production", 4*time.Minute, mezu.AuditDenied),
		record(4, "ada@dev.test", "register-warpgate", "wgt_7Q2", 5*time.Minute, mezu.AuditDone), record(3, "eve@dev.test", "rotate-service-account", "gate", 26*time.Hour, mezu.AuditDone)}
}

func stage(t *testing.T, w, h int, theme *look.Theme) *screentest.Stage {
	t.Setenv("TZ", "UTC")
	st := screentest.New(t, log.New(log.Config{Audit: plane{}, Daemon: plane{}}), w, h, theme)
	st.Send(screen.Moved{Scope: screentest.Scope()}, follow.Got[log.Records]{Scope: screentest.Scope(), Value: drawn()},
		follow.Got[log.Lines]{Value: log.Lines{"time=14:00 level=INFO msg=\"the daemon runs\"", "time=14:01 level=WARN msg=\"request not served\"", "time=14:02 level=ERROR msg=\"a tunnel can't run\""}})
	return st
}

func TestGolden(t *testing.T) {
	one := func(w, h int, theme *look.Theme) *screentest.Stage { return stage(t, w, h, theme) }
	screentest.Drawings(t, *update, one, "audit", map[string]screentest.Drawing{
		"audit":  {},
		"full":   {Keys: []string{"enter"}},
		"daemon": {Keys: []string{"tab"}},
		"line":   {Keys: []string{"tab", "enter"}},
		"filter": {Keys: []string{"/", "operation:project who:ci", "enter"}},
		"new": {Keys: []string{"down"}, Then: func(st *screentest.Stage) {
			st.Send(follow.Got[log.Records]{Scope: screentest.Scope(), Value: append(log.Records{record(8, "bob@dev.test", "create-route", "web", time.Second, mezu.AuditDone)}, drawn()...)})
		}},
		"forbidden": {Then: func(st *screentest.Stage) {
			other := screentest.Scope()
			other.Organization = "elsewhere"
			st.Send(screen.Moved{Scope: other}, follow.Failed[log.Records]{Scope: other, Err: mezu.Errorf(mezu.CodeForbidden, "your role, developer, has no audit.read; admins have it")})
		}},
	})
}

// TestStandsStill: nothing moves under the cursor, and what has come is shown when it is at the
// newest record again.
func TestStandsStill(t *testing.T) {
	st := stage(t, 80, 24, screentest.Plain())
	more := func(n int) {
		st.Send(follow.Got[log.Records]{Scope: screentest.Scope(), Value: append(log.Records{record(n, "bob@dev.test", fmt.Sprint("create-", n), "web", time.Second, mezu.AuditDone)}, drawn()...)})
	}
	if more(8); !strings.Contains(st.View(), "create-8") {
		t.Errorf("it does not follow:\n%s", st.View())
	}
	st.Press("down")
	if more(9); strings.Contains(st.View(), "create-9") {
		t.Errorf("it moves under the cursor:\n%s", st.View())
	}
	if st.Press("up"); !strings.Contains(st.View(), "create-9") {
		t.Errorf("what came is not shown:\n%s", st.View())
	}
	st.C.Paused = true
	st.Send(screen.Freed{Paused: true})
	if more(10); strings.Contains(st.View(), "create-10") {
		t.Errorf("it moves while it is paused:\n%s", st.View())
	}
	st.C.Paused = false
	if st.Send(screen.Freed{}); !strings.Contains(st.View(), "create-10") {
		t.Errorf("what came is not shown when it is let go:\n%s", st.View())
	}
}

// TestOld: what could not be asked for again stays old, whatever is pressed.
func TestOld(t *testing.T) {
	st := stage(t, 80, 24, screentest.Plain())
	st.Send(follow.Failed[log.Records]{Scope: screentest.Scope(), Err: errors.New("no answer")})
	st.Pass(time.Minute)
	st.Press("up")
	if v := st.View(); !strings.Contains(v, "control plane away, 1 m old") {
		t.Errorf("it seems to be new:\n%s", v)
	}
}

// TestPaused: nothing moves while the dashboard is paused.
func TestPaused(t *testing.T) {
	st := stage(t, 80, 24, screentest.Plain())
	st.C.Paused = true
	st.Send(screen.Freed{Paused: true})
	before := strings.Split(st.View(), "\n")
	st.Send(follow.Got[log.Records]{Scope: screentest.Scope(), Value: append(log.Records{record(8, "ada@dev.test", "delete-route", "api", 0, mezu.AuditDone)}, drawn()...)})
	after := strings.Split(st.View(), "\n")
	if !strings.Contains(after[1], "1 new") {
		t.Errorf("it doesn't say that something has come: %s", after[1])
	}
	if after[1] = before[1]; !slices.Equal(before, after) {
		t.Errorf("it was paused, and is now\n%s", strings.Join(after, "\n"))
	}
	st.C.Paused = false
	if st.Send(screen.Freed{}); !strings.Contains(st.View(), "delete-route") {
		t.Errorf("it was let go, and shows\n%s", st.View())
	}
}

// TestC2_Log: a control plane and a daemon that lie drive nothing.
func TestC2_Log(t *testing.T) {
	for _, size := range [][2]int{{40, 24}, {80, 24}, {130, 30}, {200, 40}} {
		st := stage(t, size[0], size[1], screentest.Plain())
		bad := screentest.Hostile()
		one := record(9, bad, bad, bad, 0, mezu.AuditOutcome(bad))
		text, err := json.Marshal(map[string]string{bad: bad})
		if err != nil {
			t.Fatal(err)
		}
		one.Before, one.Code, one.Actor.Address, one.RequestID = text, mezu.Code(bad), bad, bad
		st.Send(follow.Got[log.Records]{Scope: screentest.Scope(), Value: log.Records{one}}, follow.Got[log.Lines]{Value: log.Lines{bad}})
		st.View()
		st.Press("enter")
		st.View()
		st.Press("enter", "tab")
		st.View()
		st.Press("enter")
		st.View()
	}
}

// TestMouse: a click selects, a second one opens, and the wheel turns the list below it alone.
func TestMouse(t *testing.T) {
	st := stage(t, 80, 24, screentest.Plain())
	st.Mouse(5, 20)
}
