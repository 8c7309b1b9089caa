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

// The engine maps a table into memory and trusts the lengths in it before it looks at any
// checksum. One flipped bit can end the process, by a signal or by a panic in a goroutine of
// the engine, with no word about the file. So all tables are read and verified here before
// the engine opens them, and the engine is not asked to do it again.
//
// A table has blocks, then the index, the index's length, a checksum of the index, and the
// checksum's length. A block ends with the offsets of its entries, their number, a checksum
// of all before, and the checksum's length. The block with all of these may be compressed.

// DamagedError names a file of a store that is damaged.
type DamagedError struct {
	File string
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.File, e.Err) }

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// lengthSize is the size of a length in a table.
const lengthSize = 4

// maxVerifiers is how many tables are verified at a time. More readers get no more out of a
// disk.
const maxVerifiers = 4

// verifyTables verifies every table that the engine's MANIFEST lists, until stop returns
// true. A table that doesn't exist is no error here: the engine reports it.
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
	// The engine deletes a table by listing the deletion, emptying the file and removing
	// it. A table that isn't listed any more was not damaged, but on its way out.
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

// errCutOff: a part is longer than what it lies in.
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
	// An index with the right checksum should be well-formed. If it isn't, its accessors
	// panic.
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
		// UncompressedSize is the sum of all blocks, and so a bound for each.
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

// tail reads a part that is followed by its length, which ends at end. It gives the offset
// at which the part begins.
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

// block reads a block, which has most bytes at most when it is not compressed. The result is
// valid until the next call.
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

// verifyBlock checks a decompressed block.
func verifyBlock(data []byte) error {
	data, text, err := cutTail(data)
	if err != nil {
		return err
	}
	if err := verify(data, text); err != nil {
		return err
	}
	// The engine will read that many offsets from the end.
	offsets := len(data) - lengthSize
	if offsets < 0 || uint64(binary.BigEndian.Uint32(data[offsets:]))*lengthSize > uint64(offsets) {
		return errCutOff
	}
	return nil
}

// cutTail is tail in memory: it splits data into the part at its end, which is followed by
// its length, and the rest.
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

// verify compares data with its checksum in the encoded form.
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
