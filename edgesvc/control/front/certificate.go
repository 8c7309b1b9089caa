package front

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/trust"
)

// serverCertificate is the API's own, from files or from the internal CA.
type serverCertificate struct {
	certFile, keyFile string
	authority         *ca.Authority
	names             []string
	addresses         []net.IP
	current           atomic.Pointer[tls.Certificate]
	issued            time.Time
}

func newServerCertificate(cfg Config, authority *ca.Authority) (*serverCertificate, error) {
	s := &serverCertificate{certFile: cfg.TLSCert, keyFile: cfg.TLSKey, authority: authority}
	for _, h := range hosts(cfg) {
		if ip := net.ParseIP(h); ip != nil {
			s.addresses = append(s.addresses, ip)
		} else {
			s.names = append(s.names, h)
		}
	}
	return s, s.load(cfg.Now())
}

// hosts are the names and addresses that the API answers to.
func hosts(cfg Config) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	add := func(h string) {
		if ip := net.ParseIP(h); h != "" && !slices.Contains(hosts, h) && (ip == nil || !ip.IsUnspecified()) {
			hosts = append(hosts, h)
		}
	}
	for _, h := range cfg.APIHosts {
		add(h)
	}
	if host, _, err := net.SplitHostPort(cfg.APIAddr); err == nil {
		add(host)
	}
	return hosts
}

func (s *serverCertificate) load(now time.Time) error {
	if s.certFile != "" {
		pair, err := trust.LoadKeyPair(s.certFile, s.keyFile)
		if err != nil {
			return &mezu.Error{Code: mezu.CodeInvalid, Field: "api_tls_cert", Detail: fmt.Sprintf("reading the API's certificate: %v", err), Hint: cmp.Or(atomicfile.Remedy(err), "check --api-tls-cert and --api-tls-key"), Cause: err}
		}
		s.current.Store(pair)
		return nil
	}
	key, keyPEM, err := trust.NewKey()
	if err != nil {
		return fmt.Errorf("making the API's key: %w", err)
	}
	csr, err := trust.CSR(key)
	if err != nil {
		return fmt.Errorf("making the API's certificate request: %w", err)
	}
	issued, err := s.authority.IssueServer(csr, s.names, s.addresses)
	if err != nil {
		return err
	}
	pair, err := trust.KeyPair([]byte(issued.Chain), keyPEM)
	if err != nil {
		return fmt.Errorf("loading the API's certificate: %w", err)
	}
	s.issued = now
	s.current.Store(pair)
	return nil
}

// renew issues another certificate when the current one is old. Files are read again each
// time: somebody else renews them. A file that can't be read leaves the current
// certificate in force.
func (s *serverCertificate) renew(now time.Time) error {
	if s.certFile == "" && now.Sub(s.issued) < mezu.RenewAge {
		return nil
	}
	if s.certFile != "" {
		if _, err := os.Stat(s.certFile); err != nil {
			return fmt.Errorf("looking at the API's certificate: %w", err)
		}
	}
	return s.load(now)
}

// tlsConfig is the API listener's. Client certificates are asked for and judged
// by the operations, because most callers have none.
func (f *Front) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.certificate.current.Load(), nil },
	}
}
