package listening

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// look asks lsof for the listeners of this user.
func look(ctx context.Context) ([]Listener, error) {
	const nothing = 1 // is the status of lsof if it found none
	sockets, err := ask(ctx, readLsof, nothing, "/usr/sbin/lsof", "-nP", "-a", "-u", strconv.Itoa(os.Getuid()), "-iTCP", "-sTCP:LISTEN", "-F", "pctn")
	if err != nil {
		return nil, err
	}
	var out []Listener
	seen := map[int]Listener{}
	for _, s := range sockets {
		process, ok := seen[s.pid]
		if !ok {
			process = describeProcess(s)
			seen[s.pid] = process
		}
		process.Port, process.Addresses = int(s.address.Port()), []netip.Addr{s.address.Addr()}
		out = append(out, process)
	}
	return out, ctx.Err()
}

// describeProcess says what a process is. The system tells its arguments to its owner.
func describeProcess(s socket) Listener {
	program := base(s.program)
	file, args := arguments(s.pid)
	if file != "" {
		program = base(file)
	}
	return Listener{PID: s.pid, Program: program, Command: describe(args)}
}

// arguments reads kern.procargs2: the number of arguments, the program's file, zeros, and the
// arguments, each with a zero behind it. The environment follows and is not looked at.
func arguments(pid int) (file string, args []string) {
	data, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(data) < 4 {
		return "", nil
	}
	count := int(binary.LittleEndian.Uint32(data))
	path, rest, ok := bytes.Cut(data[4:], []byte{0})
	if !ok {
		return "", nil
	}
	rest = bytes.TrimLeft(rest, "\x00")
	for length := 0; len(args) < count && length < maxCommandLine; {
		arg, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			break
		}
		args, rest, length = append(args, strings.Clone(string(arg))), after, length+len(arg)
	}
	return string(path), args
}
