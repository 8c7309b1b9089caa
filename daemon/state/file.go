package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/mezusphere/mezu"
)

// Files of a state directory. Each but the log begins with a line that says what the rest
// hashes to, so that a file that was cut or altered is recognized before anything in it is
// believed.
const (
	fileKey          = "identity.key"      // PKCS #8 in PEM
	fileCertificate  = "certificate.pem"   // chain, leaf first
	fileRoot         = "trust-root.pem"    // the pinned Ed25519 key, PKIX in PEM
	fileKeyset       = "keyset.json"       // mezu.Signed, as are those below
	fileBundle       = "bundle.json"       //
	fileEdges        = "edges.json"        //
	fileAssertions   = "assertions.json"   //
	fileRegistration = "registration.json" // Registration
	fileEpoch        = "epoch"             // of the last start, in decimal
	fileRevocations  = "revocations.log"   // package ledger's, and not replaced as a whole
	// fileRevocationList is the version before's: a list of mezu.Signed.
	fileRevocationList = "revocations.json"
)

// damagedSuffix is appended to the name of a damaged private key, which is kept in case
// somebody can repair it.
const damagedSuffix = ".damaged"

// readJSON reads one file into v. A file that isn't there, is damaged or doesn't
// decode counts as absent; all but the first are logged.
func (s *State) readJSON(name string, v any) bool {
	return s.usable(name, s.files.ReadJSON(name, v))
}

// usable reports whether err is nil, and logs any but fs.ErrNotExist.
func (s *State) usable(name string, err error) bool {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("state file is not usable and will be fetched anew", "file", name, "error", err)
	}
	return err == nil
}

// write replaces one file. What can't be written is not tried again.
func (s *State) write(name string, content []byte) error {
	if err := s.files.Write(name, content); err != nil {
		return fmt.Errorf("writing %s: %w", s.files.Path(name), err)
	}
	return nil
}

// writeJSON replaces one file by v. What can't be written is not tried again.
func (s *State) writeJSON(name string, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return s.write(name, content)
}

// saveStatement replaces one file by a statement. What can't be written is tried again by
// Flush.
func (s *State) saveStatement(name string, statement mezu.Signed) error {
	content, err := json.Marshal(statement)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return s.files.Save(name, content)
}

// full reports whether a write failed for want of room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
