package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control"
)

// maxKept is how many mails of a run are kept, the last ones: a page of them can be read.
const maxKept = 50

// mailbox has the mails of a run in memory, and a page for the developer, who has the
// mailboxes of all users here. Whoever knows the path may read it. It is safe for concurrent
// use.
type mailbox struct {
	path string

	mu    sync.Mutex
	mails []kept // the last one first
}

// kept is a mail as the page shows it.
type kept struct {
	Time        time.Time
	To, Subject string
	Text        []piece
}

// piece is text, or a link.
type piece struct {
	Text string
	Link bool
}

func newMailbox() *mailbox { return &mailbox{path: "/dev/mail/" + rand.Text()} }

// add keeps a mail.
func (b *mailbox) add(m control.Mail, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails = slices.Insert(b.mails, 0, kept{at, m.To, m.Subject, pieces(m.Text)})
	b.mails = b.mails[:min(len(b.mails), maxKept)]
}

// pieces finds the links of a text.
func pieces(text string) []piece {
	var out []piece
	end := 0
	for _, at := range address.FindAllStringIndex(text, -1) {
		out = append(out, piece{Text: text[end:at[0]]}, piece{text[at[0]:at[1]], true})
		end = at[1]
	}
	return append(out, piece{Text: text[end:]})
}

//go:embed mailbox.html
var mailboxSource string

var mailboxPage = template.Must(template.New("mailbox").Parse(mailboxSource))

// mailboxStyle is all that the page shows itself by.
func mailboxStyle() string {
	_, after, _ := strings.Cut(mailboxSource, "<style>")
	style, _, _ := strings.Cut(after, "</style>")
	return style
}

// ServeHTTP shows the mails. What stands in them comes from strangers: nothing of it runs, and
// links tell nobody the path of this page.
func (b *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The mailbox takes GET.", http.StatusMethodNotAllowed)
		return
	}
	b.mu.Lock()
	mails := slices.Clone(b.mails)
	b.mu.Unlock()
	var page bytes.Buffer
	if err := mailboxPage.Execute(&page, mails); err != nil {
		http.Error(w, "The mailbox can't be shown.", http.StatusInternalServerError)
		return
	}
	style := sha256.Sum256([]byte(mailboxStyle()))
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(style[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox",
	} {
		w.Header().Set(name, value)
	}
	_, _ = w.Write(page.Bytes()) // to a browser that may be gone
}
