package archive

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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// header is the signed statement of a segment, its first line. The records follow,
// one JSON object a line.
type header struct {
	Scope    string `json:"scope"`
	Sequence uint64 `json:"sequence"`
	// Previous is SHA-256 of the header of the segment before; empty in the first.
	Previous string `json:"previous,omitempty"`
	// First and Last are the lowest and the highest id.
	First string `json:"first"`
	Last  string `json:"last"`
	Count int    `json:"count"`
	// SHA256 is that of everything after the first line.
	SHA256    string    `json:"sha256"`
	WrittenAt time.Time `json:"written_at"`
}

// segment is a header that was verified, and its hash.
type segment struct {
	header
	hash string
}

func (s segment) head() Head { return Head{Sequence: s.Sequence, Hash: s.hash} }

func (a *Archive) path(scope string, sequence uint64) string {
	return filepath.Join(a.folder(scope), fmt.Sprintf("%010d.seg", sequence))
}

// Line is one record as it is archived: its JSON, byte for byte, in one line.
type Line struct {
	ID   string
	JSON []byte
}

// Append writes records, which are in order of their ids, as the segment after head and
// returns the new head. When it returns nil, the segment is on the disk. If that segment is
// there already, nothing is written and the error is fs.ErrExist: another process wrote it,
// or this one did before it was killed. Next reads it.
func (a *Archive) Append(scope string, head Head, records []Line, now time.Time, sign func(any) (mezu.Signed, error)) (Head, error) {
	if err := validateScope(scope); err != nil {
		return head, err
	}
	if len(records) == 0 || len(records) > MaxRecords {
		return head, fmt.Errorf("archive: a segment has 1 to %d records, not %d", MaxRecords, len(records))
	}
	var body bytes.Buffer
	for _, r := range records {
		if bytes.IndexByte(r.JSON, '\n') >= 0 {
			return head, fmt.Errorf("archive: record %s has more than one line", r.ID)
		}
		body.Write(r.JSON)
		body.WriteByte('\n')
	}
	if body.Len() > MaxBytes {
		return head, fmt.Errorf("archive: a segment has at most %d bytes, not %d", MaxBytes, body.Len())
	}
	sum := sha256.Sum256(body.Bytes())
	signed, err := sign(header{
		Scope: scope, Sequence: head.Sequence + 1, Previous: head.Hash, First: records[0].ID, Last: records[len(records)-1].ID,
		Count: len(records), SHA256: hex.EncodeToString(sum[:]), WrittenAt: now.UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return head, err
	}
	line, err := json.Marshal(signed)
	if err != nil {
		return head, fmt.Errorf("encoding a segment's header: %w", err)
	}
	if err := a.ensure(a.folder(scope)); err != nil {
		return head, err
	}
	data := append(append(line, '\n'), body.Bytes()...)
	if err := atomicfile.Create(a.path(scope, head.Sequence+1), data, 0o600); err != nil {
		return head, err
	}
	return Head{Sequence: head.Sequence + 1, Hash: hash(signed.Payload)}, nil
}

// Next is the segment after head, with its records. The error is fs.ErrNotExist if there is
// none yet.
func (a *Archive) Next(scope string, head Head) (Head, []mezu.AuditRecord, error) {
	s, records, err := a.open(scope, head.Sequence+1)
	if err != nil {
		return Head{}, nil, err
	}
	if s.Previous != head.Hash {
		return Head{}, nil, fmt.Errorf("%s does not follow the segment before it", a.path(scope, s.Sequence))
	}
	return s.head(), records, nil
}

// Read gives the records of one segment, verified.
func (a *Archive) Read(scope string, sequence uint64) ([]mezu.AuditRecord, error) {
	_, records, err := a.open(scope, sequence)
	return records, err
}

// open reads and verifies a segment with all its records.
func (a *Archive) open(scope string, sequence uint64) (segment, []mezu.AuditRecord, error) {
	if err := validateScope(scope); err != nil {
		return segment{}, nil, err
	}
	path := a.path(scope, sequence)
	fail := func(err error) (segment, []mezu.AuditRecord, error) {
		return segment{}, nil, fmt.Errorf("archive segment %s: %w", path, err)
	}
	data, err := readAll(path, maxFile)
	if err != nil {
		return fail(err)
	}
	line, body, _ := bytes.Cut(data, []byte{'\n'})
	s, err := a.header(scope, sequence, line)
	if err != nil {
		return fail(err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != s.SHA256 {
		return fail(errors.New("the records are not those that were signed"))
	}
	records := make([]mezu.AuditRecord, 0, s.Count)
	for line := range bytes.Lines(body) {
		var r mezu.AuditRecord
		if err := json.Unmarshal(line, &r); err != nil {
			return fail(fmt.Errorf("decoding record %d: %w", len(records)+1, err))
		}
		records = append(records, r)
	}
	if len(records) != s.Count || s.Count == 0 || records[0].ID != s.First || records[s.Count-1].ID != s.Last {
		return fail(errors.New("the header tells of other records"))
	}
	return s, records, nil
}

// header verifies the first line of a segment.
func (a *Archive) header(scope string, sequence uint64, line []byte) (segment, error) {
	var signed mezu.Signed
	if err := json.Unmarshal(line, &signed); err != nil {
		return segment{}, errors.New("the header can't be read")
	}
	key, err := a.key(signed.KeyID)
	if err != nil {
		return segment{}, err
	}
	if err := signed.Verify(mezu.PurposeAudit, key.Key); err != nil {
		return segment{}, err
	}
	s := segment{hash: hash(signed.Payload)}
	if err := json.Unmarshal(signed.Payload, &s.header); err != nil {
		return segment{}, fmt.Errorf("decoding the header: %w", err)
	}
	switch {
	case s.Scope != scope || s.Sequence != sequence:
		return segment{}, fmt.Errorf("it is segment %d of %s, in the place of another", s.Sequence, s.Scope)
	case s.WrittenAt.After(key.NotAfter):
		return segment{}, fmt.Errorf("it was written at %s, after the end of its key %q", s.WrittenAt.Format(time.RFC3339), key.ID)
	}
	return s, nil
}

// Entry is a segment in the chain of a scope, or stands for one that is missing or damaged.
type Entry struct {
	Sequence    uint64
	First, Last string // ids; of a damaged one, the ids around it; an empty Last has no bound
	// Err, if not nil, names the segment and what is wrong with it.
	Err error
	// Hash is as in Head; empty of a damaged one.
	Hash string
	// Count is how many records it has.
	Count int
}

// Index lists the chain of a scope in order, up to the last segment in the folder, or up to
// upTo if that comes later. Several segments that are missing in a row are one entry.
func (a *Archive) Index(scope string, upTo uint64) ([]Entry, error) {
	if err := validateScope(scope); err != nil {
		return nil, err
	}
	there, err := a.sequences(scope)
	if err != nil {
		return nil, err
	}
	var out []Entry
	before := segment{} // the one that the next follows
	missing := func(next uint64) {
		if from := before.Sequence + 1; from < next {
			what := "it is missing"
			if from+1 < next {
				what = fmt.Sprintf("it and all up to %d are missing", next-1)
			}
			out = append(out, Entry{Sequence: from, Err: fmt.Errorf("archive segment %s: %s", a.path(scope, from), what)})
		}
	}
	for _, n := range there {
		missing(n)
		s, err := a.cached(scope, n)
		if err == nil && n == before.Sequence+1 && (n == 1 || before.hash != "") && s.Previous != before.hash {
			err = errors.New("it does not follow the segment before it")
		}
		if err != nil {
			out = append(out, Entry{Sequence: n, Err: fmt.Errorf("archive segment %s: %w", a.path(scope, n), err)})
			before = segment{header: header{Sequence: n}}
			continue
		}
		out = append(out, Entry{Sequence: n, First: s.First, Last: s.Last, Hash: s.hash, Count: s.Count})
		before = s
	}
	missing(upTo + 1)
	bound(out)
	return out, nil
}

// bound gives damaged entries the range of ids between their neighbours.
func bound(entries []Entry) {
	low := ""
	for i := range entries {
		if entries[i].Err != nil {
			entries[i].First = low
			continue
		}
		low = entries[i].Last
	}
	high := ""
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Err != nil {
			entries[i].Last = high
			continue
		}
		high = entries[i].First
	}
}

// cached is the verified header of a segment. Segments never change, so a header is read only
// once. The records are verified when they are read.
func (a *Archive) cached(scope string, sequence uint64) (segment, error) {
	a.mu.Lock()
	s, ok := a.scopes[scope][sequence]
	a.mu.Unlock()
	if ok {
		return s, nil
	}
	line, err := firstLine(a.path(scope, sequence))
	if err != nil {
		return s, err
	}
	if s, err = a.header(scope, sequence, line); err != nil {
		return segment{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.scopes[scope] == nil {
		a.scopes[scope] = map[uint64]segment{}
	}
	a.scopes[scope][sequence] = s
	return s, nil
}

// sequences are the numbers of the segments in a scope's folder, in order.
func (a *Archive) sequences(scope string) ([]uint64, error) {
	names, err := os.ReadDir(a.folder(scope))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	var out []uint64
	for _, e := range names {
		n, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), ".seg"), 10, 64)
		if err == nil && n > 0 && e.Name() == filepath.Base(a.path(scope, n)) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func hash(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// maxHeader bounds the first line of a segment.
const maxHeader = 8 << 10

func firstLine(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxHeader))
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(data, []byte{'\n'})
	return line, nil
}

func readAll(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	return data, err
}
