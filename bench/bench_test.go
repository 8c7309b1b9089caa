package main

import (
	"context"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the test's program the helpers too, which newBench starts from it.
func TestMain(m *testing.M) {
	if helpers[first(os.Args[1:])] != nil {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// TestNewBench_UndoesWhatItBegan: whoever hangs up while everything starts, or has no
// nginx, gets an error, and neither files nor processes are left.
func TestNewBench_UndoesWhatItBegan(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	o, err := parse([]string{"-run", "^http1$"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b, err := newBench(ctx, o, io.Discard); b != nil || err == nil {
		t.Errorf("newBench gives %v, %v", b, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestReadWrk(t *testing.T) {
	const out = `Running 4s test @ https://load-bench.localhost:8443/small
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.02ms    3.11ms  61.02ms   88.21%
    Req/Sec     8.31k     1.02k   10.62k    68.75%
  Latency Distribution
     50%  853.00us
     75%    4.81ms
     90%    7.42ms
     99%    1.02s 
  66230 requests in 4.01s, 74.59MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 5
Requests/sec:  16519.20
Transfer/sec:     18.60MB
`
	got, err := readWrk(out)
	want := load{requests: 66230, perSecond: 16519.20, p50: 0.853, p99: 1020, failures: 6, failuresOfStatus: 5}
	if err != nil || got != want {
		t.Errorf("readWrk gives %+v, %v; want %+v", got, err, want)
	}
	if got.failed() == nil {
		t.Error("a load with failures passes for a good one")
	}
	if _, err := readWrk("wrk: connection refused"); err == nil {
		t.Error("readWrk takes text without figures")
	}
}

func TestResultsPairRounds(t *testing.T) {
	var r results
	for round, v := range []float64{10, 40, 30} {
		r.put(round, "m", "a", "rate", v)
	}
	r.put(0, "m", "b", "rate", 20)
	r.put(2, "m", "b", "rate", 10) // the second round failed
	if got := r.get("m", "a", "rate"); got != 30 {
		t.Errorf("the median is %v, want 30", got)
	}
	// 10/20 and 30/10: the round without a partner does not count.
	if got := r.against("m", "rate", "a", "b", ratio); got != 1.75 {
		t.Errorf("the median ratio is %v, want 1.75", got)
	}
	if got := r.against("m", "rate", "a", "c", ratio); !math.IsNaN(got) {
		t.Errorf("the ratio to what was not measured is %v", got)
	}
	var b strings.Builder
	if err := r.writeJSON(&b); err != nil {
		t.Errorf("writing JSON with a missing round: %v", err)
	}
}

func TestGoals(t *testing.T) {
	most, least := goal{bound: 10}, goal{bound: 10, least: true}
	for _, c := range []struct {
		v           float64
		most, least bool
	}{{9, true, false}, {10, true, true}, {11, false, true}, {math.NaN(), false, false}} {
		if most.met(c.v) != c.most || least.met(c.v) != c.least {
			t.Errorf("%v meets at most 10: %v, at least 10: %v", c.v, most.met(c.v), least.met(c.v))
		}
	}
}

func TestParsePeer(t *testing.T) {
	got, err := parsePeer("frp=https://shop.localhost:7000#12,13")
	if err != nil || got.name != "frp" || got.addr != "shop.localhost:7000" || got.host != "shop.localhost" || len(got.procs) != 1 || len(got.procs[0].pids) != 2 {
		t.Errorf("parsePeer gives %+v, %v", got, err)
	}
	for _, bad := range []string{"", "frp", "frp=http://127.0.0.1:1", "frp=https://127.0.0.1", "=https://127.0.0.1:1", "frp=https://127.0.0.1:1#x"} {
		if _, err := parsePeer(bad); err == nil {
			t.Errorf("parsePeer takes %q", bad)
		}
	}
}

// TestWorkload has the client of the measures speak to the workload.
func TestWorkload(t *testing.T) {
	dir := t.TempDir()
	pair, err := makeCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runWorkload(ctx, []string{"-cert", pair.cert, "-key", pair.key}, w) }()
	line := make([]byte, 256)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	plain, secured, _ := strings.Cut(strings.TrimSpace(string(line[:n])), " ")
	for _, to := range []target{{addr: plain, host: "a"}, {addr: secured, host: "a", secure: true}} {
		exercise(t, ctx, to)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func exercise(t *testing.T, ctx context.Context, to target) {
	t.Helper()
	c, err := dial(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.get(to.head("GET", pathSmall, "")); err != nil {
			t.Errorf("small: %v", err)
		}
		if err := c.download(1<<20 + 1); err != nil {
			t.Errorf("download: %v", err)
		}
		if err := c.upload(1<<20 + 1); err != nil {
			t.Errorf("upload: %v", err)
		}
	}
	if err := c.get(to.head("GET", "/nothing", "")); err == nil {
		t.Error("an answer of 404 passes for a good one")
	}
	c.Close()
	s, err := openSocket(ctx, to)
	if err != nil {
		t.Fatalf("WebSocket: %v", err)
	}
	s.Close()
	if err := once(ctx, to, to.head("GET", pathSlow+"1", "Connection: close\r\n")); err != nil {
		t.Errorf("slow: %v", err)
	}
}

// TestLetGo: the workload says when the last of the streams has ended that it was to expect,
// and small requests are no streams.
func TestLetGo(t *testing.T) {
	w, err := startLetGo()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	to := target{addr: w.l.Addr().String(), host: "a"}
	gone := w.expect(2)
	var streams []*conn
	for range 2 {
		if err := once(t.Context(), to, to.head("GET", pathSmall, "")); err != nil {
			t.Fatal(err)
		}
		s, err := openSocket(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	streams[0].Close()
	begin := time.Now()
	streams[1].Close()
	select {
	case at := <-gone:
		if at.Before(begin) {
			t.Error("it says so before the last one has ended")
		}
	case <-time.After(time.Minute):
		t.Error("it does not notice")
	}
}

func TestFreeAddr(t *testing.T) {
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Errorf("%s is not free", addr)
	}
}

func TestWorse(t *testing.T) {
	var r results
	for round, v := range [][4]float64{{1, 3, 1, 2}, {2, 8, 2, 4}} {
		r.put(round, "m", "ours", "alone", v[0])
		r.put(round, "m", "ours", "beside", v[1])
		r.put(round, "m", "theirs", "alone", v[2])
		r.put(round, "m", "theirs", "beside", v[3])
	}
	// 3/1 against 2/1, and 8/2 against 4/2.
	if got := worse("m", "beside", "alone", "ours", "theirs")(&r); got != 1.75 {
		t.Errorf("it grows %v times as much, want 1.75", got)
	}
	if got := worse("m", "beside", "alone", "ours", "nobody")(&r); !math.IsNaN(got) {
		t.Errorf("against what was not measured it is %v", got)
	}
}
