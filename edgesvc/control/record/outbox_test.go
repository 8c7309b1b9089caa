package record_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/record/recordtest"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/testkit"
)

// reset is the mail of a reset of a password.
func reset(now time.Time) record.Mail {
	return record.Mail{Kind: "reset", Directory: "dir_1", Mailbox: "blind", To: "ana@acme.example", Language: "en", Subject: "Reset", Text: "A link.", HTML: "<p>A link.</p>", ExpiresAt: now.Add(30 * time.Minute)}
}

// queue queues a mail in a change of its own.
func queue(ctx context.Context, r *record.Records, m record.Mail) (queued bool, err error) {
	_, err = r.Commit(ctx, record.Internal(), func(ch *record.Change) (err error) {
		queued, err = r.QueueMail(ctx, ch, m)
		return err
	})
	return queued, err
}

func keys(t *testing.T, r *record.Records, prefix string) []string {
	t.Helper()
	page, err := r.Store.List(t.Context(), prefix, "", store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, rec := range page.Records {
		out = append(out, rec.Key)
	}
	return out
}

// outbox counts what lies in the outbox and beside it.
func outbox(t *testing.T, r *record.Records) string {
	t.Helper()
	return fmt.Sprint(len(keys(t, r, "outbox/")), len(keys(t, r, "waiting/")), len(keys(t, r, "mailbox/")))
}

// W7: of a thousand requests for one mailbox five become mails, and all get the same answer.
// An hour later there is one again.
func TestW7_OneMailbox(t *testing.T) {
	clock := testkit.StillClock(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC))
	r := recordtest.Open(t, clock.Now, nil)
	var mails atomic.Int64
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			// Where the machine is busy, a thousand at once outlast the patience of a commit.
			queued, err := queue(t.Context(), r, reset(clock.Now()))
			for mezu.CodeOf(err) == mezu.CodeUnavailable {
				queued, err = queue(t.Context(), r, reset(clock.Now()))
			}
			if err != nil {
				t.Error(err)
			}
			if queued {
				mails.Add(1)
			}
		})
	}
	all.Wait()
	if got := outbox(t, r); mails.Load() != record.MailsAnHour || got != "5 5 1" {
		t.Errorf("%d mails were queued; outbox, index and counters have %s", mails.Load(), got)
	}
	other := reset(clock.Now())
	other.Mailbox = "another"
	uncounted := reset(clock.Now())
	uncounted.Mailbox = ""
	for _, m := range []record.Mail{other, uncounted} {
		if queued, err := queue(t.Context(), r, m); err != nil || !queued {
			t.Errorf("mailbox %q: %v, %v", m.Mailbox, queued, err)
		}
	}
	clock.Advance(59 * time.Minute)
	if queued, err := queue(t.Context(), r, reset(clock.Now())); err != nil || queued {
		t.Errorf("within the hour: %v, %v", queued, err)
	}
	clock.Advance(time.Minute)
	if queued, err := queue(t.Context(), r, reset(clock.Now())); err != nil || !queued {
		t.Errorf("an hour later: %v, %v", queued, err)
	}
}

// Two mails of one change count as two.
func TestMail_TwoOfAChange(t *testing.T) {
	r := recordtest.Open(t, time.Now, nil)
	queued := 0
	for range 4 {
		_, err := r.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
			for range 2 {
				ok, err := r.QueueMail(t.Context(), ch, reset(time.Now()))
				if err != nil {
					return err
				}
				if ok {
					queued++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := outbox(t, r); queued != record.MailsAnHour || got != "5 5 1" {
		t.Errorf("%d were queued; outbox, index and counters have %s", queued, got)
	}
}

// A mail that is only pretended counts for its mailbox, and leaves one record that nobody
// sends, until an hour later.
func TestMail_Pretended(t *testing.T) {
	clock := testkit.StillClock(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC))
	r := recordtest.Open(t, clock.Now, nil)
	pretend := func() {
		t.Helper()
		if _, err := r.Commit(t.Context(), record.Internal(), func(ch *record.Change) error { return r.PretendMail(t.Context(), ch, reset(clock.Now())) }); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (n int) {
		t.Helper()
		if err := record.Each(t.Context(), r, "pretended/", func(record.Record[record.Mail]) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 2 * record.MailsAnHour {
		pretend()
	}
	if got := outbox(t, r); got != "0 0 1" || left() != 2 {
		t.Errorf("outbox, index and counters have %s, %d are left", got, left())
	}
	if queued, err := queue(t.Context(), r, reset(clock.Now())); err != nil || queued {
		t.Errorf("a mailbox that had its mails: %v, %v", queued, err)
	}
	clock.Advance(time.Hour)
	sweep(t, r)
	if got := outbox(t, r); got != "0 0 0" || left() != 0 {
		t.Errorf("an hour later: outbox, index and counters have %s, %d are left", got, left())
	}
}

// What nobody can send does not fill the store.
func TestMail_WaitingIsBounded(t *testing.T) {
	r := recordtest.Open(t, time.Now, nil)
	for i := 0; i < record.MaxWaiting; {
		var txn store.Txn
		for range min(store.MaxOps, record.MaxWaiting-i) {
			txn.Ops = append(txn.Ops, store.Op{Key: fmt.Sprintf("waiting/dir_1/eml_%04d", i), Value: []byte("{}")})
			i++
		}
		if _, err := r.Housekeep(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
	}
	if queued, err := queue(t.Context(), r, reset(time.Now())); err != nil || queued {
		t.Errorf("one too many: %v, %v", queued, err)
	}
	other := reset(time.Now())
	other.Directory = "dir_2"
	if queued, err := queue(t.Context(), r, other); err != nil || !queued {
		t.Errorf("another directory: %v, %v", queued, err)
	}
}

func TestMail_Refused(t *testing.T) {
	r := recordtest.Open(t, time.Now, nil)
	for what, change := range map[string]func(*record.Mail){
		"address":  func(m *record.Mail) { m.To = "ana@acme.example\r\nBcc: eve@evil.example" },
		"subject":  func(m *record.Mail) { m.Subject = strings.Repeat("a", record.MaxMailSubject+1) },
		"no text":  func(m *record.Mail) { m.Text = "" },
		"size":     func(m *record.Mail) { m.HTML = strings.Repeat("a", record.MaxMail) },
		"is ended": func(m *record.Mail) { m.ExpiresAt = time.Now().Add(-time.Second) },
		"mailbox":  func(m *record.Mail) { m.Mailbox = "a/b" },
	} {
		m := reset(time.Now())
		change(&m)
		if queued, err := queue(t.Context(), r, m); err == nil || queued {
			t.Errorf("%s: queued", what)
		}
	}
	if got := outbox(t, r); got != "0 0 0" {
		t.Errorf("outbox, index and counters have %s", got)
	}
}

// sweep does the job of that name.
func sweep(t *testing.T, r *record.Records) {
	t.Helper()
	for _, j := range r.Jobs() {
		if j.Name == "sweeping the outbox" {
			if err := j.Run(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// A mail that was withdrawn leaves nothing, nor does one that ended while nobody sent any.
func TestMail_Goes(t *testing.T) {
	clock := testkit.StillClock(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC))
	r := recordtest.Open(t, clock.Now, nil)
	m := reset(clock.Now())
	m.ID = mezu.NewID(mezu.PrefixMail, clock.Now())
	if _, err := queue(t.Context(), r, m); err != nil {
		t.Fatal(err)
	}
	_, err := r.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		r.WithdrawMail(ch, m.Directory, m.ID)
		return nil
	})
	if got := outbox(t, r); err != nil || got != "0 0 1" {
		t.Errorf("withdrawn: outbox, index and counters have %s, %v", got, err)
	}
	if _, err := queue(t.Context(), r, m); err != nil {
		t.Fatal(err)
	}
	clock.Advance(30 * time.Minute)
	sweep(t, r)
	if got := outbox(t, r); got != "1 1 1" {
		t.Errorf("just ended: outbox, index and counters have %s", got)
	}
	clock.Advance(30 * time.Minute)
	sweep(t, r)
	if got := outbox(t, r); got != "0 0 0" {
		t.Errorf("swept: outbox, index and counters have %s", got)
	}
}
