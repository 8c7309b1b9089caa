package listening

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// look reads the tables of listeners, and looks among this user's processes for who holds them.
func look(ctx context.Context) ([]Listener, error) {
	uid := os.Getuid()
	var sockets []socket
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		found, err := readTable(table, uid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a machine without IPv6 has no tcp6
			return nil, err
		}
		sockets = append(sockets, found...)
	}
	holders := holders(ctx, uid, sockets)
	out := make([]Listener, 0, len(sockets))
	for _, s := range sockets {
		l := holders[s.inode]
		l.Port, l.Addresses = int(s.address.Port()), append(l.Addresses, s.address.Addr())
		out = append(out, l)
	}
	return out, ctx.Err()
}

func readTable(file string, uid int) ([]socket, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readProcNet(f, uid)
}

// holders finds the process of each socket. Of several that share one, such as workers, the
// oldest counts. Whatever ends or can't be read meanwhile is passed over.
func holders(ctx context.Context, uid int, sockets []socket) map[uint64]Listener {
	wanted := map[string]uint64{}
	for _, s := range sockets {
		wanted["socket:["+strconv.FormatUint(s.inode, 10)+"]"] = s.inode
	}
	out := map[uint64]Listener{}
	files := 0
	for _, pid := range processes(uid) {
		if len(wanted) == 0 || files > maxFiles || ctx.Err() != nil {
			break
		}
		names := dirNames(filepath.Join("/proc", strconv.Itoa(pid), "fd"), maxFiles-files)
		files += len(names)
		var process *Listener
		for _, name := range names {
			target, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "fd", name))
			inode, ok := wanted[target]
			if err != nil || !ok {
				continue
			}
			if process == nil {
				process = describeProcess(pid)
			}
			out[inode] = *process
			delete(wanted, target)
		}
	}
	return out
}

// processes are those of a user, the oldest first.
func processes(uid int) []int {
	var out []int
	for _, name := range dirNames("/proc", 4*maxProcesses) {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		info, err := os.Stat(filepath.Join("/proc", name))
		if err != nil {
			continue
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) == uid {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxProcesses)]
}

// dirNames are the names in a folder, up to most.
func dirNames(dir string, most int) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(max(1, most)) // what was read counts
	return names
}

// describeProcess says what a process is.
func describeProcess(pid int) *Listener {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	args := commandLine(filepath.Join(dir, "cmdline"))
	file, _ := os.Readlink(filepath.Join(dir, "exe")) // of a process that has ended there is none
	file = strings.TrimSuffix(file, " (deleted)")
	if file == "" && len(args) > 0 {
		file = args[0]
	}
	program := base(file)
	return &Listener{PID: pid, Program: program, Command: describe(args)}
}

// commandLine reads the arguments of a process.
func commandLine(file string) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCommandLine))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}
