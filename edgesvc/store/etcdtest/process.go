package etcdtest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// process is a member in a process of its own.
type process struct {
	site    Site
	path    string
	t       Test
	running *exec.Cmd
}

// program finds etcd.
func program(t Test) string {
	t.Helper()
	path, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("no etcd on PATH: `make tools-for-test` installs Debian's etcd-server")
	}
	return path
}

// Start implements Member.
func (m *process) Start() error {
	cmd := exec.Command(m.path,
		"--name", m.site.Name, "--data-dir", m.site.Dir,
		"--listen-peer-urls", m.site.Peer.String(), "--initial-advertise-peer-urls", m.site.Peer.String(),
		"--listen-client-urls", m.site.Client.String(), "--advertise-client-urls", m.site.Client.String(),
		"--initial-cluster", m.site.Initial, "--initial-cluster-token", "mezusphere-test",
		"--cert-file", m.site.CertFile, "--key-file", m.site.KeyFile, "--trusted-ca-file", m.site.CAFile, "--client-cert-auth",
		"--peer-cert-file", m.site.CertFile, "--peer-key-file", m.site.KeyFile, "--peer-trusted-ca-file", m.site.CAFile, "--peer-client-cert-auth",
		"--heartbeat-interval", strconv.FormatInt(Heartbeat.Milliseconds(), 10), "--election-timeout", strconv.FormatInt(Election.Milliseconds(), 10),
		"--log-level", "error", "--logger", "zap")
	cmd.Env = []string{}
	said, err := os.OpenFile(m.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer said.Close() // the process has its own
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", m.path, err)
	}
	m.running = cmd
	return nil
}

// log is the file with the member's output.
func (m *process) log() string { return m.site.Dir + ".log" }

// Leads implements Member.
func (m *process) Leads() bool { return false }

// Kill is kill -9.
func (m *process) Kill() {
	if m.running == nil {
		return
	}
	if err := m.running.Process.Kill(); err != nil {
		m.t.Errorf("killing %s: %v", m.site.Name, err)
	}
	m.running.Wait() // says that it was killed
	m.running = nil
	if said, err := os.ReadFile(m.log()); m.t.Failed() && err == nil {
		m.t.Logf("%s said: %s", m.site.Name, said)
	}
}
