package feed_test

import (
	"context"
	"errors"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon follows as its functions say, one after another.
type daemon struct {
	follow []func(ctx context.Context, open func(), see func(local.Event)) error
	list   error
	at     int
}

func (d *daemon) Tunnels(context.Context) ([]mezu.Tunnel, error) {
	return []mezu.Tunnel{{ID: "tun_1"}}, d.list
}

func (d *daemon) Follow(ctx context.Context, open func(), see func(local.Event)) error {
	if d.at == len(d.follow) {
		<-ctx.Done()
		return ctx.Err()
	}
	d.at++
	return d.follow[d.at-1](ctx, open, see)
}

func TestSource(t *testing.T) {
	broken := errors.New("it broke")
	d := &daemon{follow: []func(context.Context, func(), func(local.Event)) error{
		func(context.Context, func(), func(local.Event)) error { return broken }, // there is none
		func(_ context.Context, open func(), see func(local.Event)) error {
			open()
			for n := range 2500 {
				see(local.Event{Event: mezu.Event{Event: mezu.EventRequest, Status: n}})
			}
			return broken
		},
	}}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	ended := make(chan struct{})
	got := make(chan tea.Msg)
	go func() {
		feed.Source(d)(ctx, func(m tea.Msg) {
			select {
			case got <- m:
			case <-ctx.Done():
			}
		})
		close(ended)
	}()
	next := func() tea.Msg {
		select {
		case m := <-got:
			return m
		case <-ctx.Done():
			t.Fatal("nothing comes")
			return nil
		}
	}
	if m, ok := next().(feed.Away); !ok || m.Err != broken {
		t.Errorf("at first %+v", m)
	}
	if m, ok := next().(feed.Listing); !ok || len(m.Tunnels) != 1 {
		t.Errorf("then %+v", m)
	}
	events, batches := 0, 0
	for {
		m := next()
		if b, ok := m.(feed.Batch); ok {
			for _, e := range b.Events {
				if e.Status != events {
					t.Fatalf("event %d comes as %d", e.Status, events)
				}
				events++
			}
			if batches++; !b.Requests() || len(b.Events) > 1000 {
				t.Errorf("a batch of %d", len(b.Events))
			}
			continue
		}
		if _, ok := m.(feed.Away); !ok || events != 2500 {
			t.Errorf("%+v after %d events", m, events)
		}
		break
	}
	end()
	<-ended
}
