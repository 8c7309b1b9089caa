package control_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/mail/mailtest"
)

// withMail is an installation that doesn't run, and the server that it sends by.
func withMail(t *testing.T) (*controltest.Installation, *mailtest.Server) {
	t.Helper()
	server, err := mailtest.Start(mailtest.Options{Username: "acme", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	dir := t.TempDir()
	in := controltest.New(t)
	in.SMTP = control.SMTP{Address: server.Addr(), From: "Acme <login@acme.example>", Username: "acme", PasswordFile: filepath.Join(dir, "password"), CAFile: filepath.Join(dir, "ca.pem")}
	for path, content := range map[string][]byte{in.SMTP.PasswordFile: []byte("secret\n"), in.SMTP.CAFile: server.CAPEM()} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return in, server
}

// admin reads a page of the admin listener.
func admin(t *testing.T, in *controltest.Installation, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + in.Plane.AdminAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
	}
	return string(body)
}

// N5: without its mail server a control plane starts and is ready; mail waits on the disk, a
// restart included, and goes when the server is back.
func TestN5_MailServerDown(t *testing.T) {
	in, server := withMail(t)
	server.Stop()
	in.Start()
	t.Cleanup(func() { in.Stop() })
	op := in.Operator()
	in.Tenant(op, "acme")
	made := in.Invite(op, "acme", "ana@acme.example", mezu.RoleDeveloper)
	waits := func() bool { return strings.Contains(admin(t, in, "/metrics"), "mezusphere_mail_waiting 1\n") }
	controltest.Eventually(t, "the metric to say so", waits)
	admin(t, in, "/readyz")
	tries := func(n int) func() bool {
		return func() bool { return strings.Count(in.Log.String(), "no mail can be sent") >= n }
	}
	controltest.Eventually(t, "a try", tries(1))
	in.Restart()
	controltest.Eventually(t, "the metric to say so again", waits)
	controltest.Eventually(t, "another try", tries(2))
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	in.Clock.Advance(2 * time.Minute)
	got, err := server.Wait(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m := got[0]; m.To != "ana@acme.example" || m.User != "acme" || !strings.Contains(m.Text, made.Link) || !strings.Contains(m.Subject(), "acme") {
		t.Errorf("got %+v", m)
	}
	controltest.Eventually(t, "an empty outbox", func() bool { return strings.Contains(admin(t, in, "/metrics"), "mezusphere_mail_sent_total 1\n") })
	for _, secret := range []string{made.Code, "ana@acme.example", "secret"} {
		if log := in.Log.String(); strings.Contains(log, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// An invitation that an earlier build put into the outbox is sent, too.
func TestMail_OfAnEarlierBuild(t *testing.T) {
	in := controltest.InstallWithStore(t)
	const id = "inv_0123456789abcdefghjkmnpqrs"
	in.Write("outbox/"+id, map[string]any{
		"id": id, "kind": "invitation", "to": "ana@acme.example", "link": "https://control.example/invitations#code=old", "organization": "acme", "role": "viewer",
		"from": "ben@acme.example", "created_at": time.Now(), "expires_at": time.Now().Add(time.Hour),
	})
	in.Stop()
	mails := make(chan control.Mail, 1)
	in.OnMail = func(m control.Mail) { mails <- m }
	in.Clock.Advance(11 * time.Minute) // the jobs ran at the first start
	in.Start()
	m := <-mails
	for _, want := range []string{"#code=old", "ben@", "acme"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the text lacks %s: %s", want, m.Text)
		}
	}
	if m.ID != id || m.To != "ana@acme.example" || m.Subject == "" {
		t.Errorf("got %+v", m)
	}
	controltest.Eventually(t, "an empty outbox", func() bool { return len(in.Keys("outbox/")) == 0 })
}
