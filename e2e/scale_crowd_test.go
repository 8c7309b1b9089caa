package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// crowdVariable makes the test binary a workload instead: one process can't hold
// both ends of ten thousand connections within a usual limit on descriptors.
const crowdVariable = "MEZU_E2E_CROWD"

// serveCrowd serves /hold, which answers at /release, and /held, the number of
// requests that wait. It prints its address and never returns.
func serveCrowd() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var held atomic.Int64
	release := make(chan struct{})
	open := sync.OnceFunc(func() { close(release) })
	mux := http.NewServeMux()
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		held.Add(1)
		defer held.Add(-1)
		select {
		case <-release:
			fmt.Fprint(w, "held")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, held.Load()) })
	mux.HandleFunc("/release", func(http.ResponseWriter, *http.Request) { open() })
	fmt.Println(l.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(l, mux))
	return 1
}

// crowd is a workload in a process of its own.
type crowd struct {
	*process
	addr string
}

func startCrowd(t *testing.T) *crowd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{process: startWith(t, "workload", []string{crowdVariable + "=1"}, program)}
	eventually(t, "the workload's address", func() error {
		line, whole := strings.CutSuffix(c.out.String(), "\n")
		if !whole {
			return fmt.Errorf("it printed %q", line)
		}
		c.addr = line
		return nil
	})
	return c
}

// ask is a request to the workload itself.
func (c *crowd) ask(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + c.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, resp)
}
