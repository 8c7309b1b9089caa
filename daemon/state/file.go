package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// Files of a state directory. Each is replaced as a whole and begins with a line
// that says what its content hashes to, so that a cut or altered file is told
// from a whole one before anything in it is believed.
const (
	fileKey          = "identity.key"      // PKCS #8 in PEM
	fileCertificate  = "certificate.pem"   // chain, leaf first
	fileRoot         = "trust-root.pem"    // the pinned Ed25519 key, PKIX in PEM
	fileKeyset       = "keyset.json"       // mezu.Signed, as are those below
	fileBundle       = "bundle.json"       //
	fileEdges        = "edges.json"        //
	fileRegistration = "registration.json" // Registration
	fileEpoch        = "epoch"             // of the last start, in decimal
	fileRevocations  = "revocations.log"   // package ledger's, and not replaced as a whole
	// fileRevocationList is the version before's: a list of mezu.Signed.
	fileRevocationList = "revocations.json"
)

// damagedSuffix is what a damaged private key is renamed to, in case a person
// can still make something of it.
const damagedSuffix = ".damaged"

// maxFile bounds what is read of one file: the largest is a bundle, whose
// payload JSON carries in base64.
const maxFile = mezu.MaxSignedPayload/3*4 + 1<<20

// header begins each file, before the SHA-256 of the rest and a line feed. PEM
// readers skip it.
const header = "mezu-state-1 sha256:"

// errDamaged: the file is there, but not as it was written.
var errDamaged = errors.New("file is cut or altered")

// frame puts the header line before content.
func frame(content []byte) []byte {
	sum := sha256.Sum256(content)
	out := make([]byte, 0, len(header)+2*len(sum)+1+len(content))
	out = append(out, header...)
	out = hex.AppendEncode(out, sum[:])
	out = append(out, '\n')
	return append(out, content...)
}

// unframe returns what frame was given, or errDamaged.
func unframe(data []byte) ([]byte, error) {
	line, content, ok := bytes.Cut(data, []byte{'\n'})
	sum := sha256.Sum256(content)
	if !ok || string(line) != header+hex.EncodeToString(sum[:]) {
		return nil, errDamaged
	}
	return content, nil
}

// read returns the content of one file, an fs.ErrNotExist or an errDamaged.
func (s *State) read(name string) ([]byte, error) {
	path := filepath.Join(s.dir, name)
	read := atomicfile.ReadFile
	if name == fileKey {
		read = atomicfile.ReadKey
	}
	data, err := read(path, maxFile)
	if err != nil {
		return nil, err
	}
	content, err := unframe(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return content, nil
}

// readJSON reads one file into v. A file that isn't there, is damaged or doesn't
// decode counts as absent; all but the first are logged.
func (s *State) readJSON(name string, v any) bool {
	content, err := s.read(name)
	if err == nil {
		err = json.Unmarshal(content, v)
	}
	return s.usable(name, err)
}

// usable reports whether err is nil, and logs any but fs.ErrNotExist.
func (s *State) usable(name string, err error) bool {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("state file is not usable and will be fetched anew", "file", name, "error", err)
	}
	return err == nil
}

// write replaces one file.
func (s *State) write(name string, content []byte) error {
	if err := atomicfile.Write(filepath.Join(s.dir, name), frame(content), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Join(s.dir, name), err)
	}
	return nil
}

// full reports whether a write failed for want of room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// writeJSON replaces one file by v.
func (s *State) writeJSON(name string, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return s.write(name, content)
}
