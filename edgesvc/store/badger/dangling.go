package badger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	engine "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"google.golang.org/protobuf/proto"

	"github.com/mezusphere/mezu/atomicfile"
)

// The engine lists each new table in its MANIFEST before it uses it. If the sync of that
// entry fails, it deletes the table and goes on with what it had: a log, or the tables that
// the new one was to replace. But the entry stays, and the store could never be opened
// again: "file does not exist for table 3".
//
// While the engine runs, nothing else makes a table that is listed and missing, because the
// engine deletes a file only after it has listed the deletion. So when the engine logs an
// error or a warning, the driver looks for such tables, writes their numbers to a file, and
// lets nothing more be written. The next opening removes the entries of these tables from
// the MANIFEST. If a table is missing for any other reason, the store does not open.

// danglingName is the file in Options.Dir with these numbers.
const danglingName = "dangling"

// dangling is its content.
type dangling struct {
	Tables []uint64 `json:"tables"`
}

// complained is called when the engine logs an error or a warning.
func (db *DB) complained() {
	if err := db.there(); err != nil {
		if !db.failed.Swap(true) {
			db.log.Error("nothing more is written", "error", err)
		}
		return
	}
	missing, err := missingTables(filepath.Join(db.opts.Dir, engineDir))
	if err == nil && len(missing) == 0 {
		return
	}
	if err == nil {
		err = db.writeDangling(missing)
	}
	if db.failed.Swap(true) {
		return
	}
	db.log.Error("a sync of the store failed; nothing more is written until it is opened anew: check the disk, then restart", "tables", missing, "error", err)
}

// danglingTries is how often writing the file is tried. The disk has just failed, and may
// fail again.
const danglingTries = 5

func (db *DB) writeDangling(tables []uint64) error {
	content, err := json.Marshal(dangling{tables})
	if err != nil {
		return fmt.Errorf("encoding which tables dangle: %w", err)
	}
	for range danglingTries {
		if err = atomicfile.Write(filepath.Join(db.opts.Dir, danglingName), content, 0o600); err == nil {
			return nil
		}
	}
	return fmt.Errorf("writing down which tables dangle: %w", err)
}

// missingTables gives the tables that the MANIFEST lists and that don't exist.
func missingTables(dir string) ([]uint64, error) {
	manifest, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	var missing []uint64
	for id := range manifest.Tables {
		if _, err := os.Stat(table.NewFilename(id, dir)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return missing, nil
}

// mendManifest removes the entries of dangling tables from the MANIFEST.
func (db *DB) mendManifest() error {
	path := filepath.Join(db.opts.Dir, danglingName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var d dangling
	if err == nil {
		err = json.Unmarshal(content, &d)
	}
	if err != nil {
		return fmt.Errorf("reading which tables dangle: %w", err)
	}
	dir := filepath.Join(db.opts.Dir, engineDir)
	missing, err := missingTables(dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(missing, func(id uint64) bool { return slices.Contains(d.Tables, id) }) {
		manifest := filepath.Join(dir, engine.ManifestFilename)
		log, err := os.ReadFile(manifest)
		if err == nil {
			log, err = without(log, d.Tables)
		}
		if err == nil {
			err = atomicfile.Write(manifest, log, 0o600)
		}
		if err != nil {
			return fmt.Errorf("mending the engine's manifest: %w", err)
		}
		db.log.Warn("took notes of tables that never came to be out of the engine's manifest", "tables", d.Tables)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("forgetting which tables dangle: %w", err)
	}
	return nil
}

// Format of the MANIFEST: magic and versions, then change sets, each after its length and
// CRC-32C in big-endian order.
const (
	manifestHead  = 8
	changeSetHead = 8
)

// without copies a MANIFEST, leaving out the change sets that create one of these tables. A
// change set is left out entirely: since the table that it creates is missing, the tables
// that it deletes still exist.
func without(log []byte, tables []uint64) ([]byte, error) {
	if len(log) < manifestHead {
		return nil, errors.New("it is cut off")
	}
	out := slices.Clone(log[:manifestHead])
	for rest := log[manifestHead:]; len(rest) >= changeSetHead; {
		size := uint64(binary.BigEndian.Uint32(rest)) + changeSetHead
		if size > uint64(len(rest)) {
			break // written halfway, which the engine drops too
		}
		entry := rest[:size]
		rest = rest[size:]
		if crc32.Checksum(entry[changeSetHead:], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(entry[4:]) {
			return nil, errors.New("it is damaged")
		}
		var set pb.ManifestChangeSet
		if err := proto.Unmarshal(entry[changeSetHead:], &set); err != nil {
			return nil, err
		}
		creates := func(c *pb.ManifestChange) bool {
			return c.Op == pb.ManifestChange_CREATE && slices.Contains(tables, c.Id)
		}
		if !slices.ContainsFunc(set.Changes, creates) {
			out = append(out, entry...)
		}
	}
	return out, nil
}
