package etcdtest

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// process is a member in a process of its own.
type process struct {
	site
	path    string
	t       testing.TB
	running *exec.Cmd
}

// program finds etcd.
func program(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("no etcd on PATH: `make tools-for-test` installs Debian's etcd-server")
	}
	return path
}

func (m *process) start() error {
	cmd := exec.Command(m.path,
		"--name", m.name, "--data-dir", m.dir,
		"--listen-peer-urls", m.peer.String(), "--initial-advertise-peer-urls", m.peer.String(),
		"--listen-client-urls", m.client.String(), "--advertise-client-urls", m.client.String(),
		"--initial-cluster", m.initial, "--initial-cluster-token", "mezusphere-test",
		"--cert-file", m.files.cert, "--key-file", m.files.key, "--trusted-ca-file", m.files.ca, "--client-cert-auth",
		"--peer-cert-file", m.files.cert, "--peer-key-file", m.files.key, "--peer-trusted-ca-file", m.files.ca, "--peer-client-cert-auth",
		"--heartbeat-interval", strconv.FormatInt(heartbeat.Milliseconds(), 10), "--election-timeout", strconv.FormatInt(election.Milliseconds(), 10),
		"--log-level", "error", "--logger", "zap")
	cmd.Env = []string{}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", m.path, err)
	}
	m.running = cmd
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("%s said: %s", m.name, out.String())
		}
	})
	return nil
}

// kill is kill -9.
func (m *process) kill() {
	if m.running == nil {
		return
	}
	if err := m.running.Process.Kill(); err != nil {
		m.t.Errorf("killing %s: %v", m.name, err)
	}
	m.running.Wait() // says that it was killed
	m.running = nil
}

// Freeze stops a member of StartProcesses without closing its connections, until
// thaw is called.
func (c *Cluster) Freeze(i int) (thaw func()) {
	c.t.Helper()
	p := c.members[i].(*process).running.Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if err := p.Signal(syscall.SIGCONT); err != nil {
			c.t.Error(err)
		}
	}
}
