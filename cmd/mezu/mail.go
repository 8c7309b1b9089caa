package main

import (
	"regexp"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/edgesvc/control"
)

// address finds links in the text of a mail.
var address = regexp.MustCompile(`https?://\S+`)

// mail shows a mail to the developer, who has the mailboxes of all users here.
func (d *devOutput) mail(m control.Mail) {
	d.mu.Lock()
	defer d.mu.Unlock()
	links := address.FindAllString(m.Text, -1)
	d.Mask(links...)
	if d.JSON {
		d.events.Write(mezu.Event{Event: mezu.EventMail, To: m.To, Subject: m.Subject, Links: links, Text: m.Text})
		return
	}
	d.Sayf("mail to %s: %s", terminal.Clean(m.To), terminal.Clean(m.Subject))
	for _, l := range links {
		d.Sayf("  %s", terminal.Clean(l))
	}
}
