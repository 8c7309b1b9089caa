package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/mezusphere/mezu"
)

const (
	// loadPace is between two requests of one worker: a load, not a benchmark.
	loadPace = 15 * time.Millisecond
	// loadDeadline is when a request counts as hung. Silence is detected after
	// 15 s at most; a request that waits for that is answered after it.
	loadDeadline = 25 * time.Second
)

// slower is when a promise of time counts as broken: after five times as long, since the machine does
// other work beside. How long things take is for bench/ to say.
func slower(d time.Duration) time.Duration { return 5 * d }

// loadOutcome is what became of one request of a load.
type loadOutcome struct {
	kind         string // get, post, stream or socket
	proto        string // h1 or h2
	edge         *edgeNode
	begun, ended time.Time
	status       int       // zero if no response came
	code         mezu.Code // of an answer that the edge made itself
	by           string    // the station that answered
	err          error     // of the transport, or what is wrong with the response
}

func (o loadOutcome) good() bool { return o.err == nil && o.code == "" }

func (o loadOutcome) String() string {
	return fmt.Sprintf("%s over %s through %s, begun %s, took %v: status %d %s by %q: %v", o.kind, o.proto, o.edge.name,
		o.begun.Format("15:04:05.000"), o.ended.Sub(o.begun).Round(time.Millisecond), o.status, o.code, o.by, o.err)
}

// loadFault is a time in which some requests may fail.
type loadFault struct {
	what        string
	from, until time.Time // requests under way at from or begun before until
	allows      func(loadOutcome) bool
}

// faultLoad is requests of every kind through every edge, each worker one at a
// time.
type faultLoad struct {
	w       *world
	workers []*loadWorker
	stop    chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex
	outcomes []loadOutcome
	faults   []loadFault
}

type loadWorker struct {
	load        *faultLoad
	kind, proto string
	edge        *edgeNode
	client      *http.Client
	lastGood    time.Time // when its last good request began; guarded by load.mu
}

// startLoad begins a load through all edges; end ends it.
func startLoad(w *world) *faultLoad {
	l := &faultLoad{w: w, stop: make(chan struct{})}
	for _, e := range w.edges {
		for _, proto := range []string{"h1", "h2"} {
			for _, kind := range []string{"get", "post", "stream", "socket"} {
				if kind == "socket" && proto == "h2" {
					continue // net/http opens none over HTTP/2
				}
				l.workers = append(l.workers, &loadWorker{load: l, kind: kind, proto: proto, edge: e, client: w.httpClient(e, proto == "h2")})
			}
		}
	}
	for _, k := range l.workers {
		l.running.Go(k.run)
	}
	w.t.Cleanup(l.end)
	return l
}

// end stops the load, closes its connections and returns when all requests have
// ended. It is idempotent.
func (l *faultLoad) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.running.Wait()
	for _, k := range l.workers {
		k.client.CloseIdleConnections()
	}
}

func (k *loadWorker) run() {
	tick := time.NewTicker(loadPace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-k.load.stop:
			return
		case <-tick.C:
		}
		o := loadOutcome{kind: k.kind, proto: k.proto, edge: k.edge, begun: time.Now()}
		ctx, cancel := context.WithTimeout(context.Background(), loadDeadline)
		if k.kind == "socket" {
			k.socket(ctx, &o)
		} else {
			k.request(ctx, n, &o)
		}
		cancel()
		o.ended = time.Now()
		k.load.note(k, o)
	}
}

func (l *faultLoad) note(k *loadWorker, o loadOutcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes = append(l.outcomes, o)
	if o.good() {
		k.lastGood = o.begun
	}
}

// request does one request and checks its response.
func (k *loadWorker) request(ctx context.Context, n int, o *loadOutcome) {
	method, path, want := "GET", fmt.Sprintf("/n/%d", n), ""
	switch k.kind {
	case "post":
		method, want = "POST", strings.Repeat(fmt.Sprintf("%d,", n), 300)
	case "stream":
		path = "/ticks"
	}
	got := o.fetch(ctx, k.client, method, "https://"+k.load.w.host+path, want)
	switch {
	case !o.good():
	case k.kind == "stream" && (strings.Count(string(got), "data: ") != shortStream+1 || !strings.HasSuffix(string(got), "data: end\n\n")):
		o.err = fmt.Errorf("the stream is %q", got)
	case k.kind != "stream" && string(got) != want:
		o.err = fmt.Errorf("%d bytes came back of %d", len(got), len(want))
	}
}

// fetch does one request and reads its response.
func (o *loadOutcome) fetch(ctx context.Context, client *http.Client, method, url, body string) []byte {
	var upload io.Reader
	if body != "" {
		upload = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, upload)
	if err != nil {
		o.err = err
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		o.err = err
		return nil
	}
	defer resp.Body.Close()
	o.heads(resp)
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		o.err = err
	case o.status != http.StatusOK:
		o.refused(resp, got)
	}
	return got
}

// answers asks once through an edge and compares the code of the answer; an empty
// one stands for 200.
func (e *edgeNode) answers(client *http.Client, path string, want mezu.Code) error {
	if o := e.get(client, path); o.err != nil || o.code != want {
		return fmt.Errorf("%v", o)
	}
	return nil
}

// servedBy asks once through an edge and compares who answered.
func (e *edgeNode) servedBy(client *http.Client, want *station) error {
	if o := e.get(client, "/"); !o.good() || o.by != want.name {
		return fmt.Errorf("%v", o)
	}
	return nil
}

func (e *edgeNode) get(client *http.Client, path string) loadOutcome {
	ctx, cancel := context.WithTimeout(context.Background(), loadDeadline)
	defer cancel()
	o := loadOutcome{kind: "get", edge: e, begun: time.Now()}
	o.fetch(ctx, client, "GET", "https://"+e.w.host+path, "")
	o.ended = time.Now()
	return o
}

// socket opens a WebSocket, exchanges some messages and closes it.
func (k *loadWorker) socket(ctx context.Context, o *loadOutcome) {
	c, resp, err := websocket.Dial(ctx, "wss://"+k.load.w.host+"/ws", &websocket.DialOptions{HTTPClient: k.client})
	if resp != nil {
		o.heads(resp)
	}
	if err != nil {
		if o.err = err; resp != nil {
			body, _ := io.ReadAll(resp.Body)
			o.err = nil
			o.refused(resp, body)
		}
		return
	}
	defer c.CloseNow()
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	for i := range shortStream {
		sent := fmt.Sprint("message ", i)
		if err := c.Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			o.err = err
			return
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != sent {
			o.err = fmt.Errorf("echo %q: %w", got, err)
			return
		}
		<-tick.C
	}
	o.err = c.Close(websocket.StatusNormalClosure, "")
}

func (o *loadOutcome) heads(resp *http.Response) {
	o.status, o.by = resp.StatusCode, resp.Header.Get(stationHeader)
}

// refused reads an answer that the edge made.
func (o *loadOutcome) refused(resp *http.Response, body []byte) {
	var problem struct{ Code mezu.Code }
	if err := json.Unmarshal(body, &problem); err != nil || problem.Code == "" {
		o.err = fmt.Errorf("status %d without a code: %q", resp.StatusCode, body)
		return
	}
	o.code = problem.Code
	if problem.Code.Status() != resp.StatusCode {
		o.err = fmt.Errorf("%s with status %d", problem.Code, resp.StatusCode)
	}
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		o.err = fmt.Errorf("%s without Retry-After", problem.Code)
	}
}

// fault allows failures. until is often known later only; it is given with the
// function that is returned, which waits until all is good again after it.
func (l *faultLoad) fault(what string, allows func(loadOutcome) bool) (over func(until time.Time)) {
	f := loadFault{what: what, from: time.Now(), allows: allows}
	return func(until time.Time) {
		l.w.t.Helper()
		f.until = until
		l.mu.Lock()
		l.faults = append(l.faults, f)
		l.mu.Unlock()
		l.flows(what, until)
	}
}

// flows waits until every worker had a good request that began after a time.
func (l *faultLoad) flows(what string, after time.Time) {
	l.w.t.Helper()
	eventually(l.w.t, "good requests after: "+what, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, k := range l.workers {
			if !k.lastGood.After(after) {
				return fmt.Errorf("%s over %s through %s has none since %s", k.kind, k.proto, k.edge.name, k.lastGood.Format("15:04:05.000"))
			}
		}
		return nil
	})
}

// judge ends the load and reports every failure that no fault allows, and every
// request that hung.
func (l *faultLoad) judge() {
	l.w.t.Helper()
	l.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	allowed, bad := map[string]int{}, 0
	for _, o := range l.outcomes {
		if o.good() {
			continue
		}
		i := slices.IndexFunc(l.faults, func(f loadFault) bool {
			return o.ended.After(f.from) && o.begun.Before(f.until) && f.allows(o)
		})
		if i >= 0 && !errors.Is(o.err, context.DeadlineExceeded) {
			allowed[l.faults[i].what]++
			continue
		}
		if bad++; bad <= 10 {
			l.w.t.Errorf("failed: %v", o)
		}
	}
	for _, f := range l.faults {
		l.w.t.Logf("fault %q from %s to %s: %d requests failed", f.what, f.from.Format("15:04:05.000"), f.until.Format("15:04:05.000"), allowed[f.what])
	}
	if bad > 10 {
		l.w.t.Errorf("and %d more", bad-10)
	}
	l.w.t.Logf("%d requests, %d failed as allowed, %d not", len(l.outcomes), len(l.outcomes)-l.countGood()-bad, bad)
}

func (l *faultLoad) countGood() (n int) {
	for _, o := range l.outcomes {
		if o.good() {
			n++
		}
	}
	return n
}

// nothing allows no failure.
func nothing(loadOutcome) bool { return false }

// brokenAt allows connections to an edge to fail, and requests to find no Warpgate
// at it yet.
func brokenAt(e *edgeNode) func(loadOutcome) bool {
	return func(o loadOutcome) bool {
		return o.edge == e && (o.err != nil && o.code == "" || o.code == mezu.CodeNoWarpgate)
	}
}

// stoppedAt allows the same, but cuts nothing short that had begun.
func stoppedAt(e *edgeNode) func(loadOutcome) bool {
	broken := brokenAt(e)
	return func(o loadOutcome) bool { return broken(o) && (o.status == 0 || o.code != "") }
}

// lostWith allows what was under way at a station's Warpgate to fail: streams are
// cut, requests that must not be repeated are answered so. Everything else is
// carried to another Warpgate.
func lostWith(s *station) func(loadOutcome) bool {
	return func(o loadOutcome) bool {
		cut := o.by == s.name && o.err != nil && o.code == ""
		return cut || o.kind == "post" && o.code == mezu.CodeWorkloadReset
	}
}

// goneWith allows the same and that there is no Warpgate.
func goneWith(s *station) func(loadOutcome) bool {
	lost := lostWith(s)
	return func(o loadOutcome) bool {
		return lost(o) || o.code == mezu.CodeWorkloadReset || o.code == mezu.CodeNoWarpgate
	}
}
