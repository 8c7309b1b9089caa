package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cmd/process"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == hangs {
		hang()
	}
	goleak.VerifyTestMain(m)
}

// hangs is the argument with which this program is one that hangs at its end.
const hangs = "hangs-at-its-end"

// hang says which signals came, and never ends by itself.
func hang() {
	drain, cut, _ := process.Signals(context.Background())
	fmt.Println("ready")
	<-drain.Done()
	fmt.Println("drain")
	<-cut.Done()
	fmt.Println("cut")
	select {}
}

// recorder notes the order in which parts stop.
type recorder struct {
	mu    sync.Mutex
	order []string
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, s)
}

func (r *recorder) until(name string) process.Part {
	return process.Part{Name: name, Run: func(ctx context.Context) error { <-ctx.Done(); r.note(name); return ctx.Err() }}
}

func TestPartsStopInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain, stop := context.WithCancel(t.Context())
		r := &recorder{}
		done := make(chan error)
		go func() {
			done <- process.RunParts(drain, t.Context(), r.until("edge"), r.until("daemon"), r.until("control"))
		}()
		synctest.Wait()
		if len(r.order) != 0 {
			t.Fatalf("stopped early: %q", r.order)
		}
		stop()
		if err := <-done; err != nil || !slices.Equal(r.order, []string{"edge", "daemon", "control"}) {
			t.Errorf("%q, %v", r.order, err)
		}
	})
}

func TestOneFailureStopsAll(t *testing.T) {
	r := &recorder{}
	broken := errors.New("disk full")
	err := process.RunParts(t.Context(), t.Context(), r.until("edge"), process.Part{Name: "control", Run: func(context.Context) error { return broken }})
	if !errors.Is(err, broken) || err.Error() != "control: disk full" || !slices.Equal(r.order, []string{"edge"}) {
		t.Errorf("%q, %v", r.order, err)
	}
}

func TestCutClosesPartsThatLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain, stop := context.WithCancel(t.Context())
		cut, cutNow := context.WithCancel(t.Context())
		lingering := make(chan struct{})
		done := make(chan error)
		part := process.Part{Name: "edge", Run: func(context.Context) error { <-lingering; return nil }, Close: func() { close(lingering) }}
		go func() { done <- process.RunParts(drain, cut, part) }()
		stop()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("did not wait for work in progress")
		default:
		}
		cutNow()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestFinish(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	open := context.Background()
	for _, c := range []struct {
		drain, cut context.Context
		err        error
		want       int
	}{
		{open, open, nil, 0},
		{ended, open, nil, 0},
		{ended, open, context.Canceled, 0},
		{ended, open, errors.New("x"), 1},
		{ended, ended, nil, 130},
		{open, open, mezu.Errorf(mezu.CodeForbidden, "no"), 3},
	} {
		if got := process.Finish(c.drain, c.cut, c.err); got != c.want {
			t.Errorf("drained %v, cut %v, %v: %d, want %d", c.drain.Err(), c.cut.Err(), c.err, got, c.want)
		}
	}
}

func TestCheckDescriptors(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such limit")
	}
	if err := process.CheckDescriptors(1); err != nil {
		t.Error(err)
	}
	err := process.CheckDescriptors(1 << 62)
	var e *mezu.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "LimitNOFILE=") {
		t.Errorf("%v", err)
	}
}

// TestC5LogLineInjection: a value with a line break stays one record.
func TestC5LogLineInjection(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := process.Logger(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("not shown")
		log.Info("request", "agent", "x\n{\"level\":\"info\"}\x1b[31m")
		if got := out.String(); strings.Count(got, "\n") != 1 || strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q", format, got)
		}
	}
	for _, bad := range [][2]string{{"xml", "info"}, {"text", "loud"}, {"text", ""}} {
		if _, err := process.Logger(new(bytes.Buffer), bad[0], bad[1]); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("  abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := process.SecretFile(t.Context(), path, log); got != "abc" || err != nil || logged.Len() > 0 {
		t.Errorf("%q, %v, logged %q", got, err, logged.String())
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := process.SecretFile(t.Context(), path, log); err != nil || !strings.Contains(logged.String(), "chmod 600") {
			t.Errorf("%v, logged %q", err, logged.String())
		}
	}
	// Issue 7, row 25.
	for _, good := range []string{"abc\r\n", "\ufeffabc\r\n"} {
		if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := process.SecretFile(t.Context(), path, log); got != "abc" || err != nil {
			t.Errorf("%q read as %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", " \n", "a\nb", "a b", "\xff\xfea\x00b\x00", "ab\x00", "ä", strings.Repeat("x", 5000)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := process.SecretFile(t.Context(), path, log); err == nil {
			t.Errorf("%.10q read as %.10q", bad, got)
		}
	}
	if _, err := process.SecretFile(t.Context(), filepath.Join(dir, "none"), log); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestEventsAreLines(t *testing.T) {
	var out bytes.Buffer
	e := process.Events{Streams: terminal.Streams{Out: &out}, Log: slog.New(slog.DiscardHandler)}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { e.Write(mezu.Event{Event: mezu.EventRequest, Path: "/a\nb", Status: 200}) })
	}
	wg.Wait()
	e.Write(process.Fail(&mezu.Error{Code: mezu.CodeNotFound, Detail: "no project", Hint: "make one"}))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 51 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		var got mezu.Event
		if err := json.Unmarshal([]byte(l), &got); err != nil || got.Time.IsZero() {
			t.Errorf("%q: %v", l, err)
		}
	}
	if last := lines[50]; !strings.Contains(last, `"code":"not_found","message":"no project","hint":"make one"`) {
		t.Errorf("%s", last)
	}
}

// TestFail: the event has the code that the exit code stands for, where no service has spoken.
func TestFail(t *testing.T) {
	for want, err := range map[mezu.Code]error{
		mezu.CodeUnavailable: &api.UnreachableError{URL: "https://a.example", Err: io.EOF},
		mezu.CodeInvalid:     exit.Usagef("wrong"),
		mezu.CodeConflict:    mezu.Errorf(mezu.CodeConflict, "taken"),
		mezu.CodeInternal:    io.EOF,
	} {
		if e := process.Fail(err); e.Code != want {
			t.Errorf("%v: %+v, want %s", err, e, want)
		}
	}
}
