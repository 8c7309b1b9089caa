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

// The engine notes each new table in its MANIFEST before it uses it. When the sync of
// that note fails it deletes the table and goes on with what it had (a log, or the
// tables that the new one was to replace), but the note stays, and the store could
// never be opened again: "file does not exist for table 3".
//
// While the engine runs, a table that is noted and not there can have come about in
// this way only, since it deletes files after it noted that. So when the engine
// complains, the driver looks for such tables, writes their numbers down and lets
// nothing more be written. The next opening takes those notes out again, and only
// those: a table that is missing for any other reason is still a store that does not
// open.

// danglingName is the file in Options.Dir with these numbers.
const danglingName = "dangling"

// dangling is its content.
type dangling struct {
	Tables []uint64 `json:"tables"`
}

// complained is called when the engine reports an error or warns.
func (db *DB) complained() {
	missing, err := missingTables(filepath.Join(db.opts.Dir, engineDir))
	if err == nil && len(missing) == 0 {
		return
	}
	if err == nil {
		err = db.writeDangling(missing)
	}
	db.failed.Store(true)
	db.log.Error("a sync of the store failed; nothing more is written until it is opened anew: check the disk, then restart", "tables", missing, "error", err)
}

// danglingTries is how often the file is tried at once: the disk has just failed.
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

// missingTables lists the tables that the MANIFEST notes and that are not there.
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

// mendManifest takes the notes of dangling tables out of the MANIFEST.
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

// Form of the MANIFEST: magic and versions, then change sets, each behind its
// length and CRC-32C in big-endian order.
const (
	manifestHead  = 8
	changeSetHead = 8
)

// without copies a MANIFEST but for the change sets that create one of these tables.
// A change set is a whole: what it deletes is still there if what it creates is not.
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
