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
