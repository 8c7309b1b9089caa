package pages

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mezusphere/mezu/testkit"
)

// A machine of a page: its own network, processes and folders but for the system's programs. The
// home, /etc, /var and what else a page writes to are empty or copies. Several have a network
// between them.
type machine struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	// terminal is where blocks run.
	terminal *exec.Cmd
	shell    io.WriteCloser
	said     *bufio.Reader
	page     string // the folder that the machine has as /page, with what the test put there
	blocks   int
}

// description is what a machine's first process is told.
type description struct {
	Name, Root, Page, Programs, Homes string
	// Names are what its resolver knows. "*.x" is every name below x.
	Names map[string]string
}

// settings of machines.
const (
	describedVariable = "MEZU_PAGES_MACHINE"
	machineReady      = "ready"
	home              = "/home/you"
	// patience bounds the commands of a block: a busy machine is slow, a hang is for ever.
	patience = time.Minute
	// network is that between the machines of a page.
	network = "10.0.0."
)

// linked counts links, whose names are unique in a network.
var linked atomic.Int32

// newMachines makes the machines of a page, at 10.0.0.1, 10.0.0.2 and so on unless
// names has another. names is what a resolver says beside *.localhost.
func newMachines(t *testing.T, names names, machines ...string) map[string]*machine {
	t.Helper()
	if reason := os.Getenv(forbiddenVariable); reason != "" {
		if os.Getenv(requiredVariable) != "" {
			t.Fatalf("this kernel lets the test have no namespaces: %s", reason)
		}
		t.Skipf("this kernel lets the test have no namespaces: %s", reason)
	}
	testkit.Programs(t, "ip", "nsenter", "bash", "script", "python3", "curl", "jq", "openssl")
	bridge := fmt.Sprintf("br%d", linked.Add(1))
	if len(machines) > 1 {
		run(t, "ip", "link", "add", bridge, "type", "bridge")
		run(t, "ip", "link", "set", bridge, "up")
	}
	all, homes := map[string]*machine{}, t.TempDir()
	for i, name := range machines {
		m := newMachine(t, name, homes, names.of(name))
		all[name] = m
		m.enter("ip", "link", "set", "lo", "up")
		if len(machines) > 1 {
			here, pid := fmt.Sprintf("v%d", linked.Add(1)), fmt.Sprint(m.cmd.Process.Pid)
			run(t, "ip", "link", "add", here, "master", bridge, "type", "veth", "peer", "name", "eth0", "netns", pid)
			run(t, "ip", "link", "set", here, "up")
			m.enter("ip", "address", "add", cmp.Or(names.all[name], fmt.Sprintf("%s%d", network, i+1))+"/24", "dev", "eth0")
			m.enter("ip", "link", "set", "eth0", "up")
			m.enter("ip", "route", "add", "default", "dev", "eth0")
		}
		m.open()
	}
	return all
}

func newMachine(t *testing.T, name, homes string, names map[string]string) *machine {
	t.Helper()
	m := &machine{t: t, name: name, page: t.TempDir()}
	text, err := json.Marshal(description{Name: name, Root: t.TempDir(), Page: m.page, Programs: os.Getenv(programsVariable), Homes: homes, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(m.page, "bin"), os.DirFS("testdata/bin")); err != nil {
		t.Fatal(err)
	}
	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Env = append(os.Environ(), roleVariable+"="+roleMachine, describedVariable+"="+string(text))
	m.cmd.Stderr = os.Stderr
	m.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.end)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != machineReady {
		t.Fatalf("%s does not start: %q, %v", name, line, err)
	}
	return m
}

// end ends all processes of the machine with the first.
func (m *machine) end() {
	m.cmd.Process.Kill()
	m.cmd.Wait()
	if m.terminal != nil {
		m.shell.Close()
		m.terminal.Wait()
	}
}

// within is a command in the machine.
func (m *machine) within(program string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", fmt.Sprint(m.cmd.Process.Pid), "--mount", "--net", "--pid", "--uts", "--ipc", "env", "--chdir=" + home, program}, args...)...)
	cmd.Env = []string{"HOME=" + home, "USER=ada", "PATH=/page/bin:/page/programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb", "BROWSER=/page/bin/browse", "XDG_RUNTIME_DIR=/run/user", "MEZU_NO_KEYRING=1"}
	return cmd
}

// enter runs a command that is not the page's in the machine, and gives what it says.
func (m *machine) enter(program string, args ...string) string {
	m.t.Helper()
	out, err := m.within(program, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %s %s: %v\n%s", m.name, program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// write puts a file of the test into the machine.
func (m *machine) write(path, text string) {
	m.t.Helper()
	cmd := m.within("sh", "-ec", `mkdir -p "$(dirname "$1")"; cat >"$1"`, "sh", path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: writing %s: %v\n%s", m.name, path, err, out)
	}
}

// open opens the terminal of the page: what one block sets, the next one has.
func (m *machine) open() {
	m.t.Helper()
	cmd := m.within("bash", "--norc")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.shell, m.said, m.terminal = in, bufio.NewReader(out), cmd
}

// types runs commands in the page's terminal, and gives what they print. Each has to end with 0.
func (m *machine) types(commands string) (output string, err error) {
	m.blocks++
	name := fmt.Sprintf("block-%d", m.blocks)
	if err := os.WriteFile(filepath.Join(m.page, name), []byte(commands), 0o600); err != nil {
		return "", err
	}
	pipes := " -o pipefail"
	if strings.Contains(commands, "| head ") { // which ends what writes to it
		pipes = ""
	}
	late := time.AfterFunc(patience, func() { m.cmd.Process.Kill() })
	defer late.Stop()
	_, err = fmt.Fprintf(m.shell, "set -eu%s; . /page/%s </dev/null >/page/%[2]s.out 2>&1; set +euo pipefail; echo done\n", pipes, name)
	if err == nil {
		_, err = m.said.ReadString('\n')
	}
	if err != nil {
		err = errors.New("a command failed, or has no end")
	}
	text, readErr := os.ReadFile(filepath.Join(m.page, name+".out"))
	return string(text), errors.Join(err, readErr)
}

// serveMachine is the first process of a machine. It makes the folders, answers for names and waits
// for its end.
func serveMachine() error {
	var d description
	if err := json.Unmarshal([]byte(os.Getenv(describedVariable)), &d); err != nil {
		return err
	}
	if err := d.makeRoot(); err != nil {
		return fmt.Errorf("making the folders of a machine: %w", err)
	}
	if err := syscall.Sethostname([]byte(d.Name)); err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	fmt.Println(machineReady)
	for {
		query := make([]byte, 512)
		n, from, err := conn.ReadFrom(query)
		if err != nil {
			return err
		}
		if answer, err := resolve(query[:n], d.Names); err == nil {
			conn.WriteTo(answer, from)
		}
	}
}

// resolve answers a query of DNS.
func resolve(query []byte, names map[string]string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, errors.Join(err, errors.New("not one question"))
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.RecursionAvailable, m.Additionals = true, true, true, nil
	address := address(strings.ToLower(strings.TrimSuffix(q.Name.String(), ".")), names)
	if address == "" {
		m.RCode = dnsmessage.RCodeNameError
	} else if q.Type == dnsmessage.TypeA {
		ip, err := netip.ParseAddr(address)
		if err != nil {
			return nil, err
		}
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: ip.As4()}}}
	}
	return m.Pack()
}

// address is that of a name, empty if there is none.
func address(name string, names map[string]string) string {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return "127.0.0.1"
	}
	if a := names[name]; a != "" {
		return a
	}
	_, parent, _ := strings.Cut(name, ".")
	return names["*."+parent]
}

// kept are the folders below / that machines share, for programs and their libraries. Those of /etc
// are copied.
var (
	kept   = []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "dev", "sys"}
	copied = []string{"passwd", "group", "nsswitch.conf", "ssl", "ca-certificates", "ca-certificates.conf", "alternatives", "ld.so.cache", "localtime", "mime.types"}
	made   = []string{"tmp", "etc", "proc", "page", "run/user", "var/lib", "var/tmp", "media", "mnt", "root", "srv", "opt"}
)

// makeRoot makes the folders of a machine and moves into them.
func (d *description) makeRoot() error {
	if err := errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("none", d.Root, "tmpfs", 0, "mode=0755"),
	); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(d.Root, name) }
	for _, name := range append(made, home) {
		if err := os.MkdirAll(in(name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range kept {
		if err := keep("/"+name, in(name), syscall.MS_RDONLY); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
	}
	for _, name := range copied {
		if out, err := exec.Command("sh", "-c", `[ ! -e "$1" ] || cp -rP "$1" "$2"`, "sh", "/etc/"+name, in("etc/"+name)).CombinedOutput(); err != nil && len(out) == 0 {
			return fmt.Errorf("/etc/%s: %w", name, err)
		}
	}
	if err := errors.Join(
		syscall.Mount("none", in("usr/local/share"), "tmpfs", 0, "mode=0755"), // where CAs are put
		os.RemoveAll(in("etc/ssl/certs/java")),                                // not every system has Java
		os.Chmod(in("tmp"), 0o1777), os.Chmod(in("run/user"), 0o700), os.MkdirAll(filepath.Join(d.Homes, d.Name), 0o700),
		os.WriteFile(in("etc/hosts"), []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644),
		os.WriteFile(in("etc/resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644),
		keep(d.Page, in("page"), 0),
	); err != nil {
		return err
	}
	if err := errors.Join(keep(d.Programs, in("page/programs"), syscall.MS_RDONLY), keep(d.Homes, in("page/homes"), 0), keep(filepath.Join(d.Homes, d.Name), in(home), 0)); err != nil {
		return err
	}
	if syscall.Mount("proc", in("proc"), "proc", 0, "") != nil { // a container hides parts of it
		if err := syscall.Mount("/proc", in("proc"), "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return err
		}
	}
	if err := os.Mkdir(in("old"), 0o700); err != nil {
		return err
	}
	return errors.Join(syscall.PivotRoot(d.Root, in("old")), os.Chdir("/"), syscall.Unmount("/old", syscall.MNT_DETACH), os.Remove("/old"))
}

// keep has a folder of the system below the machine's root too, where it is there.
func keep(from, to string, how uintptr) error {
	info, err := os.Lstat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		return errors.Join(err, os.Symlink(target, to))
	}
	if err := errors.Join(os.MkdirAll(to, 0o755), syscall.Mount(from, to, "", syscall.MS_BIND|syscall.MS_REC, "")); err != nil || how == 0 {
		return err
	}
	return syscall.Mount("", to, "", syscall.MS_REMOUNT|syscall.MS_BIND|how, "")
}

// serves has something answer on a port of the machine.
func (m *machine) serves(port int, text string) {
	m.t.Helper()
	m.write("/srv/"+fmt.Sprint(port)+"/index.html", text)
	m.enter("stay", fmt.Sprint(port), "Serving", "python3", "-u", "-m", "http.server", fmt.Sprint(port), "--directory", "/srv/"+fmt.Sprint(port))
}
