package badger

import (
	"os"

	"golang.org/x/sys/windows"
)

// freeSpace is how many bytes this process may still write at path.
func freeSpace(path string) (int64, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(free), nil
}

// usedSpace is how many bytes of the disk the file at path takes; a hole counts here.
func usedSpace(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
