//go:build linux || darwin || freebsd

package badger

import "golang.org/x/sys/unix"

// freeSpace is how many bytes this process may still write at path.
func freeSpace(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// usedSpace is how many bytes of the disk the file at path takes, holes not counted.
func usedSpace(path string) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return st.Blocks * 512, nil // POSIX leaves the unit open; these systems count in 512
}
