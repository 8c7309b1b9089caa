package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Load of the small requests.
const (
	wrkThreads     = 2
	wrkConnections = 64
	h2Connections  = 8
	h2Streams      = 8
)

// resolveScript makes wrk connect to an address whatever the host in the URL is,
// which stays in SNI and Host.
const resolveScript = `function wrk.resolve(host, service)
  wrk.addrs = wrk.lookup(%q, service)
end
`

// load is what a generator saw.
type load struct {
	requests         float64
	perSecond        float64
	p50, p99         float64 // milliseconds
	failures         int
	failuresOfStatus int
}

func (l load) failed() error {
	if l.failures+l.failuresOfStatus == 0 {
		return nil
	}
	return fmt.Errorf("%d requests without an answer, %d answers other than 2xx", l.failures, l.failuresOfStatus)
}

func lookPath(program, debian string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil && program == "nginx" {
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		return "", fmt.Errorf("%s is missing (Debian: apt-get install %s)", program, debian)
	}
	return path, nil
}

// generate runs a generator and gives it a little more time than it was told to take.
func generate(ctx context.Context, length time.Duration, program, debian string, args ...string) (string, error) {
	path, err := lookPath(program, debian)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, length+answerTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return string(out), nil
}

// wrk drives HTTP/1.1.
func wrk(ctx context.Context, dir string, t target, length time.Duration) (load, error) {
	var l load
	host, _, err := net.SplitHostPort(t.addr)
	if err != nil {
		return l, err
	}
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, fmt.Appendf(nil, resolveScript, host), 0o600); err != nil {
		return l, err
	}
	out, err := generate(ctx, length, "wrk", "wrk", "-t"+strconv.Itoa(wrkThreads), "-c"+strconv.Itoa(wrkConnections),
		fmt.Sprintf("-d%ds", int(length.Seconds())), "--timeout", "10s", "--latency", "-s", script, t.url(pathSmall))
	if err != nil {
		return l, err
	}
	l, err = readWrk(out)
	if err != nil {
		return l, fmt.Errorf("reading what wrk says: %w:\n%s", err, out)
	}
	return l, nil
}

var (
	wrkTotal  = regexp.MustCompile(`(\d+) requests in`)
	wrkRate   = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkP50    = regexp.MustCompile(`\s50%\s+(\S+)`)
	wrkP99    = regexp.MustCompile(`\s99%\s+(\S+)`)
	wrkErrors = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	h2Rate    = regexp.MustCompile(`finished in [\d.]+\w+, ([\d.]+) req/s`)
	h2Totals  = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed`)
	h2Status  = regexp.MustCompile(`status codes: (\d+) 2xx`)
)

func readWrk(out string) (load, error) {
	var l load
	var errs [4]error
	l.requests, errs[0] = number(wrkTotal, out)
	l.perSecond, errs[1] = number(wrkRate, out)
	l.p50, errs[2] = span(wrkP50, out)
	l.p99, errs[3] = span(wrkP99, out)
	if m := wrkErrors.FindStringSubmatch(out); m != nil {
		for _, n := range m[1:] {
			failed, _ := strconv.Atoi(n)
			l.failures += failed
		}
	}
	if m := wrkStatus.FindStringSubmatch(out); m != nil {
		l.failuresOfStatus, _ = strconv.Atoi(m[1])
	}
	return l, errors.Join(errs[:]...)
}

func number(r *regexp.Regexp, text string) (float64, error) {
	m := r.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no %s", r)
	}
	return strconv.ParseFloat(m[1], 64)
}

// span reads a time such as 853.00us in milliseconds.
func span(r *regexp.Regexp, text string) (float64, error) {
	m := r.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no %s", r)
	}
	d, err := time.ParseDuration(m[1])
	return float64(d) / float64(time.Millisecond), err
}

// h2load drives HTTP/2 with small requests.
func h2load(ctx context.Context, dir string, t target, length time.Duration) (load, error) {
	return h2loadOf(ctx, dir, t, length, pathSmall)
}

// h2loadOf drives HTTP/2 with requests for a path, as more arguments say.
func h2loadOf(ctx context.Context, dir string, t target, length time.Duration, path string, more ...string) (load, error) {
	var l load
	log := filepath.Join(dir, "h2load.log")
	os.Remove(log) // h2load appends
	args := append(more, "-c", strconv.Itoa(h2Connections), "-m", strconv.Itoa(h2Streams),
		"-D", strconv.Itoa(int(length.Seconds())), "--connect-to="+t.addr, "--log-file="+log, t.url(path))
	out, err := generate(ctx, length, "h2load", "nghttp2-client", args...)
	if err != nil {
		return l, err
	}
	var errs [3]error
	l.perSecond, errs[0] = number(h2Rate, out)
	if m := h2Totals.FindStringSubmatch(out); m != nil {
		l.requests, errs[1] = strconv.ParseFloat(m[1], 64)
		l.failures, errs[2] = strconv.Atoi(m[3])
	}
	if good, err := number(h2Status, out); err == nil {
		l.failuresOfStatus = max(0, int(l.requests-good))
	}
	if err := errors.Join(errs[:]...); err != nil || l.requests == 0 {
		return l, fmt.Errorf("reading what h2load says: %w:\n%s", err, out)
	}
	took, err := readLog(log)
	l.p50, l.p99 = percentile(took, 50), percentile(took, 99)
	return l, err
}

// readLog reads the durations, in milliseconds, of h2load's log: start, status and
// microseconds of each request.
func readLog(path string) ([]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []float64
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 3 {
			continue
		}
		if us, err := strconv.ParseFloat(fields[2], 64); err == nil {
			out = append(out, us/1000)
		}
	}
	slices.Sort(out)
	return out, s.Err()
}

// percentile of sorted values; not a number if there are none.
func percentile(sorted []float64, p int) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
