package testkit

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// extents are the parts of a file that hold data, in their order.
func extents(f *os.File, size int64) ([]extent, error) {
	var all []extent
	for at := int64(0); at < size; {
		from, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing but a hole from here on
		}
		if err != nil {
			return nil, err
		}
		to, err := f.Seek(from, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		all = append(all, extent{from, to})
		at = to
	}
	return all, nil
}
