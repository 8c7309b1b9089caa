// Package sshsig checks signatures that "ssh-keygen -Y sign" makes, as OpenSSH's PROTOCOL.sshsig
// describes them, against keys as its allowed_signers files name them.
//
// What may not live here: signing, and what is signed. It imports x/crypto/ssh only; update
// imports it.
package sshsig

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// MaxSignature bounds a signature: one of a 16,384 bit RSA key has some 6 KiB.
const MaxSignature = 16 << 10

// errNoSigner says that no key of the list has made a signature.
var errNoSigner = errors.New("it is not signed by a key that is trusted")

const (
	magic       = "SSHSIG"
	sigVersion  = 1
	armour      = "SSH SIGNATURE"
	minRSABits  = 2048
	hashSHA256  = "sha256"
	hashSHA512  = "sha512"
	lengthBytes = 4
)

// signature is one that was read, and not yet checked.
type signature struct {
	key       ssh.PublicKey
	namespace string
	reserved  string
	hash      string
	of        ssh.Signature
}

// Verify checks that one of the signers has signed a message for a namespace.
func (s Signers) Verify(message, armoured []byte, namespace string) error {
	sig, err := parse(armoured)
	if err != nil {
		return fmt.Errorf("reading the signature: %w", err)
	}
	if sig.namespace != namespace {
		return fmt.Errorf("it is signed for %q, not for %q", sig.namespace, namespace)
	}
	if !s.allow(sig.key, namespace) {
		return fmt.Errorf("%w: it is by %s", errNoSigner, ssh.FingerprintSHA256(sig.key))
	}
	if err := sig.verify(message); err != nil {
		return fmt.Errorf("the signature does not belong to it: %w", err)
	}
	return nil
}

// parse reads a signature in its armour, with nothing before and after it.
func parse(armoured []byte) (*signature, error) {
	if len(armoured) > MaxSignature {
		return nil, fmt.Errorf("it is over %d bytes", MaxSignature)
	}
	block, rest := pem.Decode(armoured)
	if block == nil || block.Type != armour || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 || !bytes.HasPrefix(armoured, []byte("-----BEGIN "+armour+"-----")) {
		return nil, errors.New("it is no SSH signature")
	}
	r := reader{block.Bytes}
	var key, of []byte
	sig := &signature{}
	if head, ok := r.take(len(magic)); !ok || string(head) != magic {
		return nil, errors.New("it does not begin as one")
	}
	if v, ok := r.take(lengthBytes); !ok || binary.BigEndian.Uint32(v) != sigVersion {
		return nil, errors.New("it is of an unknown version")
	}
	var namespace, reserved, hash []byte
	for _, field := range []*[]byte{&key, &namespace, &reserved, &hash, &of} {
		var ok bool
		if *field, ok = r.string(); !ok {
			return nil, errors.New("it is cut")
		}
	}
	if len(r.left) > 0 {
		return nil, errors.New("there is more behind it")
	}
	sig.namespace, sig.reserved, sig.hash = string(namespace), string(reserved), string(hash)
	var err error
	if sig.key, err = ssh.ParsePublicKey(key); err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	if err := ssh.Unmarshal(of, &sig.of); err != nil {
		return nil, fmt.Errorf("its inner part: %w", err)
	}
	return sig, nil
}

// verify checks the signature over what PROTOCOL.sshsig has signed in place of the message.
func (s *signature) verify(message []byte) error {
	var sum []byte
	switch s.hash {
	case hashSHA256:
		h := sha256.Sum256(message)
		sum = h[:]
	case hashSHA512:
		h := sha512.Sum512(message)
		sum = h[:]
	default:
		return fmt.Errorf("it has the hash %q", s.hash)
	}
	// An RSA signature says itself how it was made: SHA-1 is broken, and ssh-keygen refuses it.
	if s.key.Type() == ssh.KeyAlgoRSA {
		if s.of.Format != ssh.KeyAlgoRSASHA256 && s.of.Format != ssh.KeyAlgoRSASHA512 {
			return fmt.Errorf("it is made by %q", s.of.Format)
		}
		of, ok := s.key.(ssh.CryptoPublicKey)
		if !ok {
			return errors.New("its key is unreadable")
		}
		if key, ok := of.CryptoPublicKey().(*rsa.PublicKey); !ok || key.N.BitLen() < minRSABits {
			return fmt.Errorf("its key has fewer than %d bits", minRSABits)
		}
	}
	signed := []byte(magic)
	for _, part := range [][]byte{[]byte(s.namespace), []byte(s.reserved), []byte(s.hash), sum} {
		signed = binary.BigEndian.AppendUint32(signed, uint32(len(part)))
		signed = append(signed, part...)
	}
	return s.key.Verify(signed, &s.of)
}

// reader reads fields from the bytes that are left.
type reader struct{ left []byte }

func (r *reader) take(n int) ([]byte, bool) {
	if n < 0 || n > len(r.left) {
		return nil, false
	}
	out := r.left[:n]
	r.left = r.left[n:]
	return out, true
}

// string reads a field with its length before it.
func (r *reader) string() ([]byte, bool) {
	length, ok := r.take(lengthBytes)
	if !ok {
		return nil, false
	}
	n := binary.BigEndian.Uint32(length)
	if uint64(n) > uint64(len(r.left)) {
		return nil, false
	}
	return r.take(int(n))
}
