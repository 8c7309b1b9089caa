package account

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/netip"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/gcra"
)

// Limits of guessing (NIST SP 800-63B-4, 3.2.2: at most 100 consecutive failures).
const (
	// freeFailures in a row cost nothing: people mistype. From the next one on there is a
	// wait, which doubles from firstWait to lastWait.
	freeFailures = 4
	firstWait    = time.Second
	lastWait     = 15 * time.Minute
	// lockFailures in a row keep devices out that the account does not know, until a reset.
	// Where no mail is sent the last wait stays.
	lockFailures = 100
	// forgetAttempts is how long the failures of an address are kept after the last one.
	forgetAttempts = 30 * 24 * time.Hour

	// networkFailures within networkSpan make the strange devices of a network wait.
	networkFailures = 30
	networkSpan     = 10 * time.Minute
	// poolFailures within poolSpan make those of networks with failures wait.
	poolFailures = 300
	poolSpan     = time.Minute
	// forgetFailures is how long the counts of networks and pools are kept.
	forgetFailures = time.Hour
	// failureParts is over how many records the count of a pool is spread, so that those
	// who fail at the same time seldom write the same one.
	failureParts = 8

	// attemptBits is how much of an address's blind index names its count: a pool has a
	// million of them at most, however many addresses are tried. Two addresses that share
	// one share their waits.
	attemptBits = 20
)

// count is wrong attempts in a row.
type count struct {
	Failures int       `json:"failures"`
	Last     time.Time `json:"last"`
}

// IsZero reports whether there were none.
func (c count) IsZero() bool { return c.Failures == 0 }

// wait is how long the next attempt has to wait.
func (c count) wait(now time.Time) time.Duration {
	over := c.Failures - freeFailures
	if over <= 0 {
		return 0
	}
	pause := lastWait
	if over <= 10 { // 2^10 s is more than lastWait
		pause = min(firstWait<<(over-1), lastWait)
	}
	return max(c.Last.Add(pause).Sub(now), 0)
}

// window is failures since a moment.
type window struct {
	From  time.Time `json:"from"`
	Count int       `json:"count"`
}

// in is the count if the span that it began with is not over.
func (w window) in(now time.Time, span time.Duration) int {
	if now.Sub(w.From) >= span || now.Before(w.From) {
		return 0
	}
	return w.Count
}

func (w window) plus(now time.Time, span time.Duration) window {
	if w.in(now, span) == 0 {
		return window{now, 1}
	}
	return window{w.From, w.Count + 1}
}

// Attempt is one try to prove who somebody is.
type Attempt struct {
	Pool string
	// Address is what was typed, in its normal form. Account is whose it is, zero if it is
	// nobody's.
	Address string
	Account Ref
	// Device is the secret that the device shows, empty if it shows none.
	Device string
	Client netip.Addr
}

// Verdict says whether an attempt may be judged.
type Verdict struct {
	// Wait is how long to wait before the next attempt; zero lets this one be judged.
	Wait time.Duration
	// Locked says that only a device that the account knows, or a reset, gets in. What a
	// stranger is told is the longest wait.
	Locked bool
}

func (a *Accounts) keyAttempt(pool, address string) string {
	sum := a.blind(pool, address)[:(attemptBits+7)/8]
	return prefixAttempt + pool + "/" + hex.EncodeToString(sum)[:attemptBits/4]
}

func keyNetwork(pool string, n netip.Prefix) string {
	return prefixFailures + pool + "/network/" + hex.EncodeToString(n.Addr().AsSlice())
}
func partsOf(pool string) string { return prefixFailures + pool + "/part/" }
func keyPart(pool string, n netip.Prefix) string {
	return fmt.Sprintf("%s%d", partsOf(pool), crc32.ChecksumIEEE(n.Addr().AsSlice())%failureParts)
}

// Begin counts an attempt as a failure before it is judged, so that many at once are no way
// around the count, and says whether it may be judged. The same is written for an address
// that nobody has.
func (a *Accounts) Begin(ctx context.Context, t Attempt) (Verdict, error) {
	var v Verdict
	_, err := a.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		v = Verdict{}
		now := a.records.Stamp()
		c, err := a.Credential(ctx, t.Account)
		if err != nil {
			return err
		}
		if i := c.Value.device(t.Device, now); i >= 0 && c.Value.Devices[i].Attempts.Failures < lockFailures {
			d := &c.Value.Devices[i].Attempts
			if v.Wait = d.wait(now); v.Wait == 0 {
				d.Failures, d.Last = d.Failures+1, now
				ch.Update(c.Key, c.Revision, c.Value)
			}
			return nil
		}
		if v.Wait, err = a.crowded(ctx, t, now); err != nil || v.Wait > 0 {
			return err
		}
		f, err := record.Optional[count](ctx, a.records, a.keyAttempt(t.Pool, t.Address))
		if err != nil {
			return err
		}
		// Without mail there is no reset by which its owner could come back.
		if f.Value.Failures >= lockFailures && a.records.MailConfigured() {
			v = Verdict{Wait: lastWait, Locked: true}
			return nil
		}
		if v.Wait = f.Value.wait(now); v.Wait == 0 {
			ch.Update(f.Key, f.Revision, count{f.Value.Failures + 1, now})
		}
		return nil
	})
	return v, err
}

// crowded is how long a strange device waits because of others.
func (a *Accounts) crowded(ctx context.Context, t Attempt, now time.Time) (time.Duration, error) {
	n, err := record.Optional[window](ctx, a.records, keyNetwork(t.Pool, gcra.Client(t.Client)))
	if err != nil {
		return 0, err
	}
	own := n.Value.in(now, networkSpan)
	if own >= networkFailures {
		return n.Value.From.Add(networkSpan).Sub(now), nil
	}
	if own == 0 {
		return 0, nil
	}
	total := 0
	err = record.Each(ctx, a.records, partsOf(t.Pool), func(w record.Record[window]) error {
		total += w.Value.in(now, poolSpan)
		return nil
	})
	if total >= poolFailures {
		return poolSpan, err
	}
	return 0, err
}

// Failed plans what a wrong attempt means for others of its network and pool. It is for
// whatever a stranger may do only so often: a wrong password, a signup, a reset.
func (a *Accounts) Failed(ctx context.Context, ch *record.Change, t Attempt) error {
	now := a.records.Stamp()
	n, err := record.Optional[window](ctx, a.records, keyNetwork(t.Pool, gcra.Client(t.Client)))
	if err != nil {
		return err
	}
	part, err := record.Optional[window](ctx, a.records, keyPart(t.Pool, gcra.Client(t.Client)))
	if err != nil {
		return err
	}
	ch.Update(n.Key, n.Revision, n.Value.plus(now, networkSpan))
	ch.Update(part.Key, part.Revision, part.Value.plus(now, poolSpan))
	return nil
}

// Crowded is how long a stranger waits who wants more than to guess: a signup or a reset.
func (a *Accounts) Crowded(ctx context.Context, t Attempt) (time.Duration, error) {
	return a.crowded(ctx, t, a.records.Stamp())
}

// Forgive plans that the attempts of an address count no more: after the right proof, or a
// reset.
func (a *Accounts) Forgive(ctx context.Context, ch *record.Change, pool, address string) error {
	f, err := record.Optional[count](ctx, a.records, a.keyAttempt(pool, address))
	if err == nil && f.Revision != 0 {
		ch.Drop(f.Key)
	}
	return err
}

// ForgiveDevice ends the count of a device that a credential knows.
func (c *Credential) ForgiveDevice(device string, now time.Time) {
	if i := c.device(device, now); i >= 0 {
		c.Devices[i].Attempts = count{}
	}
}
