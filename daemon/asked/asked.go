// Package asked keeps what was asked for of the local daemon: a record of each tunnel in
// tunnels.json, and the folders in which their Warpgates keep key and certificate.
//
// What lives here: the form of both on the disk, and what becomes of them when a file was cut
// or altered. Each record has a digest of its own, so that damage costs no more than the
// records that it touches. No file is overwritten without a copy if it was damaged, and a
// folder without a record is kept: the next tunnel to its environment takes it over. What may
// not: whether a tunnel runs, the network, what is in a Warpgate's folder (package state).
// Package daemon imports it.
package asked

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
)

// Names in the folder.
const (
	fileTunnels   = "tunnels.json"
	folderTunnels = "tunnels"
	// fileOf says, in the folder of a tunnel, of which environment it is.
	fileOf = "tunnel.json"
	// suffixDamaged and the beginning of its digest are appended to the name of a damaged
	// file's copy, suffixRevoked to the name of a folder whose certificate was revoked.
	suffixDamaged = ".damaged-"
	suffixRevoked = ".revoked"
)

// Bounds of what is read.
const (
	// maxRecord is a record with all targets and paths as long as they may be, six bytes for
	// each of theirs.
	maxRecord = 512 << 10
	// maxFile is as many of them as there can be if they are of any usual size.
	maxFile = 16 << 20
	// maxFolders is how many folders are looked through for the one of an environment.
	maxFolders = 10_000
)

const fileMode = 0o600

// Record is what was asked for of one tunnel.
type Record struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	mezu.TunnelSpec
}

// Of says whose a folder is.
type Of struct {
	API          string `json:"api"`
	Organization string `json:"organization"`
	Project      string `json:"project"`
	Environment  string `json:"environment"`
}

// head is the first frame of the file: how many records follow.
type head struct {
	Tunnels int `json:"tunnels"`
}

// ErrLocked says that another process has the folder.
var ErrLocked = atomicfile.ErrLocked

// Dir is the folder of a host, locked. It is not safe for concurrent use.
type Dir struct {
	path string
	lock io.Closer
	// damaged is the file as it was read, if it was damaged and there is no copy yet.
	damaged []byte
}

// Open makes the folder if need be and locks it. The error has ErrLocked in its chain if
// another process has it.
func Open(path string) (*Dir, error) {
	if err := atomicfile.EnsureOwnDir(path); err != nil {
		return nil, err
	}
	lock, err := atomicfile.Lock(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, lock: lock}
	if err := atomicfile.EnsureOwnDir(filepath.Join(path, folderTunnels)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// Close gives the lock back. It is idempotent.
func (d *Dir) Close() error { return d.lock.Close() }

// Folder is where a tunnel's Warpgate keeps its state.
func (d *Dir) Folder(id string) string { return filepath.Join(d.path, folderTunnels, id) }

func (d *Dir) file() string { return filepath.Join(d.path, fileTunnels) }

// Load reads the records. Those that were damaged are said by what is known of them, and are
// not among the records. It fails if the file can't be read at all.
func (d *Dir) Load() (records []Record, damaged []string, err error) {
	text, err := atomicfile.ReadFile(d.file(), maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	records, damaged = d.parse(text)
	if damaged != nil {
		d.damaged = text
	}
	return records, damaged, nil
}

// parse reads the content of the file.
func (d *Dir) parse(text []byte) (records []Record, damaged []string) {
	var expected *head
	lost := 0
	seen := map[string]bool{}
	for piece := range pieces(text) {
		if expected == nil && piece.ok {
			var h head
			if decode(piece.content, &h) == nil {
				expected = &h
				continue
			}
		}
		var r Record
		switch {
		case len(records) < mezu.MaxTunnels && piece.ok && decode(piece.content, &r) == nil && r.valid() == nil && !seen[r.ID]:
			seen[r.ID] = true
			records = append(records, r)
		default:
			lost++
			damaged = append(damaged, d.describe(piece.content))
		}
	}
	switch {
	case expected == nil && len(damaged) == 0:
		damaged = append(damaged, "the beginning of "+fileTunnels)
	case expected != nil && expected.Tunnels > len(records)+lost:
		damaged = append(damaged, fmt.Sprintf("%d at the end of %s", expected.Tunnels-len(records)-lost, fileTunnels))
	}
	return records, damaged
}

func (r *Record) valid() error {
	if err := mezu.ValidateID("id", mezu.PrefixTunnel, r.ID); err != nil {
		return err
	}
	return r.Validate()
}

// What can be recognized in a damaged record.
var (
	idText   = regexp.MustCompile(mezu.PrefixTunnel + `_[0-9a-z]{26}`)
	nameText = regexp.MustCompile(`"project":"([a-z0-9-]{1,63})","environment":"([a-z0-9-]{1,63})"`)
)

// describe says which tunnel a damaged record was about, as far as that can be known.
func (d *Dir) describe(content []byte) string {
	if m := nameText.FindSubmatch(content); m != nil {
		return mezu.TunnelName(string(m[1]), string(m[2]))
	}
	if id := string(idText.Find(content)); mezu.ValidateID("", mezu.PrefixTunnel, id) == nil {
		if of, err := d.of(id); err == nil {
			return mezu.TunnelName(of.Project, of.Environment)
		}
		return id
	}
	return "a record of " + fileTunnels
}

// Save replaces the file. If it was damaged, a copy is made first. After an error the file is
// as it was.
func (d *Dir) Save(records []Record) error { return d.explain(d.save(records)) }

// explain says to people that there was no room.
func (d *Dir) explain(err error) error {
	if err != nil && atomicfile.IsFull(err) {
		return atomicfile.NoRoom(d.path, err)
	}
	return err
}

func (d *Dir) save(records []Record) error {
	if d.damaged != nil {
		sum := sha256.Sum256(d.damaged)
		if err := atomicfile.Write(d.file()+suffixDamaged+hex.EncodeToString(sum[:4]), d.damaged, fileMode); err != nil {
			return fmt.Errorf("keeping a copy of the damaged %s: %w", fileTunnels, err)
		}
		d.damaged = nil
	}
	text, err := frame(nil, head{len(records)})
	for _, r := range records {
		if err == nil {
			text, err = frame(text, r)
		}
	}
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return mezu.Invalid("tunnels", "what was asked for has %d bytes, %d at most", len(text), maxFile)
	}
	return atomicfile.Write(d.file(), text, fileMode)
}

// Make makes the folder of a new tunnel.
func (d *Dir) Make(id string, of Of) error {
	if err := atomicfile.EnsureOwnDir(d.Folder(id)); err != nil {
		return d.explain(err)
	}
	text, err := frame(nil, of)
	if err != nil {
		return err
	}
	return d.explain(atomicfile.Write(filepath.Join(d.Folder(id), fileOf), text, fileMode))
}

// Kept gives the id of a folder that is of no tunnel in use and fits, empty if there is none.
func (d *Dir) Kept(used func(id string) bool, fits func(Of) bool) string {
	folder, err := os.Open(filepath.Join(d.path, folderTunnels))
	if err != nil {
		return ""
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(maxFolders)
	slices.Sort(names) // the oldest one, whatever the order on the disk
	for _, id := range names {
		if mezu.ValidateID("", mezu.PrefixTunnel, id) != nil || used(id) {
			continue
		}
		if of, err := d.of(id); err == nil && fits(of) {
			return id
		}
	}
	return ""
}

// of reads whose a folder is.
func (d *Dir) of(id string) (Of, error) {
	var of Of
	text, err := atomicfile.ReadFile(filepath.Join(d.Folder(id), fileOf), maxRecord)
	if err != nil {
		return of, err
	}
	for piece := range pieces(text) {
		if piece.ok {
			return of, decode(piece.content, &of)
		}
	}
	return of, errors.New("the record is damaged")
}

// Remove removes the folder of a tunnel, and one that was revoked before.
func (d *Dir) Remove(id string) error {
	return errors.Join(os.RemoveAll(d.Folder(id)), os.RemoveAll(d.Folder(id)+suffixRevoked))
}

// SetAside makes the folder of a tunnel anew, without key and certificate, because these were
// revoked. The last one that was set aside is kept beside it.
func (d *Dir) SetAside(id string, of Of) error {
	aside := d.Folder(id) + suffixRevoked
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Rename(d.Folder(id), aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.Make(id, of)
}

// A frame is one line: mark, SHA-256 of the content, its length, the content in JSON. It is
// found again behind one that was damaged by its mark.
const mark = "mezu-record-1 sha256:"

// maxDigits bounds the length as it is written.
const maxDigits = 7

// frame appends a value.
func frame(text []byte, value any) ([]byte, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if len(content) > maxRecord {
		return nil, mezu.Invalid("tunnel", "what was asked for has %d bytes, %d at most", len(content), maxRecord)
	}
	return fmt.Appendf(text, "%s%x %d %s\n", mark, sha256.Sum256(content), len(content), content), nil
}

// piece is the content of a frame, or what is left of one.
type piece struct {
	content []byte
	ok      bool
}

// pieces gives the frames of a file, those that were damaged too.
func pieces(text []byte) func(func(piece) bool) {
	return func(yield func(piece) bool) {
		for len(text) > 0 {
			content, n := unframe(text)
			ok := content != nil
			if !ok {
				// What lies before the next mark was one frame, or several whose marks are gone.
				n = len(text)
				if next := bytes.Index(text[1:], []byte(mark)); next >= 0 {
					n = 1 + next
				}
				content = text[:n]
			}
			if !yield(piece{content, ok}) {
				return
			}
			text = text[n:]
		}
	}
}

// unframe reads the frame at the beginning of text: its content, nil if it is damaged, and its
// length with the line feed.
func unframe(text []byte) (content []byte, n int) {
	rest, ok := bytes.CutPrefix(text, []byte(mark))
	if !ok {
		return nil, 0
	}
	digest, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(digest) != 2*sha256.Size {
		return nil, 0
	}
	digits, rest, ok := bytes.Cut(rest[:min(len(rest), maxRecord+maxDigits+2)], []byte{' '})
	if !ok || len(digits) > maxDigits || strings.Trim(string(digits), "0123456789") != "" {
		return nil, 0
	}
	size := 0
	for _, c := range digits {
		size = size*10 + int(c-'0')
	}
	if size > len(rest) || size == 0 {
		return nil, 0
	}
	content = rest[:size]
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != string(digest) {
		return nil, 0
	}
	n = len(mark) + len(digest) + 1 + len(digits) + 1 + size
	if n < len(text) && !bytes.HasPrefix(text[n:], []byte(mark)) {
		n++ // the line feed, or what became of it
	}
	return content, n
}

// decode is strict: a field of a later version would be lost by the next Save.
func decode(content []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Same reports whether both are the same environment of the same control plane.
func (o Of) Same(with Of) bool {
	if o.Organization != with.Organization || o.Project != with.Project || o.Environment != with.Environment {
		return false
	}
	if o.API == with.API {
		return true
	}
	// An installation has several control planes, of which a profile may name some.
	one, err := api.ParseBaseURLs("api", o.API)
	if err != nil {
		return false
	}
	two, err := api.ParseBaseURLs("api", with.API)
	return err == nil && slices.ContainsFunc(one, func(a string) bool { return slices.Contains(two, a) })
}

// OfSpec is the environment of a tunnel.
func OfSpec(s *mezu.TunnelSpec) Of {
	return Of{API: s.API, Organization: s.Organization, Project: s.Project, Environment: s.Environment}
}
