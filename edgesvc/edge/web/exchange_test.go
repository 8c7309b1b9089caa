package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

// counts keeps what a Meter is told.
type counts struct {
	mu     sync.Mutex
	panics int
	ended  []Outcome
}

func (c *counts) Opened(Version) {}
func (c *counts) Closed(Version) {}
func (c *counts) Panicked()      { c.panics++ }
func (c *counts) Ended(o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, o)
}

// newExchange makes an exchange of a server that ends with cut.
func newExchange(t *testing.T, cut context.Context) (*exchange, *counts, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	meter := &counts{}
	s := New(Config{Meter: meter, Guard: noGuard{}, Cut: cut, Log: slog.New(slog.NewTextHandler(&log, nil))})
	x := &exchange{}
	x.init(s)
	x.begin()
	return x, meter, &log
}

// panicking is a client whose request ends in a panic.
type panicking struct{ client }

func (panicking) read(*relay.Request) error { panic("secret of the inside") }

// A panic costs its own request a 500 that tells nothing; the log has the stack.
func TestP36_Panic(t *testing.T) {
	x, meter, log := newExchange(t, t.Context())
	reply, err := x.serve(panicking{})
	if err != nil || reply == nil || reply.status != 500 {
		t.Fatalf("reply %+v, %v", reply, err)
	}
	var p problem
	if err := json.Unmarshal(reply.body, &p); err != nil || p.Code != mezu.CodeInternal || p.RequestID == "" || strings.Contains(string(reply.body), "secret") {
		t.Errorf("body %s, %v", reply.body, err)
	}
	if !strings.Contains(log.String(), "secret of the inside") || !strings.Contains(log.String(), "exchange_test.go") {
		t.Errorf("log %s", log)
	}
	if meter.panics != 1 || !x.broken {
		t.Errorf("%v panics counted, broken %v", meter.panics, x.broken)
	}
}

// Every code has an answer with its status, the request id, and what its status
// asks for.
func TestAnswer(t *testing.T) {
	for _, code := range []mezu.Code{mezu.CodeNotCanonical, mezu.CodeUnauthenticated, mezu.CodeUnknownHost, mezu.CodeMethodNotAllowed,
		mezu.CodeRateLimited, mezu.CodeOverloaded, mezu.CodeNoWarpgate, mezu.CodeWorkloadTimeout, "not a code"} {
		x, _, _ := newExchange(t, t.Context())
		x.allow = []string{"GET", "POST"}
		a := x.answerTo(&mezu.Error{Code: code, Detail: "why"})
		header := map[string]string{}
		for _, f := range a.fields {
			header[string(f.Name)] = string(f.Value)
		}
		if a.status != code.Status() || header["Content-Type"] != "application/problem+json" || header[mezu.HeaderRequestID] == "" {
			t.Errorf("%s: %d %v", code, a.status, header)
		}
		if want := a.status == 503 || a.status == 429; (header["Retry-After"] != "") != want {
			t.Errorf("%s: Retry-After is %q", code, header["Retry-After"])
		}
		if want := a.status == 405; (header["Allow"] == "GET, POST") != want {
			t.Errorf("%s: Allow is %q", code, header["Allow"])
		}
		var p problem
		if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.status || !p.Code.Known() {
			t.Errorf("%s: body %s, %v", code, a.body, err)
		}
	}
}

// A navigating browser gets a page, in which nothing of the request is markup.
func TestAnswer_Page(t *testing.T) {
	for name, c := range map[string]struct {
		header map[string]string
		page   bool
	}{
		"navigation":     {map[string]string{"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, true},
		"fetch":          {map[string]string{"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, false},
		"an old browser": {map[string]string{"Accept": "text/html,*/*"}, true},
		"curl":           {map[string]string{"Accept": "*/*"}, false},
	} {
		x, _, _ := newExchange(t, t.Context())
		x.Request.Method = "GET"
		for k, v := range c.header {
			x.Request.Fields = append(x.Request.Fields, relay.Field{Name: []byte(k), Value: []byte(v)})
		}
		a := x.answerTo(&mezu.Error{Code: mezu.CodeNoRoute, Detail: "<script>"})
		if page := strings.HasPrefix(string(a.body), "<!doctype html>"); page != c.page {
			t.Errorf("%s: %s", name, a.body)
		} else if page && strings.Contains(string(a.body), "<script>") {
			t.Errorf("%s: markup got through: %s", name, a.body)
		}
	}
}

// A session that ended has had no try of the request; one without room has.
func TestCheckoutError(t *testing.T) {
	for err, want := range map[error]mezu.Code{tunnel.ErrOverloaded: mezu.CodeOverloaded, tunnel.ErrGone: mezu.CodeNoWarpgate} {
		if got := mezu.CodeOf(checkoutError(err)); got != want || !errors.Is(checkoutError(err), err) {
			t.Errorf("%v answers %s", err, got)
		}
	}
}

// A probe's deadline is short; the next exchange must not take it for its own.
func TestProbe_LeavesNoDeadlineBehind(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	answered := make(chan error, 1)
	go func() {
		defer far.Close()
		if _, err := io.ReadFull(far, make([]byte, len(preface.AppendProbe(nil)))); err != nil {
			answered <- err
			return
		}
		_, err := far.Write(preface.AppendAlive(nil))
		answered <- err
	}()
	conn := &tunnel.Conn{Conn: near, WriteBy: time.Now().Add(time.Minute)}
	if err := errors.Join(roundTrip(conn), <-answered); err != nil {
		t.Fatal(err)
	}
	if !conn.WriteBy.IsZero() {
		t.Errorf("the write deadline passes for %v", conn.WriteBy)
	}
}

// draining has Warpgates, all of which drain.
type draining struct{}

func (draining) PickBut(_ string, drained []string, _ ...*tunnel.Session) *tunnel.Session {
	if len(drained) > 0 {
		return nil
	}
	return &tunnel.Session{}
}

// TestNoWarpgate: that none is connected, and that all drain, are told apart.
func TestNoWarpgate(t *testing.T) {
	table, err := policy.Compile(&mezu.Bundle{
		Environment: "env_00000000000000000000000001", Endpoint: "shop", Issued: time.Unix(0, 0), Position: mezu.Position{Epoch: 1, Revision: 1}, Enabled: true,
		Draining: []string{"wgt_00000000000000000000000001"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for want, tunnels := range map[string]Tunnels{
		"no Warpgate of this environment is connected":   noTunnels{},
		"all Warpgates of this environment are draining": draining{},
	} {
		x, _, _ := newExchange(t, t.Context())
		x.table, x.s.cfg.Tunnels = table, tunnels
		if err := x.noWarpgate(); x.pick() != nil || mezu.CodeOf(err) != mezu.CodeNoWarpgate || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
