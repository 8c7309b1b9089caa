package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/local"
)

// TestClockADayOff: where it is tomorrow, a tunnel serves; where it is yesterday, no certificate
// is good yet, and the command says so at once.
func TestClockADayOff(t *testing.T) {
	r := start(t, t.TempDir())
	for name, off := range map[string]time.Duration{"ahead": 24 * time.Hour, "behind": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t, r.against())
			h, err := newHosting(daemon.Config{
				StateDir: filepath.Join(p.folders().State, "daemon"), Kind: local.HostDaemon, Version: version, Log: slog.New(slog.DiscardHandler),
				Now: func() time.Time { return time.Now().Add(off) },
			}, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.listen(p.folders().Socket); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- process.RunParts(ctx, context.Background(), h.parts(h.Host.Run)...) }()
			t.Cleanup(func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
			code, out, talk := p.mezu("tunnel", "--detach", "--wait", "--name", name, workload(t, says("x")))
			if off > 0 && (code != 0 || !strings.HasPrefix(out, "https://")) || off < 0 && (code != 6 || !strings.Contains(talk, "try: check the clock of this machine")) {
				t.Errorf("code %d, %s%s", code, out, talk)
			}
		})
	}
}
