package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers is a daemon whose tunnel is as is gives, and whose streams are of these events.
func answers(t *testing.T, is func() mezu.Tunnel, events ...local.Event) *local.Client {
	path := filepath.Join(t.TempDir(), "run", "daemon.sock")
	l, err := local.Listen(path)
	if err != nil {
		t.Skip(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(local.HeaderVersion, "1")
		w.Header().Set(local.HeaderGeneration, local.Version)
		if filepath.Base(r.URL.Path) != "attach" {
			_ = json.NewEncoder(w).Encode(is())
			return
		}
		w.Header().Set("Content-Type", local.MediaEvents)
		for _, e := range events {
			data, _ := json.Marshal(e)
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.Event.Event, data)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return local.New(path, "1")
}

func told(of mezu.Tunnel) local.Event {
	return local.Event{Event: mezu.Event{Event: local.EventTunnel, Tunnel: of.Name}, TunnelID: of.ID, Record: &of}
}

// How a tunnel is now is asked for where a stream can't tell: after what it has missed, and when
// its first record is older than the enrolment.
func TestRun_AsksForWhatItMissed(t *testing.T) {
	old := mezu.Tunnel{ID: "tun_1", Name: "shop/dev-ada", State: mezu.TunnelNeedsLogin}
	live := old
	live.State, live.Warpgate, live.URL = mezu.TunnelLive, "wgt_1", "https://a.example"
	stopped := live
	stopped.State = mezu.TunnelStopped
	gap := local.Event{Event: mezu.Event{Event: local.EventGap}, Missed: 7}

	var mu sync.Mutex
	now := live
	daemon := answers(t, func() mezu.Tunnel {
		mu.Lock()
		defer mu.Unlock()
		return now
	}, told(old), gap)
	s, err := session.Open(t.Context(), session.Config{
		Connect: func(context.Context) (*local.Client, error) { return daemon, nil },
		Token:   func(context.Context, string) (string, error) { return "", errors.New("enrolled by an older record") },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Run(t.Context(), func(e local.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch is := s.Tunnel(); {
		case e.Tunnel != old.Name:
			t.Errorf("of no tunnel: %+v", e)
		case e.Event.Event == local.EventGap:
			now = stopped
		case now.State == mezu.TunnelLive && (is.URL != live.URL || e.Record.URL != live.URL):
			t.Errorf("before the gap: %+v", is)
		}
	})
	if !errors.Is(err, session.ErrClosed) || s.Tunnel().State != mezu.TunnelStopped {
		t.Errorf("%v, %+v", err, s.Tunnel())
	}
}
