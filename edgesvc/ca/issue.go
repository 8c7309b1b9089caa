package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// maxCSR bounds a certificate request; one for a P-256 key without names is
// about 300 bytes.
const maxCSR = 8 << 10

// maxNames bounds the names and addresses of one server certificate.
const maxNames = 100

// Issued is a certificate as its holder gets it.
type Issued struct {
	Chain    string    // PEM: the leaf, then the issuer
	Serial   string    // as trust.Serial gives it
	NotAfter time.Time // at most mezu.LeafLife from now
}

// IssuePeer issues the certificate of an edge, a Warpgate or a control plane. id alone says
// who it is for. Of the request nothing but the key is used, after its signature has shown
// that the sender has it. A request that can't be used is mezu.CodeInvalid.
func (a *Authority) IssuePeer(csrPEM string, id mezu.Identity) (Issued, error) {
	if parsed, err := mezu.ParseIdentity(id.URI()); err != nil || parsed != id {
		return Issued{}, fmt.Errorf("issuing a peer's certificate: %q is not an identity", id)
	}
	key, err := requestedKey(csrPEM)
	if err != nil {
		return Issued{}, err
	}
	return a.issue(key, &x509.Certificate{
		URIs:        []*url.URL{id.URI()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
}

// IssueServer issues a plain server certificate, which makes nobody a peer: for
// the API, and for public endpoints where there is no public CA. Names are
// lower-case and may begin with "*.". At least one name or address is needed.
func (a *Authority) IssueServer(csrPEM string, dnsNames []string, ips []net.IP) (Issued, error) {
	if n := len(dnsNames) + len(ips); n == 0 || n > maxNames {
		return Issued{}, fmt.Errorf("issuing a server certificate: 1 to %d names, not %d", maxNames, n)
	}
	for _, n := range dnsNames {
		if !isServerName(n) {
			return Issued{}, fmt.Errorf("issuing a server certificate: %q is not a server's name", n)
		}
	}
	key, err := requestedKey(csrPEM)
	if err != nil {
		return Issued{}, err
	}
	return a.issue(key, &x509.Certificate{
		DNSNames:    dnsNames,
		IPAddresses: ips,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// issue adds to the template what every leaf has, and signs it.
func (a *Authority) issue(key crypto.PublicKey, template *x509.Certificate) (Issued, error) {
	now := a.now()
	by := a.current.Load().issuer(now)
	if by == nil || now.After(by.certificate.NotAfter) {
		return Issued{}, errors.New("issuing a certificate: the issuer is past its end; rotate the keys")
	}
	template.SerialNumber = newSerial()
	template.NotBefore = now.Add(-mezu.LeafBackdate)
	template.NotAfter = now.Add(mezu.LeafLife)
	if template.NotAfter.After(by.certificate.NotAfter) {
		template.NotAfter = by.certificate.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key, by.key)
	if err != nil {
		return Issued{}, fmt.Errorf("issuing a certificate: %w", err)
	}
	return Issued{
		Chain:    string(certificatePEM(der)) + by.pem,
		Serial:   trust.Serial(template),
		NotAfter: template.NotAfter.UTC().Truncate(time.Second),
	}, nil
}

// requestedKey is the key of a certificate request, checked.
func requestedKey(csrPEM string) (crypto.PublicKey, error) {
	if len(csrPEM) > maxCSR {
		return nil, mezu.Invalid("csr", "a certificate request has at most %d bytes", maxCSR)
	}
	der, err := onlyBlock([]byte(csrPEM), "CERTIFICATE REQUEST")
	if err != nil {
		return nil, mezu.Invalid("csr", "is not one certificate request in PEM")
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, mezu.Invalid("csr", "is not a certificate request (RFC 2986)")
	}
	if !trust.KeyAllowed(csr.PublicKey) {
		return nil, mezu.Invalid("csr", "has a key of type %s; P-256 and Ed25519 are allowed", csr.PublicKeyAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, mezu.Invalid("csr", "is not signed by its own key")
	}
	return csr.PublicKey, nil
}

// isServerName reports whether s is a lower-case host name (RFC 1123, 2.1) with
// or without a wildcard as its first label.
func isServerName(s string) bool {
	if len(s) > 253 { // RFC 1035, 2.3.4, without the root's octets
		return false
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(s, "*."), ".") {
		if label == "" || len(label) > mezu.MaxLabelLength || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
