// Package mail hands one mail to an SMTP server: a connection that is encrypted and
// verified, the transaction, and what its failure means.
//
// What lives here: that transport, its settings and the form of a mail. What may not: a queue
// or another try (package post), and the texts of mails. Only edgesvc/control and its folders
// import it, and cmd for the settings.
//
// The client is that of go-smtp: it tells the answers of the server by their codes, and asks
// for SMTPUTF8 where an address needs it and nowhere else.
package mail

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"
)

// Message is one mail.
type Message struct {
	// ID and the domain of the sender are the Message-ID: a mail that was sent twice has the
	// same. It has letters, digits, '_', '-' and '.'.
	ID string
	To string
	// Language is that of the texts, such as en; if empty, nothing is said.
	Language string
	Subject  string
	Text     string
	// HTML is the same as Text, as a page; if empty, Text alone is sent.
	HTML string
	Date time.Time
}

// Kind says what is to be done about a mail that was not sent.
type Kind string

const (
	// Temporary: it may be sent later.
	Temporary Kind = "temporary"
	// Permanent: nobody will ever take it.
	Permanent Kind = "permanent"
	// Configuration: somebody has to change settings, here or at the server.
	Configuration Kind = "configuration"
)

// Error is why a mail was not sent.
type Error struct {
	Kind Kind
	// Every says that no mail can be sent at the moment; else it is about this mail.
	Every bool
	// Stage is what was being done, in a gerund.
	Stage string
	Cause error
}

// maxShown bounds what is shown of a server's answer.
const maxShown = 200

// Error is for the log. Of an answer that is about one mail it has the code only, because
// servers repeat the address in their words.
func (e *Error) Error() string {
	var answer *smtp.SMTPError
	if !errors.As(e.Cause, &answer) {
		return e.Stage + ": " + printable(e.Cause.Error())
	}
	code := fmt.Sprint(answer.Code)
	if answer.EnhancedCode[0] > 0 {
		code += fmt.Sprintf(" %d.%d.%d", answer.EnhancedCode[0], answer.EnhancedCode[1], answer.EnhancedCode[2])
	}
	if !e.Every {
		return fmt.Sprintf("%s: the server answers %s", e.Stage, code)
	}
	return fmt.Sprintf("%s: the server answers %s %s", e.Stage, code, printable(answer.Message))
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// printable is a text of a peer for one line of a log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}
