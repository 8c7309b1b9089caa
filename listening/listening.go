// Package listening says on which TCP ports programs of this person listen on this
// machine: port, addresses, process and what it is. It reads what the system says and
// connects to nothing.
//
// What may not live here: what is done with a port, and dialling one. It imports the standard
// library and x/sys only; cli and daemon import it.
package listening

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Bounds of one look at this machine. What is beyond them is left out.
const (
	// maxTable is a table of 100,000 connections and their listeners, as the system writes it.
	maxTable = 16 << 20
	// maxListeners is far more than one person looks through.
	maxListeners = 1024
	// maxProcesses and maxFiles bound the search for who holds a listener: the processes and the
	// open files of a large build machine.
	maxProcesses = 8192
	maxFiles     = 1 << 18
	// maxCommandLine is what is read of a command line. What tells programs apart is in front.
	maxCommandLine = 8 << 10
	// lookTimeout ends a look that hangs on a file system or a program of the system. A person
	// waits for it.
	lookTimeout = 3 * time.Second
)

// Listener is a port on which one process listens.
type Listener struct {
	Port int
	// Addresses are the addresses of the port, in order; an unspecified one stands for all of its
	// family.
	Addresses []netip.Addr
	// PID is zero if it can't be seen who listens.
	PID int
	// Program is the name of the program's file, such as "node".
	Program string
	// Command says what the program runs, such as "vite" or "./api serve". It holds no argument
	// that may be a secret.
	Command string
}

// String is a port and who listens there: "5173 (node, vite)".
func (l Listener) String() string {
	if what := l.what(); what != "" {
		return fmt.Sprintf("%d (%s)", l.Port, what)
	}
	return fmt.Sprint(l.Port)
}

// Name is the short name of what listens: "vite". It is empty if that can't be seen.
func (l Listener) Name() string { return cmp.Or(l.Command, l.Program) }

// what is the program and what it runs, without saying a name twice.
func (l Listener) what() string {
	first, _, _ := strings.Cut(l.Command, " ")
	if l.Program == "" || strings.TrimPrefix(first, "./") == l.Program {
		return l.Command
	}
	if l.Command == "" {
		return l.Program
	}
	return l.Program + ", " + l.Command
}

// Local reports whether the port can be reached at 127.0.0.1 or ::1.
func (l Listener) Local() bool {
	return slices.ContainsFunc(l.Addresses, func(a netip.Addr) bool { return a.IsLoopback() || a.IsUnspecified() })
}

// List gives what this person's processes listen on, by port. The calling process and our own
// programs are left out: no tunnel is to lead to one of them.
func List(ctx context.Context) ([]Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := look(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking what listens here: %w", err)
	}
	self := os.Getpid()
	return arrange(slices.DeleteFunc(found, func(l Listener) bool { return l.PID == self || ours(l.Program) })), nil
}

// ours reports whether a program is one of this project.
func ours(program string) bool {
	return slices.Contains([]string{"mezu", "mezusphere", "warpgate"}, strings.TrimSuffix(program, ".exe"))
}

// arrange puts together what a program has on one port, in several addresses or worker processes,
// and sorts by port.
func arrange(found []Listener) []Listener {
	slices.SortStableFunc(found, func(a, b Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Program, b.Program), cmp.Compare(a.Command, b.Command), cmp.Compare(a.PID, b.PID))
	})
	var out []Listener
	for _, l := range found {
		if last := len(out) - 1; last >= 0 && out[last].Port == l.Port && out[last].Program == printable(l.Program) && out[last].Command == printable(l.Command) {
			out[last].Addresses = append(out[last].Addresses, l.Addresses...)
			continue
		}
		if len(out) == maxListeners {
			break
		}
		l.Program, l.Command = printable(l.Program), printable(l.Command)
		out = append(out, l)
	}
	for i := range out {
		slices.SortFunc(out[i].Addresses, netip.Addr.Compare)
		out[i].Addresses = slices.Compact(out[i].Addresses)
	}
	return out
}

// printable replaces what a terminal might act on. A program chooses its own name.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, s)
}

// nearby is how far a dev server goes up from a port that is taken.
const nearby = 10

// Instead picks who most likely answers for a port that refuses connections: a server that is
// known, on the next port, which is where dev servers go; else the only program that there is.
// Nothing is better than a wrong guess, so that it has a name.
func Instead(all []Listener, port int) (Listener, bool) {
	var local, moved []Listener
	for _, l := range all {
		if !l.Local() || l.Port == port {
			continue
		}
		local = append(local, l)
		if l.Port > port && l.Port-port <= nearby && known(l.Command) {
			moved = append(moved, l)
		}
	}
	switch {
	case len(moved) > 0:
		return slices.MinFunc(moved, func(a, b Listener) int { return cmp.Compare(a.Port, b.Port) }), true
	case len(local) == 1 && local[0].Name() != "":
		return local[0], true
	}
	return Listener{}, false
}
