package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/namedfile"
)

// NewKey makes a P-256 key for a certificate, and its PEM text (PKCS #8) to be
// kept in a file of mode 0600.
func NewKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads a private key that NewKey wrote. The error repeats nothing of the text.
func ParseKey(pemText []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(pemText)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("parsing a private key: no PEM block \"PRIVATE KEY\"")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("parsing a private key: not PKCS #8")
	}
	signer, ok := key.(crypto.Signer)
	if !ok || !KeyAllowed(signer.Public()) {
		return nil, errors.New("parsing a private key: neither P-256 nor Ed25519")
	}
	return signer, nil
}

// AssertionKey derives from the key of a Warpgate's certificate the one by which it signs
// assertions: the two can't come apart, and neither tells of the other.
func AssertionKey(key crypto.Signer) (ed25519.PrivateKey, error) {
	var secret []byte
	var err error
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		secret, err = k.Bytes()
	case ed25519.PrivateKey:
		secret = k.Seed()
	default:
		err = errors.New("neither P-256 nor Ed25519")
	}
	if err == nil {
		secret, err = hkdf.Key(sha256.New, secret, nil, "mezusphere assertion key 1", ed25519.SeedSize)
	}
	if err != nil {
		return nil, fmt.Errorf("deriving the key for assertions: %w", err)
	}
	return ed25519.NewKeyFromSeed(secret), nil
}

// CSR makes a certificate request for key in PEM. It names nobody: the control plane
// decides who the certificate is for, and reads nothing but the key.
func CSR(key crypto.Signer) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", fmt.Errorf("making a certificate request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// KeyPair puts a certificate chain and its key, both PEM, together for the
// certificate functions of ServerTLS and EdgeTLS. Keep the result: those functions are
// called in each handshake.
func KeyPair(chain, key []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate and its key: %w", err)
	}
	return &pair, nil
}

// maxPairFile bounds the file of a chain or a key; a long chain has some 20 KiB.
const maxPairFile = 1 << 20

// LoadKeyPair is KeyPair for files that an administrator keeps elsewhere. It refuses a key
// that others could change or could have put there.
func LoadKeyPair(chainFile, keyFile string) (*tls.Certificate, error) {
	chain, err := namedfile.Read(chainFile, maxPairFile)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	key, err := atomicfile.ReadGivenKey(keyFile, maxPairFile)
	if err != nil {
		return nil, err
	}
	return KeyPair(chain, key)
}

// KeyAllowed reports whether a public key is of a type that peers may have:
// P-256 or Ed25519.
func KeyAllowed(public crypto.PublicKey) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize
	}
	return false
}
