package member_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/edge/member"
	"github.com/mezusphere/mezu/trust"
)

func TestEnrolmentRefusals(t *testing.T) {
	c := newControl(t)
	used := c.token()
	first := c.configure(t.TempDir())
	first.JoinToken = func() (string, error) { return used, nil }
	e := open(t, first)
	e.run()
	eventually(t, "enrolled", e.Ready)
	for name, token := range map[string]func() (string, error){
		"none":       nil,
		"empty":      func() (string, error) { return "", nil },
		"unreadable": func() (string, error) { return "", os.ErrPermission },
		"used":       func() (string, error) { return used, nil },
		"foreign":    func() (string, error) { return mezu.NewToken(mezu.TokenJoin), nil },
	} {
		cfg := c.configure(t.TempDir())
		cfg.JoinToken = token
		r, err := member.Open(cfg)
		must(t, err)
		err = r.Run(t.Context())
		var refusal *mezu.Error
		if !errors.As(err, &refusal) || refusal.Code != mezu.CodeUnauthenticated || refusal.Hint == "" {
			t.Errorf("%s: run says %v", name, err)
		}
		must(t, r.Close())
	}
}

func TestEnrolmentWaitsForTheControlPlane(t *testing.T) {
	c := newControl(t)
	c.refused(api.OpEnrolEdge, mezu.Errorf(mezu.CodeUnavailable, "starting"))
	cfg := c.configure(t.TempDir())
	cfg.JoinToken = func() (string, error) { return c.token(), nil }
	e := open(t, cfg)
	e.run()
	eventually(t, "it tries again", func() bool { return c.count(api.OpEnrolEdge) >= 2 })
	if e.Ready() || e.Host("shop-acme."+testDomain) != nil || e.Trust() != nil {
		t.Error("serves before it enrolled")
	}
	if _, err := e.PeerCertificate(); err == nil {
		t.Error("has a certificate before it enrolled")
	}
	c.stop()
	eventually(t, "it goes on trying", func() bool { return e.log.has("unreachable") })
	c.refused(api.OpEnrolEdge, nil)
	c.restart()
	eventually(t, "enrolled", e.Ready)
	if info, err := os.Stat(filepath.Join(cfg.StateDir, "identity.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("identity file: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, "enrolment-key.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the enrolment's key was left behind")
	}
}

// TestEnrolmentIsTriedByItsCause: a name that doesn't resolve is looked up a few times where a
// control plane that restarts is asked dozens of times.
func TestEnrolmentIsTriedByItsCause(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		cause       error
		least, most int
	}{{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "control.invalid", IsNotFound: true}}, 2, 4}, {refused, 20, 1000}} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			m, err := member.Open(member.Config{StateDir: t.TempDir(), Control: "https://control.invalid:7443", Name: "edge-1", TunnelAddress: "192.0.2.1:443", Version: "1.0",
				JoinToken: func() (string, error) { return mezu.NewToken(mezu.TokenJoin), nil },
				Dial: func(context.Context, string, string) (net.Conn, error) {
					tries++
					return nil, c.cause
				}})
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			must(t, m.Run(ctx))
			must(t, m.Close())
			if tries < c.least || tries > c.most {
				t.Errorf("%v: tried %d times in four seconds", c.cause, tries)
			}
		})
	}
}

func TestK11CAFile(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	for name, content := range map[string]string{"empty": "", "garbage": "no certificate"} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		cfg := c.configure(t.TempDir())
		cfg.CAFile = path
		if _, err := member.Open(cfg); err == nil {
			t.Errorf("a CA file that is %s is taken", name)
		}
	}
	cfg := c.configure(t.TempDir())
	cfg.CAFile = filepath.Join(dir, "missing")
	if _, err := member.Open(cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing CA file: %v", err)
	}
	// Another installation's CA: no token is sent.
	foreign := newControl(t)
	cfg.CAFile = foreign.caFile
	cfg.JoinToken = func() (string, error) { return c.token(), nil }
	r, err := member.Open(cfg)
	must(t, err)
	defer r.Close()
	var refusal *mezu.Error
	if err := r.Run(t.Context()); !errors.As(err, &refusal) || refusal.Hint == "" {
		t.Errorf("run under a foreign CA says %v", err)
	}
	if n := c.count(api.OpEnrolEdge); n != 0 {
		t.Errorf("%d enrolments reached a control plane that is not trusted", n)
	}
}

func TestUnusableIdentityIsAnError(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	e := c.startEdge(dir)
	e.stop()
	path := filepath.Join(dir, "identity.json")
	content, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, content[:len(content)/2], 0o600))
	var refusal *mezu.Error
	if _, err := member.Open(e.cfg); !errors.As(err, &refusal) || refusal.Hint == "" {
		t.Fatalf("open says %v", err)
	}
	must(t, os.WriteFile(path, content, 0o600))
	again := open(t, e.cfg) // the lock was given back
	if again.ID() != e.ID() {
		t.Error("another identity")
	}
}

func TestK10RenewsFromOneDayOfAge(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	e := c.startEdge(dir)
	first, err := e.PeerCertificate()
	must(t, err)
	e.stop()
	if c.count(api.OpRenewEdge) != 0 {
		t.Fatal("renewed too early")
	}
	c.clock.Advance(mezu.RenewAge + 4*time.Hour)
	c.stop()
	again := open(t, e.cfg)
	again.run()
	eventually(t, "trouble is told", func() bool { return again.log.has("renewing the certificate; trying again") })
	if cert, err := again.PeerCertificate(); err != nil || trust.Serial(cert.Leaf) != trust.Serial(first.Leaf) {
		t.Errorf("the old certificate is not in use meanwhile: %v", err)
	}
	c.restart()
	eventually(t, "renewed", func() bool {
		cert, err := again.PeerCertificate()
		return err == nil && trust.Serial(cert.Leaf) != trust.Serial(first.Leaf)
	})
	second, err := again.PeerCertificate()
	must(t, err)
	if second.Leaf.PublicKey == first.Leaf.PublicKey || again.ID() != e.ID() {
		t.Error("renewal changed the identity")
	}
	eventually(t, "the stream shows the new certificate", func() bool {
		return look(c, func() bool { return slices.Contains(c.serials, trust.Serial(second.Leaf)) })
	})
	again.stop()
	last := open(t, e.cfg)
	if cert, err := last.PeerCertificate(); err != nil || trust.Serial(cert.Leaf) != trust.Serial(second.Leaf) {
		t.Errorf("the renewed certificate is not on disk: %v", err)
	}
}

func TestExpiredCertificateIsNeverShown(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.refused(api.OpRenewEdge, mezu.Errorf(mezu.CodeUnavailable, "not now"))
	e.stop()
	c.clock.Advance(mezu.LeafLife - time.Hour)
	c.stop()
	c.restart()
	late := open(t, e.cfg)
	late.run()
	eventually(t, "the end is announced", func() bool { return late.log.has("certificate ends soon") })
	eventually(t, "ready an hour before the end", late.Ready)
	late.stop()
	c.clock.Advance(2 * time.Hour)
	cfg := e.cfg
	cfg.JoinToken = nil
	ended := open(t, cfg)
	if _, err := ended.PeerCertificate(); err == nil || ended.Ready() {
		t.Error("an expired certificate is shown")
	}
	var refusal *mezu.Error
	if err := ended.Run(t.Context()); !errors.As(err, &refusal) || refusal.Hint == "" {
		t.Errorf("run says %v", err)
	}
	must(t, ended.Close())
	// With a join token the edge enrols anew under the same trust root.
	c.stop()
	c.restart()
	anew := open(t, e.cfg)
	anew.run()
	eventually(t, "enrolled anew", func() bool { _, err := anew.PeerCertificate(); return err == nil })
	if anew.ID() != e.ID() {
		t.Error("the control plane did not know the edge by its key")
	}
}

// An edge that enrols anew under another domain serves its endpoints there, and what was found
// under the domain before is not in force any more.
func TestEnrolsAnewUnderAnotherDomain(t *testing.T) {
	c := newControl(t)
	c.bundle(newEnvironment(), "shop-acme", "/")
	e := c.startEdge(t.TempDir())
	e.stop()
	c.stop()
	c.clock.Advance(mezu.LeafLife + time.Hour)
	look(c, func() string { c.domain = "moved.example"; return "" })
	c.restart()
	moved := open(t, e.cfg)
	site := moved.Site("shop-acme." + testDomain)
	if site == nil || site.Table() == nil {
		t.Fatal("the disk serves nothing")
	}
	moved.run()
	eventually(t, "the host of before is not served", func() bool { return site.Table() == nil && moved.Host("shop-acme."+testDomain) == nil })
	eventually(t, "the endpoint is served under the new domain", func() bool { return moved.Host("shop-acme.moved.example") != nil })
}
