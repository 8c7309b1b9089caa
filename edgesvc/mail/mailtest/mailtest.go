// Package mailtest is an SMTP server for tests: it keeps the mails that it takes, and
// misbehaves as real ones do.
//
// What may not live here: anything of the sender. Only tests import it.
package mailtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Stage is a point of a transaction.
type Stage string

// The points at which a server may cut or hang.
const (
	Greeting  Stage = "greeting"
	Sender    Stage = "sender"
	Recipient Stage = "recipient"
	// Data is before the mail is kept, Taken after it and before the client hears of it.
	Data  Stage = "data"
	Taken Stage = "taken"
)

// Behaviour is what may change while a server runs.
type Behaviour struct {
	// Greylist refuses the first try of each recipient with 451.
	Greylist bool
	// Cut is where connections are closed, Cuts how often; the count runs down.
	Cut  Stage
	Cuts int
	// Hang is where nothing is said any more until the server stops.
	Hang Stage
	// RefuseSender, RefuseRecipient and RefuseData are the answers there; if nil, all is well.
	RefuseSender, RefuseRecipient, RefuseData *smtp.SMTPError
}

// Options of a server.
type Options struct {
	// Addr is where it listens; if empty, a free port of 127.0.0.1.
	Addr string
	// Implicit begins with TLS; else STARTTLS is offered and demanded. Plain offers none.
	Implicit, Plain bool
	// WrongName shows a certificate of another host.
	WrongName bool
	// Username and Password, if set, are demanded.
	Username, Password string
	// LoginOnly offers AUTH LOGIN alone.
	LoginOnly bool
	// UTF8 offers SMTPUTF8.
	UTF8 bool
	Behaviour
}

// Server is a running one. Its methods are safe for concurrent use.
type Server struct {
	opts Options
	cert tls.Certificate
	pem  []byte

	mu       sync.Mutex
	addr     string
	running  *smtp.Server
	listener net.Listener
	stopped  chan struct{} // closed when it stops
	is       Behaviour
	tries    map[string]int // by recipient
	reached  map[Stage]int
	mails    []Mail
	came     chan struct{} // closed and made anew when something happens
}

// Start runs a server until Stop.
func Start(opts Options) (*Server, error) {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	s := &Server{opts: opts, is: opts.Behaviour, addr: opts.Addr, tries: map[string]int{}, reached: map[Stage]int{}, came: make(chan struct{})}
	var err error
	if s.cert, s.pem, err = selfSigned(opts.WrongName); err != nil {
		return nil, err
	}
	return s, s.Resume()
}

// Resume runs it again after Stop, at the same address.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.addr = listener.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(s.begin))
	server.Domain, server.ErrorLog, server.EnableSMTPUTF8 = "mail.example", silent{}, s.opts.UTF8
	config := &tls.Config{Certificates: []tls.Certificate{s.cert}}
	switch {
	case s.opts.Plain:
		server.AllowInsecureAuth = true
	case s.opts.Implicit:
		listener = tls.NewListener(listener, config)
	default:
		server.TLSConfig = config
	}
	s.running, s.listener, s.stopped = server, listener, make(chan struct{})
	go func() { _ = server.Serve(listener) }() // it ends with Stop
	return nil
}

// silent is a log that nobody reads.
type silent struct{}

// Printf implements smtp.Logger.
func (silent) Printf(string, ...any) {}

// Println implements smtp.Logger.
func (silent) Println(...any) {}

// Stop cuts all connections and closes the port. It may be called twice.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	close(s.stopped)
	_ = s.listener.Close() // the server may not know of it yet
	_ = s.running.Close()
	s.running = nil
}

// Addr is host:port.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// CAPEM is the certificate that a client has to trust.
func (s *Server) CAPEM() []byte { return s.pem }

// Change changes the behaviour from now on.
func (s *Server) Change(with func(*Behaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	with(&s.is)
}

// Tries is how often a recipient was named.
func (s *Server) Tries(to string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries[to]
}

// Mails are those that were taken, in their order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Wait waits until there are n mails, and gives all.
func (s *Server) Wait(ctx context.Context, n int) ([]Mail, error) {
	err := s.until(ctx, func() bool { return len(s.mails) >= n })
	return s.Mails(), err
}

// Reach waits until n transactions were at a stage.
func (s *Server) Reach(ctx context.Context, stage Stage, n int) error {
	return s.until(ctx, func() bool { return s.reached[stage] >= n })
}

// until waits for a condition, which is asked under the lock.
func (s *Server) until(ctx context.Context, met func() bool) error {
	for {
		s.mu.Lock()
		ok, came := met(), s.came
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell wakes those that wait. It is called under the lock.
func (s *Server) tell() {
	close(s.came)
	s.came = make(chan struct{})
}

// keep keeps a mail.
func (s *Server) keep(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m)
	s.tell()
}

// errCut: the connection was closed on purpose.
var errCut = errors.New("cut")

// at misbehaves at a point of a transaction, if it is to.
func (s *Server) at(c *smtp.Conn, here Stage) error {
	s.mu.Lock()
	s.reached[here]++
	s.tell()
	cut := s.is.Cut == here && s.is.Cuts > 0
	if cut {
		s.is.Cuts--
	}
	hang, stopped := s.is.Hang == here, s.stopped
	s.mu.Unlock()
	if hang {
		<-stopped
	}
	if cut || hang {
		_ = c.Conn().Close()
		return errCut
	}
	return nil
}

// selfSigned makes a certificate of this host, or of another.
func selfSigned(elsewhere bool) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "mail.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"elsewhere.example"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if !elsewhere {
		template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
