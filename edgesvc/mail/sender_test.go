package mail_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/mail"
	"github.com/mezusphere/mezu/edgesvc/mail/mailtest"
)

// serve runs a server until the test ends, and gives the settings that fit it.
func serve(t *testing.T, opts mailtest.Options) (*mailtest.Server, mail.Config) {
	t.Helper()
	server, err := mailtest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	cfg := mail.Config{Address: server.Addr(), From: "Acme Überall <login@acme.example>", CAFile: file(t, "ca.pem", string(server.CAPEM()))}
	if opts.Implicit {
		cfg.TLS = mail.TLS
	}
	if opts.Username != "" {
		cfg.Username, cfg.PasswordFile = opts.Username, file(t, "password", opts.Password+"\n")
	}
	return server, cfg
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sender(t *testing.T, cfg mail.Config) *mail.Sender {
	t.Helper()
	s, err := mail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// letter is a mail with everything in it that has to be encoded.
func letter() mail.Message {
	return mail.Message{
		ID: "eml_1", To: "ana@bücher.example", Language: "de", Subject: "Passwort für ÄCME zurücksetzen, mit einem langen Betreff, der gefaltet wird",
		Text: "Guten Tag\n.\n..ein Punkt\n" + strings.Repeat("ä", 300) + "\n=20\n", HTML: "<p lang=\"de\">Grüße = \"alle\"</p>\n", Date: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
	}
}

// refused sends a mail that must not go, and says why it did not.
func refused(t *testing.T, s *mail.Sender, m mail.Message, kind mail.Kind, every bool) *mail.Error {
	t.Helper()
	err := s.Send(t.Context(), m)
	var e *mail.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Every != every {
		t.Fatalf("sent with %v (%+v), want %s, every mail: %v", err, e, kind, every)
	}
	if strings.Contains(e.Error(), m.To) {
		t.Errorf("the error tells the address: %v", e)
	}
	return e
}

func TestSend(t *testing.T) {
	for name, opts := range map[string]mailtest.Options{
		"starttls": {},
		"tls":      {Implicit: true, Username: "acme", Password: "s€cret"},
		"login":    {Username: "acme", Password: "s€cret", LoginOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			server, cfg := serve(t, opts)
			s := sender(t, cfg)
			m := letter()
			for range 2 { // a mail that is sent twice can be told
				if err := s.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			got := server.Mails()
			if len(got) != 2 || got[0].Header.Get("Message-ID") != "<eml_1@acme.example>" || got[1].Header.Get("Message-ID") != got[0].Header.Get("Message-ID") {
				t.Fatalf("got %+v", got)
			}
			g := got[0]
			if !g.Encrypted || g.User != opts.Username || g.UTF8 || g.From != "login@acme.example" || g.To != "ana@xn--bcher-kva.example" {
				t.Errorf("envelope %+v", g)
			}
			crlf := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
			if g.Subject() != m.Subject || crlf(g.Text) != m.Text || crlf(g.HTML) != m.HTML {
				t.Errorf("subject %q, text %q, page %q", g.Subject(), g.Text, g.HTML)
			}
			from, err := g.Header.AddressList("From")
			if err != nil || len(from) != 1 || from[0].Name != "Acme Überall" {
				t.Errorf("from %v, %v", from, err)
			}
			for field, want := range map[string]string{"To": "<ana@xn--bcher-kva.example>", "Auto-Submitted": "auto-generated", "Content-Language": "de", "Date": "Mon, 04 May 2026 03:02:01 +0000"} {
				if g.Header.Get(field) != want {
					t.Errorf("%s: %q", field, g.Header.Get(field))
				}
			}
			for line := range strings.SplitSeq(string(g.Raw), "\r\n") {
				if len(line) > 78 || strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
					t.Errorf("a line that not every server takes: %q", line)
				}
			}
		})
	}
}

// A text is a text: it makes no header, no recipient and no end of the mail.
func TestSend_NothingIsInjected(t *testing.T) {
	server, cfg := serve(t, mailtest.Options{})
	s := sender(t, cfg)
	m := letter()
	m.Subject, m.HTML = "Hello\r\nBcc: eve@evil.example\r\n\r\nbody", ""
	m.Text = "one\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n"
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	g := server.Mails()[0]
	if g.Header.Get("Bcc") != "" || g.Subject() != m.Subject || g.Text != m.Text || g.HTML != "" {
		t.Errorf("got %q", g.Raw)
	}
	m.Subject = strings.Repeat("word ", 45)
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if g := server.Mails()[1]; g.Subject() != m.Subject {
		t.Errorf("got %q", g.Raw)
	}
	for _, change := range []func(*mail.Message){
		func(m *mail.Message) { m.To = "ana@acme.example>\r\nRCPT TO:<eve@evil.example" },
		func(m *mail.Message) { m.To = "ana@acme.example, eve@evil.example" },
		func(m *mail.Message) { m.To = "ana@acme..example" },
		func(m *mail.Message) { m.To = "" },
		func(m *mail.Message) { m.ID = "a\r\nBcc: eve@evil.example" },
		func(m *mail.Message) { m.Language = "de\r\nBcc: eve@evil.example" },
	} {
		bad := letter()
		change(&bad)
		if err := s.Send(t.Context(), bad); err == nil {
			t.Errorf("sent %+v", bad)
		}
	}
	if n := len(server.Mails()); n != 2 {
		t.Errorf("%d mails", n)
	}
}

// An address with characters outside ASCII before the @ needs a server that knows SMTPUTF8.
func TestSend_UTF8(t *testing.T) {
	m := letter()
	m.To = "jürgen@bücher.example"
	server, cfg := serve(t, mailtest.Options{UTF8: true})
	if err := sender(t, cfg).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if g := server.Mails()[0]; !g.UTF8 || g.To != "jürgen@xn--bcher-kva.example" {
		t.Errorf("got %+v", g)
	}
	_, cfg = serve(t, mailtest.Options{})
	if e := refused(t, sender(t, cfg), m, mail.Permanent, false); !strings.Contains(e.Error(), "SMTPUTF8") {
		t.Errorf("the error is %v", e)
	}
}

// What is wrong with the server or the settings is about every mail, and none is given to it.
func TestSend_Misconfigured(t *testing.T) {
	for name, c := range map[string]struct {
		opts   mailtest.Options
		change func(*mail.Config)
		says   string
	}{
		"wrong certificate":       {opts: mailtest.Options{WrongName: true}, says: "certificate"},
		"wrong certificate tls":   {opts: mailtest.Options{WrongName: true, Implicit: true}, says: "certificate"},
		"unknown authority":       {change: func(c *mail.Config) { c.CAFile = "" }, says: "certificate"},
		"no STARTTLS":             {opts: mailtest.Options{Plain: true, Username: "acme", Password: "secret"}, says: "STARTTLS"},
		"TLS where there is none": {opts: mailtest.Options{Plain: true}, change: func(c *mail.Config) { c.TLS = mail.TLS }, says: "TLS"},
		"wrong password":          {opts: mailtest.Options{Username: "acme", Password: "secret"}, change: func(c *mail.Config) { c.Username = "other" }, says: "535"},
		"no password":             {opts: mailtest.Options{Username: "acme", Password: "secret"}, change: func(c *mail.Config) { c.Username, c.PasswordFile = "", "" }, says: "Authentication required"},
		"AUTH is not offered":     {change: func(c *mail.Config) { c.Username, c.PasswordFile = "acme", c.CAFile }, says: "one line"},
		"password file is gone":   {change: func(c *mail.Config) { c.Username, c.PasswordFile = "acme", c.CAFile+"x" }, says: "no such file"},
		"sender is refused":       {opts: mailtest.Options{Behaviour: mailtest.Behaviour{RefuseSender: answer(553, 5, 7, 1)}}, says: "553 5.7.1"},
	} {
		t.Run(name, func(t *testing.T) {
			server, cfg := serve(t, c.opts)
			if c.change != nil {
				c.change(&cfg)
			}
			if e := refused(t, sender(t, cfg), letter(), mail.Configuration, true); !strings.Contains(e.Error(), c.says) {
				t.Errorf("the error is %v", e)
			}
			if got := server.Mails(); len(got) != 0 {
				t.Errorf("the server has %d mails", len(got))
			}
		})
	}
}

func answer(code, class, subject, detail int) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: "no <ana@xn--bcher-kva.example>\x1b[2J here"}
}

// What the server says of one mail is about that one, and tells whether to try again.
func TestSend_Refused(t *testing.T) {
	for name, c := range map[string]struct {
		is    mailtest.Behaviour
		kind  mail.Kind
		every bool
	}{
		"unknown recipient":    {mailtest.Behaviour{RefuseRecipient: answer(550, 5, 1, 1)}, mail.Permanent, false},
		"relaying denied":      {mailtest.Behaviour{RefuseRecipient: answer(554, 5, 7, 1)}, mail.Configuration, false},
		"greylisted":           {mailtest.Behaviour{Greylist: true}, mail.Temporary, false},
		"refused content":      {mailtest.Behaviour{RefuseData: answer(554, 5, 7, 1)}, mail.Permanent, false},
		"no room":              {mailtest.Behaviour{RefuseData: answer(452, 4, 3, 1)}, mail.Temporary, false},
		"busy":                 {mailtest.Behaviour{RefuseSender: answer(421, 4, 3, 2)}, mail.Temporary, true},
		"cut at the greeting":  {mailtest.Behaviour{Cut: mailtest.Greeting, Cuts: 1}, mail.Temporary, true},
		"cut at the sender":    {mailtest.Behaviour{Cut: mailtest.Sender, Cuts: 1}, mail.Temporary, true},
		"cut at the recipient": {mailtest.Behaviour{Cut: mailtest.Recipient, Cuts: 1}, mail.Temporary, false},
		"cut at the data":      {mailtest.Behaviour{Cut: mailtest.Data, Cuts: 1}, mail.Temporary, false},
		"cut after the data":   {mailtest.Behaviour{Cut: mailtest.Taken, Cuts: 1}, mail.Temporary, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, cfg := serve(t, mailtest.Options{Behaviour: c.is})
			e := refused(t, sender(t, cfg), letter(), c.kind, c.every)
			if !c.every && strings.Contains(e.Error(), "ana") || strings.Contains(e.Error(), "\x1b") {
				t.Errorf("the error is %q", e)
			}
		})
	}
}

// A server that hangs holds a mail no longer than its context, wherever it does.
func TestSend_Hangs(t *testing.T) {
	for _, stage := range []mailtest.Stage{mailtest.Greeting, mailtest.Sender, mailtest.Recipient, mailtest.Data, mailtest.Taken} {
		t.Run(string(stage), func(t *testing.T) {
			server, cfg := serve(t, mailtest.Options{Behaviour: mailtest.Behaviour{Hang: stage}})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- sender(t, cfg).Send(ctx, letter()) }()
			if err := server.Reach(t.Context(), stage, 1); err != nil {
				t.Error(err)
			}
			cancel()
			err := <-ended
			if e := new(mail.Error); !errors.As(err, &e) || e.Kind != mail.Temporary || !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// A server that never stops talking is left.
func TestSend_EndlessAnswers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			if _, err := io.WriteString(conn, "220-welcome to the mail server\r\n"); err != nil {
				return
			}
		}
	}()
	s := sender(t, mail.Config{Address: listener.Addr().String(), From: "login@acme.example"})
	refused(t, s, letter(), mail.Configuration, true)
	<-ended
}

// What came in the clear is not taken for an answer inside TLS.
func TestSend_NothingFromBeforeTLS(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	heard := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		fmt.Fprint(conn, "220 mail.example\r\n")
		r.ReadString('\n')
		fmt.Fprint(conn, "250-mail.example\r\n250 STARTTLS\r\n")
		r.ReadString('\n')
		fmt.Fprint(conn, "220 go on\r\n250-mail.example\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 sender\r\n250 recipient\r\n354 data\r\n250 taken\r\n")
		rest := make([]byte, 1024)
		n, _ := r.Read(rest)
		heard <- string(rest[:n])
	}()
	s := sender(t, mail.Config{Address: listener.Addr().String(), From: "login@acme.example", Username: "acme", PasswordFile: file(t, "password", "secret")})
	refused(t, s, letter(), mail.Temporary, true)
	if said := <-heard; !strings.HasPrefix(said, "\x16\x03") {
		t.Errorf("said after STARTTLS: %q, which is no TLS", said)
	}
}

func TestConfig(t *testing.T) {
	good := mail.Config{Address: "mail.example:587", From: "Acme <login@acme.example>"}
	for field, change := range map[string]func(*mail.Config){
		"smtp_address":       func(c *mail.Config) { c.Address = "mail.example" },
		"smtp_address (no)":  func(c *mail.Config) { c.Address = "" },
		"smtp_address (0)":   func(c *mail.Config) { c.Address = "mail.example:0" },
		"smtp_tls":           func(c *mail.Config) { c.TLS = "none" },
		"smtp_username":      func(c *mail.Config) { c.Username = "acme" },
		"smtp_from":          func(c *mail.Config) { c.From = "" },
		"smtp_from (two)":    func(c *mail.Config) { c.From = "a@acme.example, b@acme.example" },
		"smtp_from (local)":  func(c *mail.Config) { c.From = "jürgen@acme.example" },
		"smtp_from (domain)": func(c *mail.Config) { c.From = "login@a..example" },
	} {
		cfg := good
		change(&cfg)
		var e *mezu.Error
		want, _, _ := strings.Cut(field, " ")
		if err := cfg.Validate(); !errors.As(err, &e) || e.Field != want {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (mail.Config{}).Validate(); err != nil {
		t.Error(err)
	}
	for field, cfg := range map[string]mail.Config{
		"smtp_ca_file":       {CAFile: file(t, "ca.pem", "nothing")},
		"smtp_password_file": {PasswordFile: file(t, "password", "two\nlines\n")},
	} {
		var e *mezu.Error
		if err := cfg.CheckFiles(); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	open := file(t, "password", "secret")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	var e *mezu.Error
	if err := (mail.Config{PasswordFile: open}).CheckFiles(); !errors.As(err, &e) || !strings.Contains(e.Hint, "chmod") {
		t.Errorf("a password that everybody may read: %v", err)
	}
}
