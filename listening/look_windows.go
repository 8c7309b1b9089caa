package listening

import (
	"context"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// look asks netstat for all listeners and keeps those of this user's processes. Windows tells no
// command line of another process without reading its memory, so that the program's name has
// to do.
func look(ctx context.Context) ([]Listener, error) {
	system, err := windows.GetSystemDirectory()
	if err != nil {
		return nil, err
	}
	self, err := userOf(windows.CurrentProcess())
	if err != nil {
		return nil, err
	}
	sockets, err := ask(ctx, readNetstat, 0, filepath.Join(system, "netstat.exe"), "-ano")
	if err != nil {
		return nil, err
	}
	var out []Listener
	seen := map[int]string{}
	for _, s := range sockets {
		program, ok := seen[s.pid]
		if !ok {
			program = programOf(s.pid, self)
			seen[s.pid] = program
		}
		if program != "" {
			out = append(out, Listener{Port: int(s.address.Port()), Addresses: []netip.Addr{s.address.Addr()}, PID: s.pid, Program: program})
		}
	}
	return out, ctx.Err()
}

// programOf is the name of a process's program, "" if it is another user's.
func programOf(pid int, self string) string {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(process)
	if user, err := userOf(process); err != nil || user != self {
		return ""
	}
	name := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(name))
	if err := windows.QueryFullProcessImageName(process, 0, &name[0], &size); err != nil {
		return ""
	}
	return base(windows.UTF16ToString(name[:size]))
}

// userOf is the user of a process.
func userOf(process windows.Handle) (string, error) {
	var token windows.Token
	if err := windows.OpenProcessToken(process, windows.TOKEN_QUERY, &token); err != nil {
		return "", err
	}
	defer token.Close()
	user, err := token.GetTokenUser()
	if err != nil {
		return "", err
	}
	return user.User.Sid.String(), nil
}
