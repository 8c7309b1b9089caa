package post

import (
	"time"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// queue is what a courier knows of the outbox: of each mail when it is due, without its
// texts. It is for one goroutine.
type queue struct {
	mails map[string]*waiting // by key
	busy  map[string]bool     // those that are being sent
	// turns is when each directory had its last turn. A directory with a thousand mails
	// leaves every other turn to another one.
	turns map[string]uint64
	turn  uint64
	// wait is the last pause and until its end, while no mail can be sent.
	wait  time.Duration
	until time.Time
}

// waiting is one mail.
type waiting struct {
	directory string
	created   time.Time
	dueAt     time.Time
	expiresAt time.Time
	claimed   time.Time
	complete  bool
	// restUntil is when it may be looked at again, by the true time: it was tried, and the
	// event of what came of that is on its way.
	restUntil time.Time
}

func newQueue() *queue {
	return &queue{mails: map[string]*waiting{}, busy: map[string]bool{}, turns: map[string]uint64{}}
}

// put notes a mail as it is now.
func (q *queue) put(r store.Record) error {
	f, err := record.Decode[Mail](r)
	if err != nil {
		return err
	}
	m := f.Value
	q.mails[r.Key] = &waiting{directory: m.Directory, created: m.CreatedAt, dueAt: m.NextAt, expiresAt: m.ExpiresAt, claimed: m.ClaimedUntil, complete: m.Complete()}
	return nil
}

// note takes in a commit.
func (q *queue) note(e store.Event) error {
	for _, ch := range e.Changes {
		if ch.Deleted {
			q.forget(ch.Key)
		} else if err := q.put(ch.Record); err != nil {
			return err
		}
	}
	return nil
}

func (q *queue) forget(key string) {
	delete(q.mails, key)
	if len(q.mails) == 0 {
		clear(q.turns)
	}
}

// next gives a mail that is to be looked at, and counts it as busy; the key is empty if there
// is none. While no mail can be sent, one at a time is tried, and those that have ended are
// given up.
func (q *queue) next(now time.Time) string {
	most := lanes
	if q.wait > 0 {
		most = 1
	}
	if len(q.busy) >= most {
		return ""
	}
	paused := q.wait > 0 && now.Before(q.until)
	best := ""
	for key, m := range q.mails {
		if !q.busy[key] && m.isDue(now, paused) && (best == "" || q.before(m, q.mails[best])) {
			best = key
		}
	}
	if best != "" {
		q.busy[best] = true
		q.turn++
		q.turns[q.mails[best].directory] = q.turn
	}
	return best
}

// isDue reports whether a mail may be sent or given up now.
func (m *waiting) isDue(now time.Time, paused bool) bool {
	if !m.complete || now.Before(m.claimed) || time.Now().Before(m.restUntil) {
		return false
	}
	return !now.Before(m.expiresAt) || !paused && !now.Before(m.dueAt)
}

// before reports whether a mail comes before another: the directory that waited longer, and
// in it the older mail.
func (q *queue) before(m, other *waiting) bool {
	if a, b := q.turns[m.directory], q.turns[other.directory]; a != b {
		return a < b
	}
	return m.created.Before(other.created)
}

// end takes a mail back that was looked at.
func (q *queue) end(o outcome) {
	delete(q.busy, o.key)
	if o.gone {
		q.forget(o.key)
	} else if m := q.mails[o.key]; m != nil {
		m.restUntil = time.Now().Add(lookEvery)
	}
}

// pause begins a wait for a server that takes no mail, longer than the one before. It is not
// fresh if the wait has begun already.
func (q *queue) pause(now time.Time) (until time.Time, fresh bool) {
	if q.wait > 0 && now.Before(q.until) {
		return q.until, false
	}
	q.wait = min(max(2*q.wait, firstWait), lastPause)
	q.until = now.Add(q.wait + backoff.Jitter(q.wait/4))
	return q.until, true
}

// resume ends that, and reports whether there was such a wait.
func (q *queue) resume() bool {
	was := q.wait > 0
	q.wait = 0
	return was
}
