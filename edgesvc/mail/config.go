package mail

import (
	"crypto/x509"
	"errors"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// Values of Config.TLS.
const (
	// StartTLS begins in the clear and demands STARTTLS, as on port 587.
	StartTLS = "starttls"
	// TLS is encrypted from the first byte on, as on port 465.
	TLS = "tls"
)

const (
	// submissions is the port on which TLS comes first (RFC 8314).
	submissions = "465"
	// maxPassword and maxRoots bound the files: a password may be a token of some
	// kilobytes, and a file of roots that of a whole system.
	maxPassword = 16 << 10
	maxRoots    = 1 << 20
)

// Config is how mail is sent. Errors name the settings of the program.
type Config struct {
	// Address is the server's host:port; if empty, no mail is sent.
	Address string
	// TLS is StartTLS or TLS; if empty, TLS for port 465 and StartTLS for all others.
	TLS string
	// Username and PasswordFile are the account at the server; if both are empty, none is
	// used. The file is read for each connection, so that a new password needs no restart.
	Username, PasswordFile string
	// From is the sender, such as "Acme <login@acme.example>".
	From string
	// CAFile has the certificates that are trusted instead of the system's.
	CAFile string
}

// Validate checks the form of the settings. It reads no file.
func (c Config) Validate() error {
	if c.Address == "" {
		if c != (Config{}) {
			return missing("smtp_address", "--smtp-address HOST:PORT; the other smtp settings are for it")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(c.Address)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || n == 0 {
		return mezu.Invalid("smtp_address", "is host:port, not %q", c.Address)
	}
	if c.TLS != "" && c.TLS != StartTLS && c.TLS != TLS {
		return mezu.Invalid("smtp_tls", "is %s or %s, not %q", StartTLS, TLS, c.TLS)
	}
	if (c.Username == "") != (c.PasswordFile == "") {
		return mezu.Invalid("smtp_username", "a name and the file of its password (smtp_password_file) are given together")
	}
	if c.From == "" {
		return missing("smtp_from", `--smtp-from "NAME <ADDRESS>": the sender of all mail`)
	}
	_, err = c.sender()
	return err
}

func missing(key, hint string) error {
	return &mezu.Error{Code: mezu.CodeInvalid, Field: key, Detail: "is missing", Hint: hint}
}

// CheckFiles reads the files that the settings name, as the first mail does.
func (c Config) CheckFiles() error {
	if _, err := c.roots(); err != nil {
		return err
	}
	_, err := c.password()
	return err
}

// sender is From, read. The local part is ASCII, so that every server takes it.
func (c Config) sender() (*netmail.Address, error) {
	from, err := netmail.ParseAddress(c.From)
	if err != nil || strings.ContainsAny(c.From, "\r\n") {
		return nil, mezu.Invalid("smtp_from", `is an address, or "NAME <ADDRESS>", not %q`, c.From)
	}
	if err := mezu.ValidateEmail("smtp_from", from.Address); err != nil {
		return nil, err
	}
	address, ascii, err := wireAddress(from.Address)
	if err != nil || !ascii {
		return nil, mezu.Invalid("smtp_from", "the part before the @ is ASCII and the domain one that DNS knows, not %q", from.Address)
	}
	return &netmail.Address{Name: from.Name, Address: address}, nil
}

// encryptedAtOnce reports whether TLS comes before SMTP.
func (c Config) encryptedAtOnce() bool {
	if c.TLS != "" {
		return c.TLS == TLS
	}
	_, port, _ := net.SplitHostPort(c.Address)
	return port == submissions
}

// roots are the trusted certificates; nil is the system's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := atomicfile.ReadFile(c.CAFile, maxRoots)
	if err != nil {
		return nil, unreadable("smtp_ca_file", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, mezu.Invalid("smtp_ca_file", "%s holds no certificate in PEM", c.CAFile)
	}
	return pool, nil
}

// password reads the file; without one the password is empty.
func (c Config) password() (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	data, err := atomicfile.ReadKey(c.PasswordFile, maxPassword)
	if err != nil {
		return "", unreadable("smtp_password_file", err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n\x00") {
		return "", mezu.Invalid("smtp_password_file", "%s holds the password in one line, and nothing else", c.PasswordFile)
	}
	return password, nil
}

func unreadable(key string, err error) error {
	return &mezu.Error{Code: mezu.CodeInvalid, Field: key, Detail: err.Error(), Hint: atomicfile.Remedy(err), Cause: err}
}

// errDomain: the domain of an address can't be a name of DNS.
var errDomain = errors.New("the domain of the address is no name of DNS")

// wireAddress is an address as SMTP carries it: the domain in ASCII. ascii says that all of
// it is; else the server has to know SMTPUTF8 (RFC 6531).
func wireAddress(address string) (wire string, ascii bool, err error) {
	local, domain, _ := strings.Cut(address, "@")
	domain, err = idna.Lookup.ToASCII(domain)
	if err != nil || strings.Contains("."+domain+".", "..") {
		return "", false, errDomain
	}
	for i := range len(local) {
		if local[i] >= 0x80 {
			return local + "@" + domain, false, nil
		}
	}
	return local + "@" + domain, true, nil
}
