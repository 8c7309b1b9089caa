package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	engine "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/proto"
)

// The engine maps a table and believes the lengths in it before it looks at any
// checksum: a flipped bit ends the process, by a signal or a panic in a goroutine of the
// engine's, and no file is named. So all tables are read and verified here before the
// engine opens them, and the engine is not asked to do it again.
//
// A table is blocks, then the index, the index's length, a checksum of the index, and
// the checksum's length. A block ends in its entries' offsets, their number, a checksum
// of all that, and the checksum's length; as a whole it may be compressed.

// DamagedError says which file of a store is not as it was written.
type DamagedError struct {
	File string
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.File, e.Err) }

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// lengthSize is the size of a length in a table.
const lengthSize = 4

// maxVerifiers is how many tables are verified at a time: a disk gives no more to more
// readers.
const maxVerifiers = 4

// verifyTables verifies every table that the engine's MANIFEST notes, until stop says so.
// Those that are not there are for the engine to miss.
func verifyTables(dir string, stop func() bool) error {
	manifest, err := readManifest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a new store
	}
	if err != nil {
		return err
	}
	ids := slices.Sorted(maps.Keys(manifest.Tables))
	errs := make([]error, len(ids))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(maxVerifiers, runtime.GOMAXPROCS(0), len(ids)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ids) && !stop(); i = int(next.Add(1)) - 1 {
				errs[i] = verifyTable(table.NewFilename(ids[i], dir), manifest.Tables[ids[i]].Compression)
			}
		})
	}
	wg.Wait()
	err = errors.Join(errs...)
	if err == nil {
		return nil
	}
	// The engine notes that a table is gone, empties it and deletes it: one that is gone
	// by now was not damaged.
	now, again := readManifest(dir)
	if again != nil {
		return again
	}
	for i, id := range ids {
		if _, there := now.Tables[id]; !there {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// readManifest reads the engine's list of tables.
func readManifest(dir string) (engine.Manifest, error) {
	path := filepath.Join(dir, engine.ManifestFilename)
	f, err := os.Open(path)
	if err != nil {
		return engine.Manifest{}, fmt.Errorf("reading the engine's manifest: %w", err)
	}
	defer f.Close()
	manifest, _, err := engine.ReplayManifestFile(f, 0, engine.DefaultOptions(dir))
	if err != nil {
		return manifest, &DamagedError{path, err}
	}
	return manifest, nil
}

// errCutOff says that something is longer than what holds it.
var errCutOff = errors.New("it is cut off, or a length in it is wrong")

// verifyTable verifies one table.
func verifyTable(path string, how options.CompressionType) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("verifying a table: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("verifying a table: %w", err)
	}
	if err := (&tableReader{file: f, how: how}).verify(info.Size()); err != nil {
		return &DamagedError{path, err}
	}
	return nil
}

// tableReader reads one table; its buffers serve all blocks.
type tableReader struct {
	file       io.ReaderAt
	how        options.CompressionType
	raw, plain []byte
}

// verify checks the index of a table of this size and each of its blocks.
func (r *tableReader) verify(size int64) (err error) {
	at, text, err := r.tail(size)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	rest, index, err := r.tail(at)
	if err == nil {
		err = verify(index, text)
	}
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	// What has the right checksum was written so; the accessors panic if it was not.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index: %v", r)
		}
	}()
	listed := fb.GetRootAsTableIndex(index, 0)
	if listed.OffsetsLength() == 0 {
		return errors.New("index: it lists no block")
	}
	for i := range listed.OffsetsLength() {
		var at fb.BlockOffset
		listed.Offsets(&at, i)
		if int64(at.Offset())+int64(at.Len()) > rest {
			return fmt.Errorf("block %d: %w", i, errCutOff)
		}
		// No block is longer than all of them.
		block, err := r.block(int64(at.Offset()), int(at.Len()), int(listed.UncompressedSize()))
		if err == nil {
			err = verifyBlock(block)
		}
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// tail reads what ends before end, where its length stands, and gives where it begins.
func (r *tableReader) tail(end int64) (at int64, data []byte, err error) {
	var length [lengthSize]byte
	if end -= lengthSize; end < 0 {
		return 0, nil, errCutOff
	}
	if _, err := r.file.ReadAt(length[:], end); err != nil {
		return 0, nil, err
	}
	if at = end - int64(binary.BigEndian.Uint32(length[:])); at < 0 {
		return 0, nil, errCutOff
	}
	data = make([]byte, end-at)
	_, err = r.file.ReadAt(data, at)
	return at, data, err
}

// block reads a block, which has at most so many bytes when it is not compressed. It is
// valid until the next one is read.
func (r *tableReader) block(at int64, size, most int) ([]byte, error) {
	r.raw = slices.Grow(r.raw[:0], size)[:size]
	if _, err := r.file.ReadAt(r.raw, at); err != nil {
		return nil, err
	}
	if r.how != options.Snappy {
		return r.raw, nil
	}
	n, err := snappy.DecodedLen(r.raw)
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, errCutOff
	}
	r.plain, err = snappy.Decode(r.plain[:cap(r.plain)], r.raw)
	return r.plain, err
}

// verifyBlock checks a block that is not compressed any more.
func verifyBlock(data []byte) error {
	data, text, err := cutTail(data)
	if err != nil {
		return err
	}
	if err := verify(data, text); err != nil {
		return err
	}
	// The engine takes so many offsets off the end.
	offsets := len(data) - lengthSize
	if offsets < 0 || uint64(binary.BigEndian.Uint32(data[offsets:]))*lengthSize > uint64(offsets) {
		return errCutOff
	}
	return nil
}

// cutTail takes what is as long as the last number says off the end of data.
func cutTail(data []byte) (rest, tail []byte, err error) {
	end := len(data) - lengthSize
	if end < 0 {
		return nil, nil, errCutOff
	}
	n := uint64(binary.BigEndian.Uint32(data[end:]))
	if n > uint64(end) {
		return nil, nil, errCutOff
	}
	at := end - int(n)
	return data[:at], data[at:end], nil
}

// verify compares data with its checksum as it is written down.
func verify(data, text []byte) error {
	var sum pb.Checksum
	if err := proto.Unmarshal(text, &sum); err != nil {
		return err
	}
	if sum.Algo != pb.Checksum_CRC32C && sum.Algo != pb.Checksum_XXHash64 {
		return errors.New("its checksum is of an unknown kind") // the engine panics
	}
	return y.VerifyChecksum(data, &sum)
}
