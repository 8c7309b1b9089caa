package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// metric reads one series from the metrics of a process.
func metric(addr, name string) (float64, error) {
	body, err := metrics(addr)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		var v float64
		if series, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && series == name {
			if _, err := fmt.Sscan(value, &v); err == nil {
				return v, nil
			}
		}
	}
	return 0, fmt.Errorf("no %s at %s", name, addr)
}

// warpgateID is the id of a running Warpgate.
func warpgateID(g *gate) (string, error) {
	body, err := metrics(g.health)
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(body, `mezu_warpgate_info{id="`)
	id, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return "", fmt.Errorf("%s says no id", g.name)
	}
	return id, nil
}

func metrics(addr string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/metrics")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// metricIs waits until a series has a value.
func metricIs(t *testing.T, addr, name string, want float64) {
	t.Helper()
	eventually(t, name, func() error {
		v, err := metric(addr, name)
		if err == nil && v != want {
			err = fmt.Errorf("it is %v, want %v", v, want)
		}
		return err
	})
}

// listening waits until an address takes connections, and says when it did.
func listening(t *testing.T, addr string) time.Time {
	t.Helper()
	eventually(t, addr, func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	return time.Now()
}

// unready waits until a service says that it takes nothing new, and returns when
// a second signal would count as one.
func unready(t *testing.T, addr string) {
	t.Helper()
	// Two signals within 100 ms are one.
	earliest := time.After(150 * time.Millisecond)
	eventually(t, "the drain to begin", func() error {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	<-earliest
}

// restart ends a process, by kill -9 or by SIGTERM, and starts it again.
func (e *edgeNode) restart(hard bool) (up time.Time) {
	e.w.t.Helper()
	e.down(hard)
	e.run()
	return listening(e.w.t, e.https)
}

func (e *edgeNode) down(hard bool) {
	e.w.t.Helper()
	e.process.down(hard)
}

func (p *process) down(hard bool) {
	p.t.Helper()
	if hard {
		p.kill()
		return
	}
	if code := p.stop(); code != 0 {
		p.t.Errorf("%s ended with %d after SIGTERM", p.name, code)
	}
}

// restart ends a Warpgate and starts it again; up is when it says that a tunnel is
// registered.
func (g *gate) restart(hard bool) (up time.Time) {
	g.w.t.Helper()
	g.down(hard)
	g.run(g.name)
	healthy(g.w.t, g.health)
	return time.Now()
}

// tunnels waits until every edge holds so many Warpgates.
func (w *world) tunnels(n int) {
	w.t.Helper()
	for _, e := range w.edges {
		metricIs(w.t, e.admin, "mezu_edge_warpgates", float64(n))
	}
}

// pause stops a process without closing anything; the function resumes it.
func (p *process) pause() (resume func()) {
	p.signal(syscall.SIGSTOP)
	return func() { p.signal(syscall.SIGCONT) }
}

// level is what a process holds when nothing happens.
type level struct {
	p                       *process
	admin                   string
	descriptors, goroutines int
}

// levelOf measures a process.
func levelOf(t *testing.T, p *process, admin string) level {
	t.Helper()
	v, err := metric(admin, "go_goroutines")
	if err != nil {
		t.Fatal(err)
	}
	return level{p, admin, p.descriptors(), int(v)}
}

// returns waits until the process holds no more than before and so many
// descriptors and goroutines beside.
func (l level) returns(t *testing.T, descriptors, goroutines int) {
	t.Helper()
	eventually(t, l.p.name+" to return to what it held", func() error {
		now := levelOf(t, l.p, l.admin)
		if now.descriptors > l.descriptors+descriptors || now.goroutines > l.goroutines+goroutines {
			return fmt.Errorf("%d descriptors, were %d; %d goroutines, were %d", now.descriptors, l.descriptors, now.goroutines, l.goroutines)
		}
		return nil
	})
	now := levelOf(t, l.p, l.admin)
	t.Logf("%s holds %d descriptors, held %d; %d goroutines, had %d", l.p.name, now.descriptors, l.descriptors, now.goroutines, l.goroutines)
}
