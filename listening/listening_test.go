package listening_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/listening"
)

// listen makes the test program listen at its addresses until its input ends.
const listen = "listen"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == listen {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// serve listens at the first address, and says where.
func serve(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(l.Addr())
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	if err.Error() != "EOF" {
		return err
	}
	return nil
}

// start runs another process that listens, and gives its port.
func start(t *testing.T, args ...string) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the programs that the system is asked by are not everywhere")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append([]string{listen}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimSpace(line))
	n, _ := strconv.Atoi(port)
	return n
}

func of(t *testing.T, port int) (listening.Listener, bool) {
	t.Helper()
	all, err := listening.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range all {
		if i > 0 && all[i-1].Port > l.Port {
			t.Errorf("%v comes before %v", all[i-1], l)
		}
		if l.Port == port {
			return l, true
		}
	}
	return listening.Listener{}, false
}

func TestList(t *testing.T) {
	secret := "mezu_k3yTh4tN0b0dySees"
	port := start(t, "127.0.0.1:0", "--password", secret)
	l, ok := of(t, port)
	if !ok {
		t.Fatalf("port %d is not among them", port)
	}
	if l.Program != "listening.test" || l.PID == 0 || l.PID == os.Getpid() || len(l.Addresses) != 1 || l.Addresses[0] != netip.MustParseAddr("127.0.0.1") || !l.Local() {
		t.Errorf("%+v", l)
	}
	if strings.Contains(fmt.Sprintf("%+v %s %s", l, l, l.Name()), secret) {
		t.Errorf("%+v shows a secret", l)
	}
	if v6, err := net.Listen("tcp", "[::1]:0"); err == nil {
		v6.Close()
		if l, ok := of(t, start(t, "[::1]:0")); !ok || l.Addresses[0] != netip.IPv6Loopback() {
			t.Errorf("%+v", l)
		}
	}
	if l, ok := of(t, start(t, ":0")); !ok || !l.Addresses[0].IsUnspecified() || !l.Local() {
		t.Errorf("%+v", l)
	}
}

// A tunnel to oneself would go round in circles.
func TestListWithoutOneself(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the programs that the system is asked by are not everywhere")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l, ok := of(t, l.Addr().(*net.TCPAddr).Port); ok {
		t.Errorf("%v is this process", l)
	}
}

func TestListEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := listening.List(ctx); err == nil {
		t.Error("it went on after it was given up")
	}
}

func TestInstead(t *testing.T) {
	loopback, lan := []netip.Addr{netip.IPv6Loopback()}, []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	vite := func(port int) listening.Listener {
		return listening.Listener{Port: port, Addresses: loopback, Program: "node", Command: "vite"}
	}
	api := listening.Listener{Port: 8080, Addresses: loopback, Program: "api", Command: "./api serve"}
	postgres := listening.Listener{Port: 5432, Addresses: loopback, Program: "postgres", Command: "postgres"}
	for _, c := range []struct {
		what string
		all  []listening.Listener
		port int
		want string
	}{
		{"it went up", []listening.Listener{postgres, vite(5174), api}, 5173, "5174 (node, vite)"},
		{"it went down", []listening.Listener{postgres, vite(5172), api}, 5173, ""},
		{"far away", []listening.Listener{postgres, vite(4173), vite(5184), api}, 5173, ""},
		{"two", []listening.Listener{vite(5175), vite(5174), vite(3000)}, 5173, "5174 (node, vite)"},
		{"the only one", []listening.Listener{api}, 3000, "8080 (./api serve)"},
		{"the only one, and nobody knows what", []listening.Listener{{Port: 2024, Addresses: loopback}}, 3000, ""},
		{"itself", []listening.Listener{vite(5173)}, 5173, ""},
		{"not here", []listening.Listener{{Port: 5174, Addresses: lan, Program: "node", Command: "vite"}}, 5173, ""},
		{"none", nil, 5173, ""},
	} {
		got := ""
		if l, ok := listening.Instead(c.all, c.port); ok {
			got = l.String()
		}
		if got != c.want {
			t.Errorf("%s: %q instead of %q", c.what, got, c.want)
		}
	}
}
