package here

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu/cli/tunnel"
	"github.com/mezusphere/mezu/listening"
	"github.com/mezusphere/mezu/tui/newtunnel"
)

// opening opens tunnels from the dialog.
type opening struct{ *Here }

// Listening are the ports on which programs of this person listen, and that tunnels reach.
func (o opening) Listening(ctx context.Context) ([]newtunnel.Listener, error) {
	all, err := listening.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []newtunnel.Listener
	for _, l := range all {
		if l.Local() {
			out = append(out, newtunnel.Listener{Port: l.Port, Program: l.Program, Command: l.Command, Dir: o.folder(l.PID), Addresses: l.Addresses})
		}
	}
	return out, nil
}

// folder is the one in which a process runs, where the system tells it without being asked: on
// Linux. One below the person's own begins with ~.
func (o opening) folder(pid int) string {
	if runtime.GOOS != "linux" || pid == 0 {
		return ""
	}
	dir, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	if err != nil {
		return ""
	}
	if home := o.cfg.Invocation.Getenv("HOME"); home != "" {
		if below, ok := strings.CutPrefix(dir, home+"/"); ok {
			return "~/" + below
		}
	}
	return dir
}

// Site says where a tunnel would be reached.
func (o opening) Site(ctx context.Context, name string) (newtunnel.Site, error) {
	p, err := tunnel.Propose(ctx, o.cfg.Invocation, o.opener, name)
	return newtunnel.Site{Environment: p.Environment, URL: p.URL, Directories: p.Directories}, err
}

// Open opens a tunnel, as "mezu tunnel" does. It lives as long as the dashboard.
func (o opening) Open(ctx context.Context, w newtunnel.Wish) (newtunnel.Opened, error) {
	one, err := tunnel.Hold(ctx, o.cfg.Invocation, o.opener, tunnel.Wish{Target: w.Target, Name: w.Name, Access: accessOf(w.Access), User: w.Access.User, HostHeader: w.HostHeader})
	if err != nil {
		return newtunnel.Opened{}, err
	}
	if err := o.keep(ctx, one); err != nil {
		return newtunnel.Opened{}, err
	}
	return newtunnel.Opened{Tunnel: one.Tunnel(), User: w.Access.User, Password: one.Password(), Notes: one.Notes()}, nil
}
