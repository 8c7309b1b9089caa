package mailtest

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is one as it came.
type Mail struct {
	// From, To and UTF8 are what the envelope says.
	From, To string
	UTF8     bool
	// Encrypted says that it came inside TLS, User who authenticated.
	Encrypted bool
	User      string
	// Raw is all of it, Header its fields as they were sent.
	Raw    []byte
	Header netmail.Header
	// Text and HTML are the parts, decoded.
	Text, HTML string
}

// Subject is the subject, decoded.
func (m Mail) Subject() string {
	s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return err.Error()
	}
	return s
}

// session is one connection.
type session struct {
	server *Server
	conn   *smtp.Conn
	user   string
	mail   Mail
}

func (s *Server) begin(c *smtp.Conn) (smtp.Session, error) {
	if err := s.at(c, Greeting); err != nil {
		return nil, err
	}
	return &session{server: s, conn: c}, nil
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string {
	switch {
	case s.server.opts.Username == "":
		return nil
	case s.server.opts.LoginOnly:
		return []string{sasl.Login}
	}
	return []string{sasl.Plain}
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(mech string) (sasl.Server, error) {
	check := func(name, password string) error {
		if name != s.server.opts.Username || password != s.server.opts.Password {
			return smtp.ErrAuthFailed
		}
		s.user = name
		return nil
	}
	if mech == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, name, password string) error { return check(name, password) }), nil
}

// loginServer asks for a name and a password.
type loginServer struct {
	words []string
	check func(name, password string) error
}

// Next implements sasl.Server.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if response != nil {
		l.words = append(l.words, string(response))
	}
	switch len(l.words) {
	case 0:
		return []byte("User Name\x00"), false, nil
	case 1:
		return []byte("Password\x00"), false, nil
	}
	return nil, true, l.check(l.words[0], l.words[1])
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.mail = Mail{} }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if err := s.server.at(s.conn, Sender); err != nil {
		return err
	}
	_, encrypted := s.conn.TLSConnectionState()
	switch {
	case !encrypted && !s.server.opts.Plain:
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"}
	case s.server.opts.Username != "" && s.user == "":
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	if refused := s.server.behaviour().RefuseSender; refused != nil {
		return refused
	}
	s.mail = Mail{From: from, UTF8: opts.UTF8, Encrypted: encrypted, User: s.user}
	return nil
}

func (s *Server) behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	s.server.tries[to]++
	first := s.server.tries[to] == 1
	s.server.mu.Unlock()
	if err := s.server.at(s.conn, Recipient); err != nil {
		return err
	}
	is := s.server.behaviour()
	if is.RefuseRecipient != nil {
		return is.RefuseRecipient
	}
	if is.Greylist && first {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted <" + to + ">, try again later"}
	}
	s.mail.To = to
	return nil
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err == nil {
		err = s.server.at(s.conn, Data)
	}
	if err != nil {
		return err
	}
	if refused := s.server.behaviour().RefuseData; refused != nil {
		return refused
	}
	s.mail.Raw = raw
	if err := s.mail.parse(); err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	s.server.keep(s.mail)
	return s.server.at(s.conn, Taken)
}

// parse reads header and parts.
func (m *Mail) parse() error {
	msg, err := netmail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		return err
	}
	m.Header = msg.Header
	media, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if !strings.HasPrefix(media, "multipart/") {
		text, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
		m.Text = string(text)
		return err
	}
	for parts := multipart.NewReader(msg.Body, params["boundary"]); ; {
		part, err := parts.NextPart() // decodes
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			m.HTML = string(body)
		} else {
			m.Text = string(body)
		}
	}
}
