package post

import (
	"context"
	"errors"
	"time"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/mail"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// letter is a mail as it was read.
type letter = record.Record[Mail]

// carry tries to send one mail: it claims it, hands it over, and writes down what came of
// it.
func (c *Courier) carry(ctx context.Context, key string) outcome {
	f, err := c.claim(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return outcome{key: key, gone: true}
	case err != nil:
		return outcome{key: key, err: err}
	case f.Revision == 0:
		return outcome{key: key}
	case !c.cfg.Now().Before(f.Value.ExpiresAt):
		c.failed.WithLabelValues(reasonExpired).Inc()
		c.cfg.Log.Warn("a mail was given up: what it carries ended before it could be sent", "mail", f.Value.ID, "kind", f.Value.Kind, "attempts", f.Value.Attempts)
		return outcome{key: key, gone: c.remove(ctx, f)}
	}
	sending, cancel := leaving(ctx)
	defer cancel()
	err = c.cfg.Deliver(sending, f.Value)
	if err == nil {
		c.sent.Inc()
		return outcome{key: key, tried: true, gone: c.remove(ctx, f)}
	}
	return outcome{key: key, tried: true, err: err, gone: c.put(ctx, f, err)}
}

// leaving is a context that outlasts another one by leaveTime: what is being handed over is
// handed over to its end, if that is near.
func leaving(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(leaveTime, cancel) })
	return out, func() { stop(); cancel() }
}

// claim makes a mail this courier's for claimTime. The revision is 0 if it is not due any
// more, or another courier was faster.
func (c *Courier) claim(ctx context.Context, key string) (letter, error) {
	r, err := c.cfg.Store.Get(ctx, key)
	if err != nil {
		return letter{}, err
	}
	f, err := record.Decode[Mail](r)
	if err != nil {
		return letter{}, err
	}
	now := c.cfg.Now()
	if !f.Value.Complete() || now.Before(f.Value.ClaimedUntil) || now.Before(f.Value.NextAt) && now.Before(f.Value.ExpiresAt) {
		return letter{}, nil
	}
	f.Value.ClaimedUntil = now.Add(claimTime)
	err = c.update(ctx, f)
	if errors.Is(err, store.ErrConflict) {
		return letter{}, nil
	}
	f.Revision++
	return f, err
}

// update writes a mail over the revision at which it was read.
func (c *Courier) update(ctx context.Context, f letter) error {
	value, err := record.Encode(f.Value)
	if err != nil {
		return err
	}
	_, err = c.cfg.Store.Commit(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Value: value}}})
	return err
}

// put gives a mail back that was not sent, or gives it up; gone says that it did.
func (c *Courier) put(ctx context.Context, f letter, cause error) (gone bool) {
	m, log := &f.Value, c.cfg.Log.With("mail", f.Value.ID, "kind", f.Value.Kind, "error", cause)
	var failed *mail.Error
	kind := mail.Temporary
	if errors.As(cause, &failed) {
		kind = failed.Kind
	}
	c.failed.WithLabelValues(string(kind)).Inc()
	if kind == mail.Permanent {
		log.Warn("a mail was given up: it was refused")
		return c.remove(ctx, f)
	}
	until := m.ClaimedUntil
	m.ClaimedUntil = time.Time{}
	if failed == nil || !failed.Every {
		m.Attempts++
		wait := lastWait
		if shift := m.Attempts - 1; shift < 8 { // a minute, eight times doubled, is more
			wait = min(firstWait<<shift, lastWait)
		}
		m.NextAt = c.cfg.Now().Add(wait + backoff.Jitter(wait/4))
		log.Info("a mail was not taken", "attempts", m.Attempts, "next", m.NextAt)
	}
	c.persist(ctx, m.ID, until, func(ctx context.Context) error { return c.update(ctx, f) })
	return false
}

// remove removes a mail that was sent or given up.
func (c *Courier) remove(ctx context.Context, f letter) bool {
	return c.persist(ctx, f.Value.ID, f.Value.ClaimedUntil, func(ctx context.Context) error {
		_, err := c.cfg.Store.Commit(ctx, record.DeleteMail(f))
		return err
	})
}

// persist writes down what came of a mail. While the store can't, it tries again until the
// claim ends, because what is forgotten is sent once more. When the courier ends there is one
// try.
func (c *Courier) persist(ctx context.Context, id string, until time.Time, write func(context.Context) error) bool {
	for {
		trying, cancel := context.WithTimeout(context.WithoutCancel(ctx), store.MaxCall)
		err := write(trying)
		cancel()
		if err == nil || errors.Is(err, store.ErrConflict) { // it was withdrawn, or the write before had taken effect
			return true
		}
		if ctx.Err() != nil || !c.cfg.Now().Before(until) || backoff.Sleep(ctx, storePause) != nil {
			c.cfg.Log.Error("writing down what came of a mail", "mail", id, "error", err)
			return false
		}
	}
}
