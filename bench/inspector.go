package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"

	"github.com/mezusphere/mezu"
)

// Names of figures about inspector and dashboard.
const (
	nameOff   = "daemon, --inspect off"
	nameOn    = "daemon, recording"
	nameDrawn = "daemon, recording, dashboard open"

	figFrames    = "frames a second, 12 keys a second"
	figShownCPU  = "dashboard: % of a core"
	figFirstDraw = "first frame: ms"
	figKey       = "a key, 500 exchanges, text: ms"
	figDrawIdle  = "dashboard: MiB"
	figDrawCPU   = "dashboard, idle: % of a core"
	figRecorded  = "recording takes: MiB"
	figGateSize  = "warpgate: MB"
	figGateIdle  = "warpgate, idle: MiB"
	figGateStart = "warpgate starts: ms"
)

const (
	// loadTurns is how often each target is loaded in a round, beside a first time that isn't
	// counted. What another program on the machine does in one turn is more than what is
	// measured here, so each turn gives a ratio of its own, and there are many.
	loadTurns = 8
	// calmTime is before each of them: a dashboard opens, and tries its tunnels. The others
	// rest as long.
	calmTime = time.Second
	// firstDraws and keyPresses are how often a dashboard is opened and a key is pressed in a
	// round.
	firstDraws = 10
	keyPresses = 20
	// keyRepeat is the pause between two of a key that is pressed again and again: each is a
	// frame, of which a moving hand asks for a dozen a second.
	keyRepeat = 80 * time.Millisecond
	// keptPause keeps requests below the rate from which on bodies are left out.
	keptPause = 2 * time.Millisecond
	// fullBodies are sent through the tunnel that records, each far larger than what is kept.
	fullBodies = 4
	fullBody   = 256 << 20
	// readyLine is what a dashboard shows when it has drawn all, and helpLine when a key was
	// answered.
	readyLine = "Tunnels"
	helpLine  = "Help: "
)

// drawn is a dashboard on a terminal.
type drawn struct {
	*process
	pty  *os.File
	mu   sync.Mutex
	text bytes.Buffer // since forget
	all  int          // bytes that came
	news chan struct{}
	done chan struct{}
}

// dashboard opens one on a terminal of 120 by 40 cells.
func (d *developer) dashboard(ctx context.Context, args ...string) (*drawn, error) {
	c := exec.CommandContext(ctx, d.in.bin.mezu, append([]string{"dashboard"}, args...)...)
	c.Env = append(os.Environ(), d.env...)
	c.Env = append(c.Env, "CI=", "TERM=xterm-256color", "LANG=C.UTF-8")
	t, err := pty.StartWithSize(c, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		return nil, err
	}
	v := &drawn{process: &process{name: "dashboard", pids: []int{c.Process.Pid}, cmd: c, exited: make(chan struct{})}, pty: t, news: make(chan struct{}, 1), done: make(chan struct{})}
	go v.read()
	go v.wait()
	return v, nil
}

// read reads what is drawn to its end.
func (v *drawn) read() {
	defer close(v.done)
	b := make([]byte, 64<<10)
	for {
		n, err := v.pty.Read(b)
		if err != nil {
			return
		}
		v.mu.Lock()
		v.text.Write(b[:n])
		v.all += n
		v.mu.Unlock()
		select {
		case v.news <- struct{}{}:
		default:
		}
	}
}

// close ends it.
func (v *drawn) close() {
	v.stop()
	v.pty.Close()
	<-v.done
}

// forget forgets what was drawn.
func (v *drawn) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.text.Reset()
}

// await waits until something was drawn, and gives how long that took.
func (v *drawn) await(ctx context.Context, text string) (time.Duration, error) {
	begin := time.Now()
	late := time.NewTimer(startTime)
	defer late.Stop()
	for {
		v.mu.Lock()
		got := strings.Contains(v.text.String(), text)
		tail := v.text.Bytes()[max(0, v.text.Len()-2000):]
		v.mu.Unlock()
		if got {
			return time.Since(begin), nil
		}
		select {
		case <-v.news:
		case <-late.C:
			return 0, fmt.Errorf("the dashboard never shows %q, but %q", text, tail)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// press types on the terminal.
func (v *drawn) press(keys string) error {
	_, err := v.pty.WriteString(keys)
	return err
}

// hold presses a key again and again, as one that is held down, until release is called: without
// that nothing is drawn but what changes.
func (v *drawn) hold(key string) (release func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		each := time.NewTicker(keyRepeat)
		defer each.Stop()
		for {
			select {
			case <-each.C:
				if v.press(key) != nil {
					return
				}
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-done }
}

// frames counts those that were drawn since forget: each begins at the terminal's first cell.
func (v *drawn) frames() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Count(v.text.Bytes(), []byte("\x1b[H"))
}

// takeInspector is what recording and the dashboard cost, and how soon that answers.
func takeInspector(ctx context.Context, b *bench, round int) (err error) {
	if !b.have() {
		return errNotOurs
	}
	d, err := b.developer(b.in, fmt.Sprintf("inspector-%d", round))
	if err != nil {
		return err
	}
	put := func(name string, v float64) { b.results.put(round, "inspector", nameDaemon, name, v) }
	if err := d.takeGate(ctx, round, put); err != nil {
		return err
	}
	daemon, err := d.runHere(ctx, fmt.Sprintf("daemon-inspector-%d", round))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	off, on, err := d.recordedAndNot(ctx)
	if err != nil {
		return err
	}
	if err := d.takeRecording(ctx, round, off, on); err != nil {
		return err
	}
	if err := d.takeDrawing(ctx, on, put); err != nil {
		return err
	}
	return d.takeKept(ctx, daemon, on, put)
}

// recordedAndNot opens two tunnels, of which one leaves the inspector out.
func (d *developer) recordedAndNot(ctx context.Context) (off, on target, err error) {
	project := filepath.Base(d.home)
	if _, err := d.run(ctx, "tunnel", "--detach", "--wait", "--inspect", "off", "--project", project+"-off", d.b.upstream); err != nil {
		return off, on, err
	}
	p, t, _, err := d.tunnel(ctx, project+"-on") // its address tells how addresses are made
	if err != nil {
		return off, on, err
	}
	p.stop()
	if _, err := d.run(ctx, "tunnel", "--detach", "--wait", "--project", project+"-on", d.b.upstream); err != nil {
		return off, on, err
	}
	off, on = t, t
	off.name, off.host = nameOff, strings.Replace(t.host, project+"-on", project+"-off", 1)
	on.name = nameOn
	return off, on, nil
}

// takeRecording drives HTTP/1.1 through the program warpgate, and through the daemon without
// recording, with it, and with a dashboard beside.
func (d *developer) takeRecording(ctx context.Context, round int, off, on target) error {
	shown := on
	shown.name = nameDrawn
	all := []target{d.b.ours, off, on, shown}
	for turn := range (1 + loadTurns) * len(all) {
		cycle := turn / len(all)
		t := all[(turn+cycle+round)%len(all)]
		put := func(name string, v float64) {
			if cycle > 0 {
				d.b.results.put(round*loadTurns+cycle-1, "inspector", t.name, name, v)
			}
		}
		l, err := d.load(ctx, t, put)
		if err == nil {
			err = l.failed()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		put(figRate, l.perSecond)
	}
	return nil
}

// load drives one target, beside a dashboard if its name says so. Of that it gives figures.
func (d *developer) load(ctx context.Context, t target, put func(string, float64)) (load, error) {
	if t.name == nameDrawn {
		v, err := d.dashboard(ctx)
		if err != nil {
			return load{}, err
		}
		defer v.close()
		if _, err := v.await(ctx, readyLine); err != nil {
			return load{}, err
		}
		return d.loadBeside(ctx, v, t, put)
	}
	if err := pauseFor(ctx, calmTime); err != nil {
		return load{}, err
	}
	return wrk(ctx, d.b.dir, t, d.b.o.length)
}

// loadBeside drives a target beside a dashboard, a key of which is held down.
func (d *developer) loadBeside(ctx context.Context, v *drawn, t target, put func(string, float64)) (load, error) {
	if err := pauseFor(ctx, calmTime); err != nil {
		return load{}, err
	}
	v.forget()
	before, err := v.cpu()
	if err != nil {
		return load{}, err
	}
	begin := time.Now()
	release := v.hold("?")
	l, err := wrk(ctx, d.b.dir, t, d.b.o.length)
	release()
	took := time.Since(begin).Seconds()
	put(figFrames, float64(v.frames())/took)
	after, failed := v.cpu()
	put(figShownCPU, 100*(after-before)/took)
	return l, errors.Join(err, failed)
}

// takeDrawing times frames and keys, and watches an idle dashboard. The inspector is full: of
// requests that are sent now, slowly enough that all of them are kept.
func (d *developer) takeDrawing(ctx context.Context, on target, put func(string, float64)) error {
	for range mezu.DefaultExchanges {
		if err := once(ctx, on, on.head("GET", pathSmall, "")); err != nil {
			return err
		}
		if err := pauseFor(ctx, keptPause); err != nil {
			return err
		}
	}
	var first []float64
	for range firstDraws {
		v, err := d.dashboard(ctx)
		if err != nil {
			return err
		}
		took, err := v.await(ctx, readyLine)
		v.close()
		if err != nil {
			return err
		}
		first = append(first, milliseconds(took))
	}
	slices.Sort(first)
	put(figFirstDraw, percentile(first, 50))
	v, err := d.dashboard(ctx)
	if err != nil {
		return err
	}
	defer v.close()
	if _, err := v.await(ctx, readyLine); err != nil {
		return err
	}
	if err := v.press("2"); err != nil {
		return err
	}
	if _, err := v.await(ctx, "▐2 Requests▌"); err != nil {
		return err
	}
	if _, err := v.await(ctx, fmt.Sprint(mezu.DefaultExchanges, " kept")); err != nil {
		return err
	}
	if err := v.press("/text:nothing-has-this\r"); err != nil {
		return err
	}
	if err := pauseFor(ctx, time.Second); err != nil {
		return err
	}
	var keys []float64
	for range keyPresses {
		v.forget()
		if err := v.press("?"); err != nil {
			return err
		}
		took, err := v.await(ctx, helpLine)
		if err != nil {
			return err
		}
		keys = append(keys, milliseconds(took))
		if err := v.press("?"); err != nil {
			return err
		}
		if err := pauseFor(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	slices.Sort(keys)
	put(figKey, percentile(keys, 50))
	if err := pauseFor(ctx, restTime); err != nil {
		return err
	}
	before, err := v.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := pauseFor(ctx, daemonRest); err != nil {
		return err
	}
	after, err := v.cpu()
	if err != nil {
		return err
	}
	put(figDrawCPU, 100*(after-before)/time.Since(begin).Seconds())
	resident, err := v.rss()
	put(figDrawIdle, resident/1024)
	return err
}

// takeKept sends large bodies through a tunnel that records, and gives how much more memory the
// daemon takes than without.
func (d *developer) takeKept(ctx context.Context, daemon *process, on target, put func(string, float64)) error {
	if err := d.send(ctx, strings.Replace(on.host, "-on", "-off", 1), on.addr); err != nil {
		return err
	}
	without, err := daemon.rss()
	if err != nil {
		return err
	}
	if err := d.send(ctx, on.host, on.addr); err != nil {
		return err
	}
	with, err := daemon.rss()
	put(figRecorded, (with-without)/1024)
	return err
}

// zeros are a body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// send sends fullBodies at once, and reads as large an answer to each.
func (d *developer) send(ctx context.Context, host, addr string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	errs := make(chan error, fullBodies)
	for range fullBodies {
		go func() {
			errs <- func() error {
				for _, request := range []struct {
					method, path string
					body         io.Reader
				}{{"POST", pathSink, io.LimitReader(zeros{}, fullBody)}, {"GET", fmt.Sprint(pathBytes, fullBody), nil}} {
					req, err := http.NewRequestWithContext(ctx, request.method, "https://"+host+request.path, request.body)
					if err != nil {
						return err
					}
					if request.body != nil {
						req.ContentLength = fullBody
					}
					resp, err := client.Do(req)
					if err != nil {
						return err
					}
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if err != nil || resp.StatusCode != http.StatusOK {
						return fmt.Errorf("%s %s: %d, %w", request.method, request.path, resp.StatusCode, err)
					}
				}
				return nil
			}()
		}()
	}
	var all error
	for range fullBodies {
		all = errors.Join(all, <-errs)
	}
	return all
}

// takeGate is the size of the program warpgate, and what it takes when it starts and rests.
func (d *developer) takeGate(ctx context.Context, round int, put func(string, float64)) error {
	stripped := filepath.Join(d.b.dir, "warpgate-stripped")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", stripped, "github.com/mezusphere/mezu/cmd/warpgate").CombinedOutput(); err != nil {
		return fmt.Errorf("building warpgate: %w\n%s", err, out)
	}
	info, err := os.Stat(stripped)
	if err != nil {
		return err
	}
	put(figGateSize, float64(info.Size())/1e6)
	in := *d.in
	in.bin.warpgate = stripped
	begin := time.Now()
	p, err := in.startWarpgate(fmt.Sprintf("warpgate-light-%d", round), d.b.upstream, true)
	if err != nil {
		return err
	}
	defer p.stop()
	connected, err := awaitConnected(p)
	if err != nil {
		return err
	}
	go p.discard()
	put(figGateStart, milliseconds(connected.Sub(begin)))
	if err := pauseFor(ctx, restTime); err != nil {
		return err
	}
	resident, err := p.rss()
	put(figGateIdle, resident/1024)
	return err
}
