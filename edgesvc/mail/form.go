package mail

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// What a message's own words in header fields may be.
var (
	idForm       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	languageForm = regexp.MustCompile(`^[A-Za-z0-9-]{0,35}$`)
)

const (
	// longSubject is what fits a line of a header, which has 78 characters with its name.
	longSubject = 60
	// encodedWord is how many bytes are encoded in one word, which has 75 characters at most
	// (RFC 2047), and in a line fewer.
	encodedWord = 39
)

// form is the mail as it goes over the wire. Whatever has a line break or something else
// that means anything in a header is encoded (RFC 2047), so that a text stays a text.
func form(m Message, from *netmail.Address, domain, to string) ([]byte, error) {
	var out bytes.Buffer
	field := func(name, value string) { fmt.Fprintf(&out, "%s: %s\r\n", name, value) }
	field("From", from.String())
	field("To", "<"+to+">")
	field("Subject", subject(m.Subject))
	field("Date", m.Date.UTC().Format(time.RFC1123Z))
	field("Message-ID", "<"+m.ID+"@"+domain+">")
	field("Auto-Submitted", "auto-generated") // RFC 3834: nobody is away from an answer
	if m.Language != "" {
		field("Content-Language", m.Language)
	}
	field("MIME-Version", "1.0")
	if m.HTML == "" {
		field("Content-Type", plain)
		field("Content-Transfer-Encoding", quoted)
		out.WriteString("\r\n")
		err := write(&out, m.Text)
		return out.Bytes(), err
	}
	parts := multipart.NewWriter(&out)
	if err := parts.SetBoundary(rand.Text()); err != nil {
		return nil, err
	}
	field("Content-Type", mime.FormatMediaType("multipart/alternative", map[string]string{"boundary": parts.Boundary()}))
	out.WriteString("\r\n")
	for _, p := range []struct{ is, text string }{{plain, m.Text}, {page, m.HTML}} { // the best comes last (RFC 2046)
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {p.is}, "Content-Transfer-Encoding": {quoted}})
		if err == nil {
			err = write(w, p.text)
		}
		if err != nil {
			return nil, err
		}
	}
	err := parts.Close()
	return out.Bytes(), err
}

// Values of fields.
const (
	plain  = "text/plain; charset=utf-8"
	page   = "text/html; charset=utf-8"
	quoted = "quoted-printable"
)

// write writes a text in quoted-printable, which every server takes.
func write(w io.Writer, text string) error {
	q := quotedprintable.NewWriter(w)
	if _, err := io.WriteString(q, text); err != nil {
		return err
	}
	return q.Close()
}

// subject is a subject for its field: as it is if it is short and plain, else encoded in
// words of a line each.
func subject(s string) string {
	special := func(r rune) bool { return r < ' ' || r > '~' }
	if len(s) <= longSubject && !strings.ContainsFunc(s, special) && !strings.Contains(s, "=?") {
		return s
	}
	var words []string
	for rest := strings.ToValidUTF8(s, "\uFFFD"); rest != ""; {
		n := 0
		for i, r := range rest {
			if i+utf8.RuneLen(r) > encodedWord {
				break
			}
			n = i + utf8.RuneLen(r)
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(rest[:n]))+"?=")
		rest = rest[n:]
	}
	return strings.Join(words, "\r\n ")
}
