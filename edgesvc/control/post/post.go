// Package post sends what lies in the outbox. Each control plane has a courier; they share
// the outbox, and a mail is sent by the one that claims it.
//
// What lives here: who sends a mail, when it is tried again, and when it is given up. What
// may not: the texts of mails and what they tell of, and SMTP (package mail). Only control
// imports it.
//
// A mail is removed after it was sent, so that none is lost: if the courier ends in between,
// the mail is sent once more, with the same Message-ID.
package post

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/mail"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// When a mail is tried again.
const (
	// firstWait follows the first failure, and each later wait is twice as long: a server that
	// greylists takes the second try after some minutes.
	firstWait = time.Minute
	// lastWait is the longest wait.
	lastWait = 4 * time.Hour
	// lastPause is the longest wait for a server that takes no mail at all. It is shorter, so
	// that mail goes soon after the server came back.
	lastPause = 15 * time.Minute
	// lookEvery is how often what waits is looked at, and how long a mail rests after a try.
	lookEvery = 250 * time.Millisecond
	// followPause lies between two tries to follow the outbox, storePause between two to
	// write to it.
	followPause = 5 * time.Second
	storePause  = time.Second
)

const (
	// claimTime is how long a mail belongs to the courier that sends it. If that one dies,
	// another sends the mail then.
	claimTime = mail.SendTime + time.Minute
	// leaveTime is what a mail gets that is being sent while the courier ends.
	leaveTime = 3 * time.Second
	// lanes is how many mails one courier sends at once, so that one slow recipient delays
	// nobody. Providers allow ten connections and more.
	lanes = 4
)

// SMTP is how mail is sent.
type SMTP = mail.Config

// Mail is a mail in the outbox.
type Mail = record.Mail

// Deliver hands a mail over. Its error tells by mail.Error what is to be done; any other is
// temporary.
type Deliver func(context.Context, Mail) error

// BySMTP delivers to an SMTP server.
func BySMTP(cfg SMTP) (Deliver, error) {
	sender, err := mail.New(cfg)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, m Mail) error {
		return sender.Send(ctx, mail.Message{ID: m.ID, To: m.To, Language: m.Language, Subject: m.Subject, Text: m.Text, HTML: m.HTML, Date: m.CreatedAt})
	}, nil
}

// Config is what a courier works with.
type Config struct {
	// Store has the outbox.
	Store   store.Store
	Deliver Deliver
	Now     func() time.Time
	Log     *slog.Logger
}

// Courier sends mails. New makes one, Run runs it.
type Courier struct {
	cfg     Config
	waiting atomic.Int64
	gauge   prometheus.GaugeFunc
	sent    prometheus.Counter
	failed  *prometheus.CounterVec
}

// Reasons of failures, beside the kinds of package mail.
const reasonExpired = "expired"

// New makes a courier. It starts nothing.
func New(cfg Config) *Courier {
	c := &Courier{
		cfg:    cfg,
		sent:   prometheus.NewCounter(prometheus.CounterOpts{Name: "mezusphere_mail_sent_total", Help: "Mails that were handed over."}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mezusphere_mail_failed_total", Help: "Tries that failed; after permanent and expired ones the mail was given up."}, []string{"reason"}),
	}
	c.gauge = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mezusphere_mail_waiting", Help: "Mails that wait to be sent."}, func() float64 { return float64(c.waiting.Load()) })
	for _, reason := range []string{string(mail.Temporary), string(mail.Permanent), string(mail.Configuration), reasonExpired} {
		c.failed.WithLabelValues(reason)
	}
	return c
}

// Collectors are the courier's metrics.
func (c *Courier) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.gauge, c.sent, c.failed}
}

// Run sends mails until ctx ends.
func (c *Courier) Run(ctx context.Context) {
	for {
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		c.cfg.Log.Warn("following the outbox", "error", err)
		if backoff.Sleep(ctx, followPause) != nil {
			return
		}
	}
}

// follow sends what there is and what comes, until ctx or the watch ends. Before it returns,
// what is being sent has ended.
func (c *Courier) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := newQueue()
	from, err := c.list(ctx, q)
	if err != nil {
		return err
	}
	watcher, err := c.cfg.Store.Watch(ctx, record.PrefixOutbox, from)
	if err != nil {
		return err
	}
	ended := make(chan outcome)
	defer func() {
		cancel()
		for range watcher.Events() {
		}
		for range q.busy {
			<-ended
		}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		for key := q.next(c.cfg.Now()); key != ""; key = q.next(c.cfg.Now()) {
			go func() { ended <- c.carry(ctx, key) }()
		}
		c.waiting.Store(int64(len(q.mails)))
		var due <-chan time.Time
		if len(q.mails) > 0 {
			due = look.C
		}
		select {
		case event, ok := <-watcher.Events():
			if !ok {
				return store.Ended(ctx, watcher)
			}
			if err := q.note(event); err != nil {
				return err
			}
		case o := <-ended:
			c.judge(q, o)
		case <-due:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// list reads the outbox into a queue, and gives the position from which to watch.
func (c *Courier) list(ctx context.Context, q *queue) (from store.Position, err error) {
	for token := ""; ; {
		page, err := c.cfg.Store.List(ctx, record.PrefixOutbox, token, store.MaxPage)
		if err != nil {
			return "", err
		}
		if from == "" {
			from = page.Position
		}
		for _, r := range page.Records {
			if err := q.put(r); err != nil {
				return "", err
			}
		}
		if token = page.Next; token == "" {
			return from, nil
		}
	}
}

// outcome is how one try ended.
type outcome struct {
	key string
	// tried says that the mail was offered, with this error.
	tried bool
	err   error
	// gone says that the mail is not in the outbox any more.
	gone bool
}

// judge notes how a try ended.
func (c *Courier) judge(q *queue, o outcome) {
	q.end(o)
	if !o.tried {
		if o.err != nil && !errors.Is(o.err, context.Canceled) {
			c.cfg.Log.Warn("claiming a mail", "error", o.err)
		}
		return
	}
	var failed *mail.Error
	if !errors.As(o.err, &failed) || !failed.Every {
		if q.resume() {
			c.cfg.Log.Info("mail is sent again")
		}
		return
	}
	if until, fresh := q.pause(c.cfg.Now()); fresh {
		level := slog.LevelWarn
		if failed.Kind == mail.Configuration {
			level = slog.LevelError
		}
		c.cfg.Log.Log(context.Background(), level, "no mail can be sent", "error", failed, "reason", failed.Kind, "waiting", len(q.mails), "next", until)
	}
}
