package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/mezusphere/mezu"
)

// How long sending one mail may take. RFC 5321 (4.5.3.2) advises minutes for each command:
// servers look up who calls, and some wait on purpose.
const (
	// SendTime is for all of it, so that a claim of the queue can be longer.
	SendTime = 3 * time.Minute
	// arriveTime is from dialling to the server's word that it knows us.
	arriveTime  = time.Minute
	commandTime = time.Minute
	// acceptTime is from the end of a mail to the server's word that it has it. To give up
	// early is to send the mail twice.
	acceptTime = 2 * time.Minute
	// quitTime is for a good-bye that changes nothing.
	quitTime = time.Second
)

// maxAnswers bounds what is read of a server in one connection, with its certificates: some
// twenty lines and a chain.
const maxAnswers = 256 << 10

// Sender sends mails, each over a connection of its own. Its methods are safe for concurrent
// use.
type Sender struct {
	cfg    Config
	from   *netmail.Address
	domain string // of from
	host   string // of the server
}

// New makes a Sender. It reads no file and dials nobody.
func New(cfg Config) (*Sender, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Address == "" {
		return nil, missing("smtp_address", "--smtp-address HOST:PORT")
	}
	from, err := cfg.sender()
	if err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	host, _, _ := net.SplitHostPort(cfg.Address)
	return &Sender{cfg: cfg, from: from, domain: domain, host: host}, nil
}

// Send hands a mail to the server. Its errors are of type Error. After a temporary one the
// server may have the mail all the same, if the connection broke at its end.
func (s *Sender) Send(ctx context.Context, m Message) error {
	to, ascii, err := recipient(m)
	if err != nil {
		return &Error{Kind: Permanent, Stage: "looking at the mail", Cause: err}
	}
	body, err := form(m, s.from, s.domain, to)
	if err != nil {
		return &Error{Kind: Permanent, Stage: "writing the mail", Cause: err}
	}
	ctx, cancel := context.WithTimeout(ctx, SendTime)
	defer cancel()
	if failed := s.send(ctx, envelope{to: to, utf8: !ascii, body: body}); failed != nil {
		if ctx.Err() != nil {
			failed.Cause = errors.Join(ctx.Err(), failed.Cause)
		}
		return failed
	}
	return nil
}

// recipient checks what a header or a command could be made of.
func recipient(m Message) (to string, ascii bool, err error) {
	if !idForm.MatchString(m.ID) || !languageForm.MatchString(m.Language) {
		return "", false, errors.New("its id or language has characters that are not allowed there")
	}
	if mezu.ValidateEmail("to", m.To) != nil {
		return "", false, errors.New("the recipient is not a mail address")
	}
	return wireAddress(m.To)
}

// envelope is a mail as it is handed over.
type envelope struct {
	to   string
	utf8 bool // the address needs SMTPUTF8
	body []byte
}

// send hands a mail to the server in a connection of its own.
func (s *Sender) send(ctx context.Context, e envelope) *Error {
	client, failed := s.arrive(ctx)
	if failed != nil {
		return failed
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	if failed := s.transfer(client, e); failed != nil {
		return failed
	}
	client.CommandTimeout = quitTime
	_ = client.Quit() // the mail is the server's already
	return nil
}

// arrive connects, encrypts and authenticates. What fails there fails for every mail.
func (s *Sender) arrive(ctx context.Context) (*smtp.Client, *Error) {
	roots, err := s.cfg.roots()
	if err != nil {
		return nil, &Error{Kind: Configuration, Every: true, Stage: "reading the trusted certificates", Cause: err}
	}
	password, err := s.cfg.password()
	if err != nil {
		return nil, &Error{Kind: Configuration, Every: true, Stage: "reading the password", Cause: err}
	}
	ctx, cancel := context.WithTimeout(ctx, arriveTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return nil, &Error{Kind: kindOf(err), Every: true, Stage: "connecting", Cause: err}
	}
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	client, stage, err := s.encrypt(ctx, &boundedConn{Conn: raw, left: maxAnswers}, &tls.Config{ServerName: s.host, RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err == nil {
		client.CommandTimeout, client.SubmissionTimeout = commandTime, acceptTime
		stage, err = "greeting", client.Hello(s.domain)
	}
	if err == nil && s.cfg.Username != "" {
		stage, err = "authenticating", s.authenticate(client, password)
	}
	if err != nil {
		raw.Close()
		return nil, &Error{Kind: kindOf(err), Every: true, Stage: stage, Cause: err}
	}
	return client, nil
}

// encrypt gives a client that speaks inside TLS, or is about to: after STARTTLS the handshake
// comes with the next command. It never goes on in the clear.
func (s *Sender) encrypt(ctx context.Context, raw net.Conn, cfg *tls.Config) (client *smtp.Client, stage string, err error) {
	if s.cfg.encryptedAtOnce() {
		conn := tls.Client(raw, cfg)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, "beginning TLS", err
		}
		return smtp.NewClient(conn), "", nil
	}
	client, err = smtp.NewClientStartTLS(raw, cfg)
	return client, "asking for STARTTLS", err
}

// authenticate logs in by PLAIN or LOGIN, the two that every server has one of. Both send the
// password, and so come inside TLS only.
func (s *Sender) authenticate(client *smtp.Client, password string) error {
	if _, encrypted := client.TLSConnectionState(); !encrypted {
		return errors.New("the connection is not encrypted")
	}
	if client.SupportsAuth(sasl.Plain) {
		return client.Auth(sasl.NewPlainClient("", s.cfg.Username, password))
	}
	if client.SupportsAuth(sasl.Login) {
		return client.Auth(&login{words: []string{s.cfg.Username, password}})
	}
	_, offered := client.Extension("AUTH")
	return fmt.Errorf("the server offers AUTH %s, this program speaks %s and %s", offered, sasl.Plain, sasl.Login)
}

// login is the mechanism LOGIN. Servers word its questions differently, so that only their
// order counts.
type login struct{ words []string }

// Start implements sasl.Client.
func (l *login) Start() (mech string, initial []byte, err error) { return sasl.Login, nil, nil }

// Next implements sasl.Client.
func (l *login) Next([]byte) ([]byte, error) {
	if len(l.words) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	word := l.words[0]
	l.words = l.words[1:]
	return []byte(word), nil
}

// transfer is the transaction of one mail.
func (s *Sender) transfer(client *smtp.Client, e envelope) *Error {
	if knows, _ := client.Extension("SMTPUTF8"); e.utf8 && !knows {
		return &Error{Kind: Permanent, Stage: "naming the recipient", Cause: errors.New("the server takes no address with characters outside ASCII (SMTPUTF8)")}
	}
	if err := client.Mail(s.from.Address, &smtp.MailOptions{UTF8: e.utf8}); err != nil {
		if code(err) >= 500 && e.utf8 { // it is about what other mails don't ask for
			return &Error{Kind: Permanent, Stage: "naming the sender", Cause: err}
		}
		return &Error{Kind: kindOf(err), Every: true, Stage: "naming the sender", Cause: err}
	}
	if err := client.Rcpt(e.to, nil); err != nil {
		return &Error{Kind: recipientKind(err), Stage: "naming the recipient", Cause: err}
	}
	w, err := client.Data()
	if err == nil {
		_, err = w.Write(e.body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return &Error{Kind: mailKind(err), Stage: "handing over the mail", Cause: err}
	}
	return nil
}

// code is the code of a server's answer; 0 if there was none.
func code(err error) int {
	var answer *smtp.SMTPError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}

// kindOf is what an error means that keeps every mail from being sent. What is neither an
// answer nor the network is a server that does not speak what we need.
func kindOf(err error) Kind {
	var untrusted *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var network net.Error
	switch c := code(err); {
	case c >= 500:
		return Configuration
	case c > 0:
		return Temporary
	case errors.As(err, &untrusted), errors.As(err, &record):
		return Configuration
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return Temporary
	}
	return Configuration
}

// mailKind is what an error means that is about one mail.
func mailKind(err error) Kind {
	if code(err) >= 500 {
		return Permanent
	}
	return Temporary
}

// recipientKind is what a refusal of the recipient means. One for reasons of security (530,
// or X.7.Y of RFC 3463) is about who sends: a relay that does not know us says so here.
func recipientKind(err error) Kind {
	var answer *smtp.SMTPError
	if errors.As(err, &answer) && answer.Code >= 500 && (answer.Code == 530 || answer.EnhancedCode[1] == 7) {
		return Configuration
	}
	return mailKind(err)
}

// boundedConn ends a connection whose other end says too much.
type boundedConn struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the server says more than a mail can need")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
