package statedir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// header begins each file with a checksum, before the SHA-256 of the rest and a line
// feed. PEM readers skip it.
const header = "mezu-state-1 sha256:"

// ErrDamaged: the file is there, but not as it was written.
var ErrDamaged = errors.New("file is cut or altered")

// addChecksum puts the header line before content.
func addChecksum(content []byte) []byte {
	sum := sha256.Sum256(content)
	out := make([]byte, 0, len(header)+2*len(sum)+1+len(content))
	out = append(out, header...)
	out = hex.AppendEncode(out, sum[:])
	out = append(out, '\n')
	return append(out, content...)
}

// check returns what addChecksum was given, or ErrDamaged.
func check(data []byte) ([]byte, error) {
	line, content, ok := bytes.Cut(data, []byte{'\n'})
	sum := sha256.Sum256(content)
	if !ok || string(line) != header+hex.EncodeToString(sum[:]) {
		return nil, ErrDamaged
	}
	return content, nil
}
