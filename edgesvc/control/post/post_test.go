package post_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/post"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/record/recordtest"
	"github.com/mezusphere/mezu/edgesvc/mail/mailtest"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/testkit"
)

// fixture is an outbox and a mail server.
type fixture struct {
	t       *testing.T
	clock   *testkit.Clock
	records *record.Records
	store   store.Store
	server  *mailtest.Server
	smtp    post.SMTP
	log     *testkit.Buffer
}

func newFixture(t *testing.T, opts mailtest.Options) *fixture {
	t.Helper()
	clock := &testkit.Clock{}
	r := recordtest.Open(t, clock.Now, nil)
	server, err := mailtest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, clock: clock, records: r, store: r.Store.(store.Store), server: server, log: &testkit.Buffer{},
		smtp: post.SMTP{Address: server.Addr(), From: "login@acme.example", CAFile: ca}}
}

// courier makes one that isn't running, on the store or what lies over it.
func (f *fixture) courier(st store.Store) *post.Courier {
	f.t.Helper()
	deliver, err := post.BySMTP(f.smtp)
	if err != nil {
		f.t.Fatal(err)
	}
	return post.New(post.Config{Store: st, Deliver: deliver, Now: f.clock.Now, Log: slog.New(slog.NewTextHandler(f.log, nil))})
}

// run runs a courier until the test or stop ends it.
func (f *fixture) run(c *post.Courier) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	f.t.Cleanup(stop)
	return stop
}

// queue puts a mail to somebody into the outbox, and gives its id.
func (f *fixture) queue(to string, with ...func(*record.Mail)) string {
	f.t.Helper()
	m := record.Mail{ID: mezu.NewID(mezu.PrefixMail, f.clock.Now()), Kind: "reset", Directory: "dir_1", To: to, Subject: "Reset", Text: "A link.", HTML: "<p>A link.</p>", ExpiresAt: f.clock.Now().Add(30 * time.Minute)}
	for _, change := range with {
		change(&m)
	}
	_, err := f.records.Commit(f.t.Context(), record.Internal(), func(ch *record.Change) error {
		queued, err := f.records.QueueMail(f.t.Context(), ch, m)
		if err == nil && !queued {
			err = errors.New("was not queued")
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return m.ID
}

// left is what the outbox has, and its index.
func (f *fixture) left() (mails []record.Mail, index int) {
	f.t.Helper()
	err := record.Each(f.t.Context(), f.records, record.PrefixOutbox, func(m record.Record[record.Mail]) error {
		mails = append(mails, m.Value)
		return nil
	})
	page, listErr := f.store.List(f.t.Context(), "waiting/", "", 0)
	if err := errors.Join(err, listErr); err != nil {
		f.t.Fatal(err)
	}
	return mails, len(page.Records)
}

// empty waits until nothing is left.
func (f *fixture) empty() {
	f.t.Helper()
	controltest.Eventually(f.t, "an empty outbox", func() bool {
		mails, index := f.left()
		return len(mails)+index == 0
	})
}

// failed waits until the first mail was not taken so often.
func (f *fixture) failed(attempts int) record.Mail {
	f.t.Helper()
	var m record.Mail
	controltest.Eventually(f.t, fmt.Sprintf("attempt %d", attempts), func() bool {
		mails, _ := f.left()
		if len(mails) > 0 {
			m = mails[0]
		}
		return m.Attempts == attempts && m.ClaimedUntil.IsZero()
	})
	return m
}

// logged waits for a line of the log.
func (f *fixture) logged(what string) {
	f.t.Helper()
	controltest.Eventually(f.t, what+" in the log", func() bool { return strings.Contains(f.log.String(), what) })
}

// metric is the value of a series.
func (f *fixture) metric(c *post.Courier, name, reason string) float64 {
	f.t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (reason == "" || labelled(m, reason)) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	f.t.Fatalf("there is no %s of %q", name, reason)
	return 0
}

func labelled(m *dto.Metric, value string) bool {
	return len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == value
}

// counted waits for the value of a series.
func (f *fixture) counted(c *post.Courier, name, reason string, want float64) {
	f.t.Helper()
	controltest.Eventually(f.t, fmt.Sprint(name, " ", reason, " ", want), func() bool { return f.metric(c, name, reason) == want })
}

// Mails that were there and mails that come are sent, whole.
func TestCourier(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{})
	first := f.queue("ana@acme.example")
	c := f.courier(f.store)
	stop := f.run(c)
	if _, err := f.server.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.queue("ben@acme.example")
	got, err := f.server.Wait(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	f.empty()
	if m := got[0]; m.To != "ana@acme.example" || m.Header.Get("Message-ID") != "<"+first+"@acme.example>" || m.Subject() != "Reset" || m.Text != "A link." || m.HTML != "<p>A link.</p>" {
		t.Errorf("got %+v", m)
	}
	f.counted(c, "mezusphere_mail_sent_total", "", 2)
	f.counted(c, "mezusphere_mail_waiting", "", 0)
	stop()
	if _, err := f.server.Wait(t.Context(), 2); err != nil || len(f.server.Mails()) != 2 {
		t.Errorf("%d mails, %v", len(f.server.Mails()), err)
	}
}

// A server that greylists has the mail at the second try, which comes no sooner than a minute
// later.
func TestN5_Greylisted(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{Behaviour: mailtest.Behaviour{Greylist: true}})
	f.queue("ana@acme.example")
	c := f.courier(f.store)
	f.run(c)
	m := f.failed(1)
	if wait := m.NextAt.Sub(f.clock.Now()); wait < 50*time.Second || wait > 76*time.Second {
		t.Errorf("the next try comes in %s", wait)
	}
	f.counted(c, "mezusphere_mail_waiting", "", 1)
	f.clock.Advance(76 * time.Second)
	if _, err := f.server.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.empty()
	if n := f.metric(c, "mezusphere_mail_failed_total", "temporary"); n != 1 || f.server.Tries("ana@acme.example") != 2 {
		t.Errorf("%v failures, %d tries", n, f.server.Tries("ana@acme.example"))
	}
	if log := f.log.String(); strings.Contains(log, "ana@") {
		t.Errorf("the log has the address: %s", log)
	}
}

// A connection that is cut before the server says that it has the mail: the mail comes twice
// at worst, with the same Message-ID.
func TestN5_Cut(t *testing.T) {
	t.Parallel() // they wait, and compute little
	for _, stage := range []mailtest.Stage{mailtest.Data, mailtest.Taken} {
		t.Run(string(stage), func(t *testing.T) {
			f := newFixture(t, mailtest.Options{Behaviour: mailtest.Behaviour{Cut: stage, Cuts: 1}})
			f.queue("ana@acme.example")
			f.run(f.courier(f.store))
			f.failed(1)
			f.clock.Advance(76 * time.Second)
			f.empty()
			got := f.server.Mails()
			want := map[mailtest.Stage]int{mailtest.Data: 1, mailtest.Taken: 2}[stage]
			if len(got) != want || got[0].Header.Get("Message-ID") != got[len(got)-1].Header.Get("Message-ID") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A server without TLS, or with a wrong certificate, gets no mail and loses none; once it is
// right, the mail goes.
func TestN5_NoTrust(t *testing.T) {
	t.Parallel() // they wait, and compute little
	for name, opts := range map[string]mailtest.Options{"no TLS": {Plain: true}, "wrong certificate": {WrongName: true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, opts)
			f.queue("ana@acme.example")
			c := f.courier(f.store)
			stop := f.run(c)
			f.logged("no mail can be sent")
			f.counted(c, "mezusphere_mail_failed_total", "configuration", 1)
			f.clock.Advance(76 * time.Second)
			f.counted(c, "mezusphere_mail_failed_total", "configuration", 2)
			stop()
			if m := f.failed(0); len(f.server.Mails()) != 0 || m.To == "" {
				t.Errorf("the server has %+v, the outbox %+v", f.server.Mails(), m)
			}
			right := newFixture(t, mailtest.Options{})
			f.smtp = right.smtp
			f.run(f.courier(f.store))
			if _, err := right.server.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			f.empty()
		})
	}
}

// While the server is down all mail waits, without using its tries up, and goes within a
// quarter of an hour when it is back.
func TestN5_Down(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{})
	f.server.Stop()
	for i := range 10 {
		f.queue(fmt.Sprintf("u%d@acme.example", i), func(m *record.Mail) { m.ExpiresAt = f.clock.Now().Add(24 * time.Hour) })
	}
	c := f.courier(f.store)
	f.run(c)
	f.logged("no mail can be sent")
	f.counted(c, "mezusphere_mail_waiting", "", 10)
	lines := func() int { return strings.Count(f.log.String(), "no mail can be sent") }
	for i := range 3 {
		n := lines()
		f.clock.Advance(20 * time.Minute)
		controltest.Eventually(t, fmt.Sprintf("try %d", i+2), func() bool { return lines() > n })
	}
	if mails, _ := f.left(); len(mails) != 10 || mails[0].Attempts != 0 {
		t.Errorf("%d mails wait, %+v", len(mails), mails)
	}
	if err := f.server.Resume(); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(20 * time.Minute)
	if _, err := f.server.Wait(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	f.empty()
	f.logged("mail is sent again")
}

// A mail whose content has ended is not sent any more, whether the server is there or not.
func TestExpired(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{})
	f.server.Stop()
	f.queue("ana@acme.example")
	c := f.courier(f.store)
	f.run(c)
	f.logged("no mail can be sent")
	f.clock.Advance(30 * time.Minute)
	f.empty()
	f.counted(c, "mezusphere_mail_failed_total", "expired", 1)
	f.logged("a mail was given up")
}

// A mail that the server refuses for good is given up, and named by its id.
func TestRefused(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{Behaviour: mailtest.Behaviour{RefuseRecipient: &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no ana@acme.example here"}}})
	id := f.queue("ana@acme.example")
	c := f.courier(f.store)
	f.run(c)
	f.empty()
	f.logged(id)
	f.counted(c, "mezusphere_mail_failed_total", "permanent", 1)
	if log := f.log.String(); strings.Contains(log, "ana@") || !strings.Contains(log, "kind=reset") {
		t.Errorf("the log has %s", log)
	}
}

// An account that the server doesn't let send is a matter of settings: the mail waits for
// them until it ends.
func TestRelayingDenied(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{Behaviour: mailtest.Behaviour{RefuseRecipient: &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "relay access denied"}}})
	f.queue("ana@acme.example")
	f.run(f.courier(f.store))
	f.failed(1)
	f.server.Change(func(b *mailtest.Behaviour) { b.RefuseRecipient = nil })
	f.clock.Advance(76 * time.Second)
	if _, err := f.server.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.empty()
}

// A mail that was withdrawn while it waited is not sent.
func TestWithdrawn(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{Behaviour: mailtest.Behaviour{Greylist: true}})
	id := f.queue("ana@acme.example")
	c := f.courier(f.store)
	f.run(c)
	f.failed(1)
	_, err := f.records.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		f.records.WithdrawMail(ch, "dir_1", id)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.counted(c, "mezusphere_mail_waiting", "", 0)
	f.clock.Advance(76 * time.Second)
	f.queue("ben@acme.example")
	f.failed(1)
	f.clock.Advance(76 * time.Second)
	if got, err := f.server.Wait(t.Context(), 1); err != nil || len(got) != 1 || got[0].To != "ben@acme.example" {
		t.Errorf("got %+v, %v", got, err)
	}
	f.empty()
}

// dying is a store that takes no removal, as if the process ended before it.
type dying struct {
	store.Store
	refused atomic.Int64
}

// Commit implements store.Store.
func (s *dying) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	for _, o := range txn.Ops {
		if o.Delete {
			s.refused.Add(1)
			return "", store.ErrUnavailable
		}
	}
	return s.Store.Commit(ctx, txn)
}

// A courier that dies between sending a mail and removing it: the next one sends it once
// more, when the claim has ended, and that is all.
func TestN5_KilledAfterSending(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{})
	f.queue("ana@acme.example")
	broken := &dying{Store: f.store}
	stop := f.run(f.courier(broken))
	if _, err := f.server.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	controltest.Eventually(t, "a refused removal", func() bool { return broken.refused.Load() > 0 })
	stop()
	f.run(f.courier(f.store))
	f.queue("ben@acme.example")
	if got, err := f.server.Wait(t.Context(), 2); err != nil || got[1].To != "ben@acme.example" {
		t.Fatalf("before the claim ended: %+v, %v", got, err)
	}
	f.clock.Advance(4 * time.Minute)
	got, err := f.server.Wait(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	f.empty()
	if len(f.server.Mails()) != 3 || got[0].Header.Get("Message-ID") != got[2].Header.Get("Message-ID") {
		t.Errorf("got %+v", got)
	}
}

// A courier that ends while a server hangs leaves the mail to the next one, which sends it.
func TestN5_EndsInTheMiddle(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{Behaviour: mailtest.Behaviour{Hang: mailtest.Recipient}})
	f.queue("ana@acme.example")
	stop := f.run(f.courier(f.store))
	if err := f.server.Reach(t.Context(), mailtest.Recipient, 1); err != nil {
		t.Fatal(err)
	}
	stop()
	f.failed(1)
	f.server.Stop()
	f.server.Change(func(b *mailtest.Behaviour) { b.Hang = "" })
	if err := f.server.Resume(); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(76 * time.Second)
	f.run(f.courier(f.store))
	if _, err := f.server.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.empty()
}

// Couriers share the outbox: each mail is sent once.
func TestTwoCouriers(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{})
	const mails = 40
	for i := range mails / 2 {
		f.queue(fmt.Sprintf("u%d@acme.example", i))
	}
	f.run(f.courier(f.store))
	f.run(f.courier(f.store))
	for i := range mails / 2 {
		f.queue(fmt.Sprintf("v%d@acme.example", i))
	}
	f.empty()
	to := map[string]int{}
	for _, m := range f.server.Mails() {
		to[m.To]++
	}
	if len(to) != mails || len(f.server.Mails()) != mails {
		t.Errorf("%d mails to %d addresses", len(f.server.Mails()), len(to))
	}
}

// A mail that hangs delays no other, and a directory with many none of another.
func TestNoneDelaysAnother(t *testing.T) {
	t.Parallel() // they wait, and compute little
	f := newFixture(t, mailtest.Options{})
	release := make(chan struct{})
	var order []string
	var mu sync.Mutex
	var stuck atomic.Int64
	c := post.New(post.Config{Store: f.store, Now: f.clock.Now, Log: slog.New(slog.DiscardHandler), Deliver: func(ctx context.Context, m post.Mail) error {
		if m.Kind == "stuck" {
			stuck.Add(1)
			<-release
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		order = append(order, m.Directory)
		return nil
	}})
	for range 3 {
		f.queue("ana@acme.example", func(m *record.Mail) { m.Kind, m.Directory = "stuck", "dir_0" })
	}
	f.run(c)
	controltest.Eventually(t, "three mails that hang", func() bool { return stuck.Load() == 3 })
	// A fourth fills the last lane until all others are queued.
	f.queue("ana@acme.example", func(m *record.Mail) { m.Kind, m.Directory = "stuck", "dir_0" })
	controltest.Eventually(t, "a fourth", func() bool { return stuck.Load() == 4 })
	for range 20 {
		f.queue("ana@acme.example")
	}
	f.queue("ben@acme.example", func(m *record.Mail) { m.Directory = "dir_2" })
	controltest.Eventually(t, "all of them to wait", func() bool { return f.metric(c, "mezusphere_mail_waiting", "") == 25 })
	close(release)
	f.empty()
	mu.Lock()
	defer mu.Unlock()
	at := -1
	for i, dir := range order {
		if dir == "dir_2" {
			at = i
		}
	}
	if len(order) != 21 || at < 0 || at > 4 {
		t.Errorf("the other directory's mail came as number %d of %d", at+1, len(order))
	}
}
