package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memory is how much memory this process may take: the machine's, or less where a control
// group limits it.
func memory() (uint64, bool) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, false
	}
	all := uint64(info.Totalram) * uint64(info.Unit)
	groups, _ := os.ReadFile("/proc/self/cgroup")
	return groupMemory("/sys/fs/cgroup", string(groups), all), true
}

// groupMemory is the least of all and the limits of the control groups of a process, of
// version 1 or 2. In a container the files of its own group may lie at the root.
func groupMemory(root, groups string, all uint64) uint64 {
	limit := func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			return
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // else it is max
			all = min(all, n)
		}
	}
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		dir, file := root, "memory.max"
		if parts[0] != "0" {
			if parts[1] != "memory" {
				continue
			}
			dir, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		}
		limit(filepath.Join(dir, file))
		for path := filepath.Clean("/" + parts[2]); path != "/"; path = filepath.Dir(path) {
			limit(filepath.Join(dir, path, file))
		}
	}
	return all
}
