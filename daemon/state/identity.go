package state

import (
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/statedir"
)

// PEM types of the files.
const (
	pemPublicKey   = "PUBLIC KEY"
	pemCertificate = "CERTIFICATE"
)

// certificate is the own certificate, parsed.
type certificate struct {
	tls      *tls.Certificate
	leaf     *x509.Certificate
	serial   string
	identity mezu.Identity
}

// validAt reports whether now lies in the certificate's validity.
func (c *certificate) validAt(now time.Time) bool {
	return !now.Before(c.leaf.NotBefore) && !now.After(c.leaf.NotAfter)
}

// issued is about when it was issued, by the control plane's clock.
func (c *certificate) issued() time.Time { return c.leaf.NotBefore.Add(mezu.LeafBackdate) }

// parsePEM decodes the one block of content, which must be of this type.
func parsePEM(content []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(content)
	if block == nil || block.Type != kind || len(rest) != 0 {
		return nil, fmt.Errorf("%w: no single PEM block %q", statedir.ErrDamaged, kind)
	}
	return block.Bytes, nil
}

// readRoot reads the pinned trust root.
func (s *State) readRoot() (ed25519.PublicKey, error) {
	content, err := s.files.Read(fileRoot)
	if err != nil {
		return nil, err
	}
	der, err := parsePEM(content, pemPublicKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	root, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: not an Ed25519 key", statedir.ErrDamaged)
	}
	return root, nil
}

// writeRoot pins the trust root.
func (s *State) writeRoot(root ed25519.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(root)
	if err != nil {
		return fmt.Errorf("encoding the trust root: %w", err)
	}
	return s.write(fileRoot, pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: der}))
}

// loadKey reads the private key. A damaged one is set aside. One that can't be read is an
// error, because otherwise a new one would overwrite it.
func (s *State) loadKey() error {
	content, err := s.files.ReadKey(fileKey)
	if err == nil {
		if s.key, err = trust.ParseKey(content); err != nil {
			err = fmt.Errorf("%w: %w", statedir.ErrDamaged, err)
		}
	}
	switch {
	case s.usable(fileKey, err) || errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, statedir.ErrDamaged):
		if err := s.files.SetAside(fileKey); err != nil {
			return fmt.Errorf("setting damaged file %s aside: %w", s.files.Path(fileKey), err)
		}
		return nil
	}
	return err
}

// Key returns the private key, made and written at the first call. It stays the
// same for the life of the directory.
func (s *State) Key() (crypto.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil {
		return s.key, nil
	}
	key, text, err := trust.NewKey()
	if err != nil {
		return nil, err
	}
	if err := s.write(fileKey, text); err != nil {
		return nil, err
	}
	s.key = key
	return key, nil
}

// loadCertificate reads the own certificate. One that has ended is kept for the identity in
// it.
func (s *State) loadCertificate() {
	content, err := s.files.Read(fileCertificate)
	if err == nil && s.key == nil {
		err = errors.New("there is no private key to it")
	}
	if err == nil {
		var c *certificate
		if c, err = parseCertificate(s.anchor.Load(), s.key, content, s.now()); c != nil {
			s.own.Store(c)
		}
	}
	s.usable(fileCertificate, err)
}

// parseCertificate reads a chain and checks that it is this Warpgate's: for its
// key, and with the identity of a Warpgate. If it is, but isn't valid now or is revoked, both
// the certificate and an error are returned.
func parseCertificate(anchor *trust.Anchor, key crypto.Signer, chainPEM []byte, now time.Time) (*certificate, error) {
	c := &certificate{tls: &tls.Certificate{PrivateKey: key}}
	var chain []*x509.Certificate
	for rest := chainPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != pemCertificate {
			return nil, fmt.Errorf("%w: not a chain of certificates", statedir.ErrDamaged)
		}
		chain = append(chain, cert)
		c.tls.Certificate = append(c.tls.Certificate, block.Bytes)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: no certificate", statedir.ErrDamaged)
	}
	c.leaf = chain[0]
	c.tls.Leaf = c.leaf
	c.serial = trust.Serial(c.leaf)
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(c.leaf.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	if len(c.leaf.URIs) != 1 {
		return nil, errors.New("the certificate names no identity")
	}
	id, err := mezu.ParseIdentity(c.leaf.URIs[0])
	if err != nil {
		return nil, err
	}
	if id.Role != mezu.PeerWarpgate {
		return nil, fmt.Errorf("the certificate is one of a peer in the role %q", id.Role)
	}
	c.identity = id
	// As an edge will judge it.
	_, err = anchor.VerifyPeer(tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: chain}, mezu.PeerWarpgate)
	if err != nil && c.validAt(now) && !anchor.CertificateRevoked(c.serial) {
		return nil, err
	}
	return c, err
}
