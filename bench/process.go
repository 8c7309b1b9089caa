package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// clockTicks is USER_HZ, the unit of times in /proc/PID/stat on every
	// architecture that Go runs on.
	clockTicks = 100
	// startTime bounds how long a process may take until it serves.
	startTime = 20 * time.Second
	// stopTime is what a process gets after SIGTERM.
	stopTime = 5 * time.Second
	// pollPause lies between two looks at something that is to happen soon.
	pollPause = 2 * time.Millisecond
)

// process is one that the benchmark started, or the processes of a peer.
type process struct {
	name string
	args []string
	env  []string
	log  string // file that gets what it says
	pids []int

	cmd    *exec.Cmd
	lines  *bufio.Scanner // stdout, if asked for
	exited chan struct{}
}

// start starts a program. With lines its standard output can be read line by line,
// and must be; else it goes to the log with everything else.
func start(dir, name string, lines bool, env []string, args ...string) (*process, error) {
	p := &process{name: name, args: args, env: env, log: filepath.Join(dir, name+".log")}
	return p, p.launch(lines)
}

// launch starts the process, again if it has ended.
func (p *process) launch(lines bool) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = dieWithParent()
	if lines {
		r, err := p.cmd.StdoutPipe()
		if err != nil {
			return err
		}
		p.lines = bufio.NewScanner(r)
	} else {
		p.cmd.Stdout = log
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.pids = []int{p.cmd.Process.Pid}
	p.exited = make(chan struct{})
	if !lines {
		go p.wait()
	}
	return nil
}

func (p *process) wait() {
	p.cmd.Wait()
	close(p.exited)
}

// line is the next line of output.
func (p *process) line() (string, error) {
	if !p.lines.Scan() {
		return "", fmt.Errorf("%s ended early:\n%s", p.name, p.tail())
	}
	return p.lines.Text(), nil
}

// discard stops reading lines, so that the process can go on writing them.
func (p *process) discard() {
	for p.lines.Scan() {
	}
	p.wait()
}

// tail is the end of what the process said.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// stop ends the process in order, or not at all in order if it takes too long.
func (p *process) stop() {
	if p == nil || p.cmd == nil || p.cmd.Process == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTime):
		p.kill()
	}
}

// ended reports whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// awaitListening waits until addr takes connections and says when it did.
func (p *process) awaitListening(ctx context.Context, addr string) (time.Time, error) {
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); time.Sleep(pollPause) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			at := time.Now()
			return at, c.Close()
		}
		if ctx.Err() != nil {
			return time.Time{}, ctx.Err()
		}
		if p.ended() {
			return time.Time{}, fmt.Errorf("%s ended early:\n%s", p.name, p.tail())
		}
	}
	return time.Time{}, fmt.Errorf("%s does not listen on %s:\n%s", p.name, addr, p.tail())
}

// cpu is the user and system time that the processes and their children that run
// now have used, in seconds.
func (p *process) cpu() (float64, error) {
	total := 0.0
	for _, pid := range p.pids {
		for _, id := range append(children(pid), pid) {
			seconds, err := cpuOf(id)
			if err != nil {
				return 0, fmt.Errorf("reading the CPU time of %s: %w", p.name, err)
			}
			total += seconds
		}
	}
	return total, nil
}

// calls is how often the processes and their children that run now have called read, write
// or their like. It counts what found nothing, and what was for files. Of another user's
// process nothing is known.
func (p *process) calls() (sum float64, err error) {
	for _, pid := range p.pids {
		for _, id := range append(children(pid), pid) {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", id))
			if errors.Is(err, fs.ErrPermission) {
				return math.NaN(), nil
			}
			if err != nil {
				return 0, fmt.Errorf("reading the calls of %s: %w", p.name, err)
			}
			for line := range strings.Lines(string(data)) {
				if name, n, _ := strings.Cut(strings.TrimSpace(line), ": "); name == "syscr" || name == "syscw" {
					calls, err := strconv.ParseFloat(n, 64)
					if err != nil {
						return 0, err
					}
					sum += calls
				}
			}
		}
	}
	return sum, nil
}

// cpuOf reads the fields utime and stime of proc(5).
func cpuOf(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("an unknown form of /proc/PID/stat")
	}
	user, err1 := strconv.ParseUint(fields[11], 10, 64)
	system, err2 := strconv.ParseUint(fields[12], 10, 64)
	return float64(user+system) / clockTicks, errors.Join(err1, err2)
}

// children are the processes that a process started, nginx's workers above all.
func children(pid int) []int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range strings.Fields(string(data)) {
		if id, err := strconv.Atoi(f); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// rss is the resident memory in KiB.
func (p *process) rss() (float64, error) {
	kib, err := rssOf(p.pids[0])
	if err != nil {
		return 0, fmt.Errorf("reading the memory of %s: %w", p.name, err)
	}
	return kib, nil
}

// rssOfAll is that of the process and its children together.
func (p *process) rssOfAll() (sum float64, err error) {
	for _, pid := range append(children(p.pids[0]), p.pids[0]) {
		kib, err := rssOf(pid)
		if err != nil {
			return 0, err
		}
		sum += kib
	}
	return sum, nil
}

func rssOf(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, errors.New("no VmRSS")
}

// descriptors is how many files and connections the process has open, all of its kind
// together.
func (p *process) descriptors() (n int, err error) {
	for _, pid := range p.pids {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return 0, err
		}
		n += len(open)
	}
	return n, nil
}

// freeAddr is an address of this machine that was free a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// loadAverage tells how busy the machine was in the last minute.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(data), " ")
	return load
}
