package store

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// CA is the certificate of a certificate authority that signed itself.
type CA struct {
	Certificate *x509.Certificate
}

// maxCertificates is how many certificates of one text are looked at: more than a rotation leaves
// in a CA file, and less than the roots of a whole system.
const maxCertificates = 16

// Parse reads the CAs of a text in PEM. Each certificate in it has to be one that can be put into a
// store: of a CA, and signed by itself. Whether it is good now, Check says.
func Parse(text []byte) ([]CA, error) {
	var out []CA
	for rest := text; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break // what surrounds certificates is for people
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("has a %q, where only the certificate of a CA is expected", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("has a certificate that can't be read: %w", err)
		}
		if err := signsOthers(c); err != nil {
			return nil, err
		}
		if out = append(out, CA{c}); len(out) > maxCertificates {
			return nil, fmt.Errorf("has more than %d certificates, and is no CA file of one installation", maxCertificates)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("holds no certificate in PEM")
	}
	return out, nil
}

// signsOthers says why a certificate is none that stores take for an authority.
func signsOthers(c *x509.Certificate) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("has the certificate of %s, which is no CA's", name(c))
	case !bytes.Equal(c.RawSubject, c.RawIssuer) || c.CheckSignatureFrom(c) != nil:
		return fmt.Errorf("has the certificate of %s, an intermediate CA: its root, %s, is what stores take", name(c), c.Issuer.String())
	}
	return nil
}

// name is what a certificate calls its holder.
func name(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return s
	}
	return "nobody"
}

// Check says why a CA isn't good at a moment.
func (c CA) Check(now time.Time) error {
	switch {
	case now.After(c.Certificate.NotAfter):
		return fmt.Errorf("has a CA that ended at %s", c.Certificate.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.Certificate.NotBefore):
		return fmt.Errorf("has a CA that is not good before %s", c.Certificate.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// SHA256 is the fingerprint, in lower case without colons.
func (c CA) SHA256() string {
	sum := sha256.Sum256(c.Certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// Fingerprint is the fingerprint as browsers and tools show it.
func (c CA) Fingerprint() string {
	pairs := slices.Collect(slices.Chunk([]byte(strings.ToUpper(c.SHA256())), 2))
	return string(bytes.Join(pairs, []byte(":")))
}

// Subject is whom the certificate is of.
func (c CA) Subject() string { return name(c.Certificate) }

// Text is the certificate in PEM.
func (c CA) Text() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate.Raw})
}

// Constraints says for which names the CA is believed, by its own certificate.
func (c CA) Constraints() string {
	var only, never []string
	only = append(append(append(only, c.Certificate.PermittedDNSDomains...), c.Certificate.PermittedEmailAddresses...), c.Certificate.PermittedURIDomains...)
	never = append(append(append(never, c.Certificate.ExcludedDNSDomains...), c.Certificate.ExcludedEmailAddresses...), c.Certificate.ExcludedURIDomains...)
	for _, n := range c.Certificate.PermittedIPRanges {
		only = append(only, n.String())
	}
	for _, n := range c.Certificate.ExcludedIPRanges {
		never = append(never, n.String())
	}
	// A constraint on names of DNS says nothing of addresses, and the other way round.
	switch {
	case len(only) == 0 && len(never) == 0:
		return "none: it is believed for every name"
	case len(never) == 0:
		return "only " + strings.Join(only, ", ")
	case len(only) == 0:
		return "all but " + strings.Join(never, ", ")
	}
	return "only " + strings.Join(only, ", ") + ", but not " + strings.Join(never, ", ")
}

// label is under which name stores keep the CA: the fingerprint tells it from the CAs of other
// installations, which have the same subject.
func (c CA) label() string { return "mezu-" + c.SHA256()[:labelDigits] }

// labelDigits are enough of the fingerprint that no two of a person's CAs share them.
const labelDigits = 16

// same reports whether a text, in PEM or DER, is this one certificate.
func (c CA) same(text []byte) bool {
	if block, rest := pem.Decode(text); block != nil {
		return bytes.Equal(block.Bytes, c.Certificate.Raw) && len(bytes.TrimSpace(rest)) == 0
	}
	return bytes.Equal(text, c.Certificate.Raw)
}

// Select chooses the one CA whose fingerprint begins so; of one CA that one, if nothing is given.
func Select(all []CA, prefix string) (CA, error) {
	prefix = strings.ToLower(strings.ReplaceAll(prefix, ":", ""))
	var fit []CA
	var names []string
	for _, c := range all {
		if names = append(names, c.SHA256()[:labelDigits]+" ("+c.Subject()+")"); strings.HasPrefix(c.SHA256(), prefix) {
			fit = append(fit, c)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(all) == 0:
		return CA{}, mezu.Invalid("", "there is none to choose from")
	case len(fit) == 0:
		return CA{}, &mezu.Error{Code: mezu.CodeInvalid, Field: "sha256", Detail: "no CA has a fingerprint that begins so; there is " + strings.Join(names, ", ")}
	}
	return CA{}, &mezu.Error{Code: mezu.CodeInvalid, Detail: fmt.Sprintf("there are %d CAs, and one is trusted at a time: %s", len(fit), strings.Join(names, ", ")),
		Hint: "choose it: --sha256 " + fit[0].SHA256()[:labelDigits]}
}
