package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/testkit"
)

// In a log of GitHub Actions what opens something is masked before it is shown, as lines and
// as JSON.
func TestDevOutput_Masks(t *testing.T) {
	for _, json := range []bool{false, true} {
		var all testkit.Buffer
		o := dev.Options{Invocation: &invocation.Invocation{Streams: terminal.Streams{Out: &all, Err: &all, Masking: true}}, JSON: json}
		d := newDevOutput(o, slog.New(slog.DiscardHandler))
		d.ready(mezu.Event{Event: mezu.EventReady, Token: "mezu_a", LoginLink: "https://localhost/link#b", Mailbox: "https://localhost/c"}, false, 1)
		d.mail(control.Mail{To: "ana@acme.example", Text: "Go to https://localhost/verify#d now."})
		for _, secret := range []string{"mezu_a", "https://localhost/link#b", "https://localhost/c", "https://localhost/verify#d"} {
			if first := strings.Index(all.String(), secret); first < 0 || !strings.HasSuffix(all.String()[:first], "::add-mask::") {
				t.Errorf("JSON %v: %s is shown first: %s", json, secret, all.String())
			}
		}
	}
}

// What is in the way is said with all that helps.
func TestDevOutput_Hindered(t *testing.T) {
	var out, said bytes.Buffer
	d := newDevOutput(dev.Options{Invocation: &invocation.Invocation{Streams: terminal.Streams{Out: &out, Err: &said}}}, slog.New(slog.DiscardHandler))
	d.hindered(mezu.Event{Event: mezu.EventError, Message: "Vite refuses the name\x1b[2J", Hint: "mezu tunnel 5173 --host-header target"}, []string{"mezu tunnel 5173 --host-header target", "in vite.config:\nserver: {}"})
	if want := "warning: Vite refuses the name\\x1b[2J\n  try: mezu tunnel 5173 --host-header target, or in vite.config:\n       server: {}\n"; said.String() != want || out.Len() > 0 {
		t.Errorf("%q %q", said.String(), out.String())
	}
}
