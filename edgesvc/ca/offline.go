package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mezusphere/mezu/atomicfile"
)

// maxOffline is many more bytes than the certificate and the key of a root have.
const maxOffline = 64 << 10

// trustRootFile has the trust root's key in the offline folder.
const trustRootFile = "trust-root.pem"

// rootFile names the file with the certificate and the key of the CA root that
// came with a keyset version.
func rootFile(version uint64) string { return "ca-root-" + strconv.FormatUint(version, 10) + ".pem" }

// rootKey is a CA root while something is signed with it.
type rootKey struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// makeTrustRoot makes the trust root's file, or reads it if it is there.
func makeTrustRoot(dir string) (ed25519.PrivateKey, error) {
	if err := atomicfile.EnsureOwnDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, trustRootFile)
	key, err := readTrustRoot(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	_, key, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the trust root: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the trust root: %w", err)
	}
	return key, atomicfile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// loadTrustRoot reads the trust root.
func loadTrustRoot(dir string) (ed25519.PrivateKey, error) {
	return readTrustRoot(filepath.Join(dir, trustRootFile))
}

func readTrustRoot(path string) (ed25519.PrivateKey, error) {
	text, err := atomicfile.ReadKey(path, maxOffline)
	if err != nil {
		return nil, fmt.Errorf("reading the trust root: %w", err)
	}
	der, err := onlyBlock(text, "PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("reading the trust root %s: %w", path, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("reading the trust root %s: not an Ed25519 key", path)
	}
	return key, nil
}

// makeRoot makes a CA root's file, or reads it if it is there. It is there if a call was
// interrupted, before anybody was told of the root.
func makeRoot(dir string, version uint64, now time.Time) (*rootKey, error) {
	if err := atomicfile.EnsureOwnDir(dir); err != nil {
		return nil, err
	}
	root, err := loadRoot(dir, version)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a CA root: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a CA root: %w", err)
	}
	template := caTemplate("Mezusphere root "+strconv.FormatUint(version, 10), now, RootLife)
	template.MaxPathLen = 1 // issuer
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("signing a CA root: %w", err)
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		return nil, fmt.Errorf("parsing a CA root: %w", err)
	}
	text := append(certificatePEM(signed), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	return &rootKey{certificate, key}, atomicfile.Write(filepath.Join(dir, rootFile(version)), text, 0o600)
}

// loadRoot reads a CA root's file.
func loadRoot(dir string, version uint64) (*rootKey, error) {
	path := filepath.Join(dir, rootFile(version))
	text, err := atomicfile.ReadKey(path, maxOffline)
	if err != nil {
		return nil, fmt.Errorf("reading a CA root: %w", err)
	}
	first, rest := pem.Decode(text)
	if first == nil || first.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("reading a CA root of %s: no certificate", path)
	}
	certificate, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a CA root of %s: %w", path, err)
	}
	der, err := onlyBlock(rest, "PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("reading a CA root of %s: %w", path, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || !certificate.IsCA || !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, fmt.Errorf("reading a CA root of %s: the key doesn't fit the certificate", path)
	}
	return &rootKey{certificate, key}, nil
}
