package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/mezusphere/mezu"
)

// UnreachableError says that no answer came: the control plane is not there, is
// cut off, or can't be trusted.
type UnreachableError struct {
	URL string
	Err error
	// proxy is the host and port of the proxy that the call went by; "" for none.
	proxy string
	// flag is the one that the address comes from; "" for --api.
	flag string
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Error names the address, what went wrong and what to look at.
func (e *UnreachableError) Error() string {
	what, hint := e.Explain()
	if hint == "" {
		return what
	}
	return what + " (" + hint + ")"
}

// Explain says what happened, in a sentence of its own for each cause, and the next thing to
// try, which is empty if none is known. Hints name flags that all programs have.
func (e *UnreachableError) Explain() (what, hint string) {
	for _, look := range []func(host string) (string, string){e.byProxy, e.untrusted, e.byName, e.byConnection, e.byTLS} {
		if what, hint = look(e.host()); what != "" {
			return e.URL + what, withFlag(hint, e.flag)
		}
	}
	return fmt.Sprintf("%s is unreachable: %v", e.URL, e.Err), ""
}

// withFlag is a hint with the flag of this program, if that is another one than --api.
func withFlag(hint, flag string) string {
	if flag == "" {
		return hint
	}
	const other = "--api-hosts" // of the control plane, whose flag it stays
	return strings.NewReplacer(other, other, "--api", flag).Replace(hint)
}

// host is the host of the address, or the address if it has none.
func (e *UnreachableError) host() string {
	if u, err := url.Parse(e.URL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return e.URL
}

// lasting reports whether the same call would fail in the same way a moment later.
func (e *UnreachableError) lasting() bool {
	var verify *tls.CertificateVerificationError
	var missing *net.DNSError
	return errors.As(e.Err, &verify) || errors.As(e.Err, &missing) && missing.IsNotFound || errors.Is(e.Err, errEdge)
}

// errEdge says that an edge answered in the place of a control plane.
var errEdge = errors.New("an edge answers there")

// edgeHint is for an address that is an edge's.
const edgeHint = "--api with the address of the control plane, whose port is another one; mezu dev prints it as api"

// proxyError is an answer of a proxy other than that it goes on.
type proxyError struct{ status string }

func (e *proxyError) Error() string { return "the proxy answers " + e.status }

// refusedByProxy sees the answer of a proxy to CONNECT.
func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{Printable(resp.Status)}
}

func (e *UnreachableError) byProxy(host string) (what, hint string) {
	var refused *proxyError
	var failed *net.OpError
	proxied := errors.As(e.Err, &failed) && failed.Op == "proxyconnect"
	if !errors.As(e.Err, &refused) && !proxied {
		return "", ""
	}
	var cause error = refused
	if refused == nil {
		cause = failed.Err
	}
	return fmt.Sprintf(" is unreachable by the proxy %s: %v", e.proxy, cause), "HTTPS_PROXY names that proxy; NO_PROXY=" + host + " goes without it"
}

// HintCAFile is what helps where the CA of a control plane is not trusted, or its file is not there.
const HintCAFile = "--ca-file FILE with the installation's ca.pem (mezusphere prints where it is)"

// untrusted explains a certificate that was not accepted.
func (e *UnreachableError) untrusted(host string) (what, hint string) {
	var verify *tls.CertificateVerificationError
	if !errors.As(e.Err, &verify) {
		return "", ""
	}
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(verify.Err, &name) && name.Certificate != nil && name.Certificate.Subject.CommonName == mezu.NoEnvironmentName:
		return " is an edge, and no control plane", edgeHint
	case errors.As(verify.Err, &name):
		names := "no name"
		if name.Certificate != nil {
			if all := namesOf(name.Certificate); len(all) > 0 {
				names = strings.Join(all, ", ")
			}
		}
		return fmt.Sprintf(" has a certificate for %s, and not for %s", names, host), "--api with one of these names; or the control plane's --api-hosts with " + host
	case errors.As(verify.Err, &invalid) && invalid.Reason == x509.Expired && strings.Contains(invalid.Detail, "is before"):
		return fmt.Sprintf(" has a certificate that is not valid yet by the clock of this machine: %s", invalid.Detail), "set the clock (timedatectl set-ntp true)"
	case errors.As(verify.Err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf(" has a certificate that ended by the clock of this machine: %s", invalid.Detail), "set the clock if it is wrong (timedatectl set-ntp true); else the control plane needs a new certificate"
	}
	return fmt.Sprintf(" can't be trusted: %v", verify.Err), HintCAFile
}

// maxNames is how many names of a certificate are shown; some have hundreds.
const maxNames = 8

// namesOf are the first names and addresses of a certificate.
func namesOf(c *x509.Certificate) (out []string) {
	for _, n := range c.DNSNames {
		out = append(out, Printable(n))
	}
	for _, a := range c.IPAddresses {
		out = append(out, a.String())
	}
	if len(out) > maxNames {
		out = append(out[:maxNames], "…")
	}
	return out
}

// byName explains that a name could not be resolved.
func (e *UnreachableError) byName(host string) (what, hint string) {
	var failed *net.DNSError
	switch {
	case !errors.As(e.Err, &failed):
		return "", ""
	case failed.IsNotFound:
		return " is unreachable: no such host", "the name does not resolve here; check --api"
	case failed.IsTimeout:
		return " is unreachable: the name server does not answer", "nslookup " + host
	}
	return fmt.Sprintf(" is unreachable: the name could not be looked up: %s", failed.Err), "nslookup " + host
}

// Numbers of Windows for what syscall has other names for there.
const (
	windowsUnreachable   = syscall.Errno(10051)
	windowsReset         = syscall.Errno(10054)
	windowsRefused       = syscall.Errno(10061)
	windowsNoRouteToHost = syscall.Errno(10065)
)

func isOne(err error, of ...syscall.Errno) bool {
	for _, one := range of {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// byConnection explains that there is no connection.
func (e *UnreachableError) byConnection(host string) (what, hint string) {
	var timeout net.Error
	var failed *net.OpError
	dialling := errors.As(e.Err, &failed) && failed.Op == "dial"
	switch {
	case isOne(e.Err, syscall.ECONNREFUSED, windowsRefused):
		hint = "is the control plane running there? check the port of --api"
		if host == "localhost" || isLoopback(host) {
			hint = "is the control plane running? mezu dev starts one on this machine"
		}
		return " is unreachable: nothing listens there (connection refused)", hint
	case dialling && isOne(e.Err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, windowsUnreachable, windowsNoRouteToHost):
		return fmt.Sprintf(" is unreachable: there is no way to %s from here", host), "is this machine online? check --api, and a VPN if it takes one"
	case dialling && failed.Timeout():
		return " is unreachable: nobody answers there", "check --api; a firewall between here and there drops such connections without a word"
	case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, os.ErrDeadlineExceeded), errors.As(e.Err, &timeout) && timeout.Timeout():
		return " is unreachable: no answer in time", "--timeout allows more time"
	}
	return "", ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// unrecognizedName reports whether a peer's alert says that it does not know the name that is asked
// for. The type of such an alert is not exported.
func unrecognizedName(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "remote error" && failed.Err.Error() == tls.AlertError(112).Error()
}

// byTLS explains a peer that is reached and is no control plane.
func (e *UnreachableError) byTLS(string) (what, hint string) {
	var record tls.RecordHeaderError
	switch {
	case errors.Is(e.Err, errEdge):
		return " is an edge, and no control plane", edgeHint
	case errors.As(e.Err, &record), errors.Is(e.Err, http.ErrSchemeMismatch):
		return " is unreachable: what listens there speaks no TLS, as a control plane does", "check the port of --api"
	case unrecognizedName(e.Err):
		return " is unreachable: what listens there does not know this name, as an edge says", edgeHint
	case errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF), isOne(e.Err, syscall.ECONNRESET, windowsReset):
		return fmt.Sprintf(" is unreachable: the connection was closed without an answer (%v)", e.Err), "check the port of --api; a proxy or firewall in between may cut it, too"
	}
	return "", ""
}
