package warpgate

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/daemon/enrol"
	"github.com/mezusphere/mezu/daemon/state"
)

// pace is how often the Warpgate checks and tries again.
type pace struct {
	// tick is the time between two checks of the certificate and of unsaved files. It
	// is much shorter than any deadline, so that a machine that slept notices soon.
	tick time.Duration
	// retry is the most time between two tries of a renewal that is not pressing. A
	// random part of up to half of it is left out, so that a million Warpgates don't
	// come back all at once to a control plane that was away.
	retry time.Duration
	// atLeast is the least time between two renewals that succeeded, whatever the clock
	// of the machine says.
	atLeast time.Duration
	// withoutTunnel is how long there may be no tunnel before the control plane is asked for
	// the current list of edges.
	withoutTunnel time.Duration
	// refused is how long an edge is left alone that refused this Warpgate for good.
	refused time.Duration
	// say is the least time between two calls that tell the control plane the targets.
	say time.Duration
	// spread is the time over which Warpgates tell them that all notice a restore.
	spread time.Duration
}

var defaultPace = pace{tick: 5 * time.Second, retry: 5 * time.Minute, atLeast: time.Hour, withoutTunnel: 30 * time.Second, refused: time.Minute, say: 3 * time.Second, spread: time.Minute}

// renewSpread is the part of a certificate's life over which renewals are spread.
const renewSpread = 2 * time.Hour

// maxSkew is how far the clock may be off without a warning: certificates are
// backdated by as much.
const maxSkew = mezu.LeafBackdate

// The tasks that are tried again and again, as logs and events name them.
const (
	doingRegister = "registering with the control plane"
	doingRenew    = "renewing the certificate"
	doingSave     = "writing to the state directory"
)

// errMoved ends a session because the control plane gave this Warpgate another id, or
// another environment.
var errMoved = errors.New("registered as another Warpgate")

// register tries until there is a certificate. It returns an error only if
// trying again is no use, and nil when ctx ends.
func (g *Warpgate) register(ctx context.Context) error {
	pause := backoff.Backoff{Last: g.cfg.RetryWithin}
	for {
		woken := g.woken.Rung()
		_, err := g.registerOnce(ctx, g.client)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case errors.Is(err, state.ErrRevoked):
			return g.revoked()
		case g.fromDisk(): // Enrol was quicker
			return nil
		case enrol.Permanent(err):
			return refused(err)
		}
		g.trouble(doingRegister, err)
		pause.Because(err)
		if pause.WaitOr(ctx, woken) != nil || g.fromDisk() {
			return nil
		}
	}
}

// ask takes the right to ask the control plane for a certificate, which one goroutine has at
// a time while the state directory is open.
func (g *Warpgate) ask(ctx context.Context) error {
	select {
	case g.asking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.closed {
		<-g.asking
		return errNotOpen
	}
	return nil
}

// askNoMore waits for the answer that is on its way, which has to be kept, and lets nobody
// ask after it.
func (g *Warpgate) askNoMore() {
	g.asking <- struct{}{}
	defer g.asked()
	g.closed = true
}

// asked gives it back.
func (g *Warpgate) asked() { <-g.asking }

// answered notes what came of a call, unless that was ended here.
func (g *Warpgate) answered(ctx context.Context, err error) {
	if ctx.Err() == nil {
		g.away.note(err, g.now())
	}
}

// Enrol registers with an enrolment token, which was made for KeySHA256. It returns when
// the control plane has answered, and never tries again. Call it after Listen. During Run
// the Warpgate goes on meanwhile, and afterwards as whoever it is then. The token is kept
// nowhere. The error has ErrNeedsToken in its chain if the token was refused.
func (g *Warpgate) Enrol(ctx context.Context, token string) error {
	g.listen.Lock()
	open, client := g.open, g.client
	g.listen.Unlock()
	if !open {
		return errNotOpen
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.hard, cancel)()
	if g.state.Revoked() {
		return g.revoked()
	}
	client, err := client.With(token)
	if err != nil {
		return err
	}
	defer client.Close()
	moved, err := g.registerOnce(ctx, client)
	switch {
	case errors.Is(err, state.ErrRevoked):
		return g.revoked()
	case err != nil:
		return refused(err)
	}
	if s := g.session.Load(); s != nil {
		if moved {
			s.end(errMoved)
		} else {
			s.refreshed()
		}
	}
	g.woken.Ring() // a registration that waits for its next try is done
	return nil
}

// final reports whether err ends the Warpgate: the control plane refused it, and no
// edge takes a tunnel either. While an edge does, the Warpgate serves on, because a
// control plane that was restored from an old backup may not know it. A Warpgate that
// is to end is revoked by a signed statement.
func (s *session) final(err error) bool {
	return enrol.Permanent(err) && (!s.gate.state.Certified() || s.withoutTunnel() > s.gate.pace.withoutTunnel)
}

// registerOnce asks once for a certificate, by the key or token of client.
func (g *Warpgate) registerOnce(ctx context.Context, client *enrol.Client) (moved bool, err error) {
	if err := g.ask(ctx); err != nil {
		return false, err
	}
	defer g.asked()
	return g.registerBy(ctx, client)
}

// registerBy is registerOnce with the right to ask.
func (g *Warpgate) registerBy(ctx context.Context, client *enrol.Client) (moved bool, err error) {
	if _, err := client.Token(); err != nil {
		return false, err
	}
	key, err := g.state.Key()
	if err != nil {
		return false, err
	}
	settings := g.settings(client)
	warpgate := g.offered
	if was := g.state.Registration(); was != nil && was.API == settings.API && was.Wanted == settings.Wanted {
		warpgate = was.Warpgate
	}
	g.counters.registrations.Add(1)
	resp, err := client.Register(ctx, key, warpgate)
	g.answered(ctx, err)
	if err != nil {
		return false, err
	}
	if moved, err = g.adopt(resp, &settings); err != nil {
		if mezu.ValidateID("", mezu.PrefixWarpgate, resp.Warpgate) == nil {
			g.offered = resp.Warpgate
		}
		return false, err
	}
	g.offered = ""
	g.resolved(doingRegister)
	return moved, nil
}

// renewOnce asks once for a new certificate, by the one in use. It asks by key if that
// one has expired or the control plane doesn't take it.
func (g *Warpgate) renewOnce(ctx context.Context) (moved bool, err error) {
	if err := g.ask(ctx); err != nil {
		return false, err
	}
	defer g.asked()
	return g.renewBy(ctx)
}

// renewBy is renewOnce with the right to ask.
func (g *Warpgate) renewBy(ctx context.Context) (moved bool, err error) {
	if !g.state.Certified() {
		return g.registerBy(ctx, g.client)
	}
	key, err := g.state.Key()
	if err != nil {
		return false, err
	}
	g.counters.renewals.Add(1)
	resp, err := g.client.Renew(ctx, key)
	g.answered(ctx, err)
	switch code := mezu.CodeOf(err); {
	case err == nil:
		return g.adopt(resp, nil)
	case code == mezu.CodeUnauthenticated, code == mezu.CodeNotFound, enrol.Refused(err):
		moved, again := g.registerBy(ctx, g.client)
		if again != nil {
			return false, errors.Join(err, again)
		}
		return moved, nil
	}
	return false, err
}

// adopt applies an answer of the control plane. moved says that it made this another
// Warpgate.
func (g *Warpgate) adopt(resp *state.Answer, settings *state.Registration) (moved bool, err error) {
	before := g.state.Applied()
	out, err := g.state.Register(resp, settings)
	if !out.Adopted {
		return false, err
	}
	if err != nil {
		g.trouble("applying the control plane's answer", err)
	}
	issued, notAfter := g.state.Lifetime()
	g.log.Info("certificate received", "warpgate", g.state.Identity().ID, "serial", g.state.Serial(), "until", notAfter.UTC().Format(time.RFC3339))
	if now := g.now(); now.Sub(issued).Abs() > maxSkew {
		g.trouble("checking the clock", state.ClockError(now, issued, nil))
	} else {
		g.resolved("checking the clock")
	}
	g.compare(resp.Head, before, out.Moved)
	return out.Moved, nil
}

// compare compares what the edges sent with what the control plane says, and so shows
// an edge that delays policy. head is the control plane's newest position, before was
// the one in use when the answer came.
func (g *Warpgate) compare(head, before mezu.Position, moved bool) {
	after := g.state.Applied()
	switch {
	case head.IsZero() || moved:
	case head.Compare(after) < 0:
		g.trouble("comparing with the control plane", fmt.Errorf("its newest statement is %s, older than the configuration in use, %s", head, after))
	case !before.IsZero() && after.Compare(before) > 0:
		g.log.Warn("the edges were behind the control plane", "had", before.String(), "now", after.String())
	}
}

// keep renews the certificate in time and saves what could not be saved before, until
// ctx ends. It returns errMoved, or an error that ends the Warpgate.
func (s *session) keep(ctx context.Context) error {
	g := s.gate
	urgent := backoff.Backoff{Last: g.cfg.RetryWithin}
	next := time.Now() // monotonic: it doesn't jump with the machine's clock
	failed := false    // so next is only a pause before the same again
	enrolling := g.newToken()
	ticker := time.NewTicker(g.pace.tick)
	defer ticker.Stop()
	woken := g.woken.Rung()
	for {
		s.save()
		if g.state.Revoked() {
			return g.revoked()
		}
		why, pressing := s.due()
		if enrolling && why == "" {
			why = "there is a new enrolment token"
		}
		if why == "" || time.Now().Before(next) {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			case <-woken:
				woken = g.woken.Rung()
				if urgent.Reset(); failed {
					next = time.Now()
				}
			}
			continue
		}
		g.log.Info(doingRenew, "reason", why)
		woken = g.woken.Rung() // who rings during the try ends the pause behind it
		var moved bool
		var err error
		if enrolling {
			moved, err = g.registerOnce(ctx, g.client)
			enrolling = err != nil && !enrol.Permanent(err)
		} else {
			moved, err = g.renewOnce(ctx)
		}
		failed = err != nil
		switch {
		case ctx.Err() != nil:
			return nil
		case moved:
			return errMoved
		case err == nil:
			g.resolved(doingRenew)
			s.refreshed()
			if s.stranded() {
				next = time.Now().Add(max(urgent.Next(), g.pace.tick))
			} else {
				urgent.Reset()
				next = time.Now().Add(g.pace.atLeast)
			}
		case errors.Is(err, state.ErrRevoked):
			return g.revoked()
		case s.final(err):
			return refused(err)
		default:
			g.trouble(doingRenew, err)
			if urgent.Because(err); pressing {
				next = time.Now().Add(urgent.Next())
			} else {
				next = time.Now().Add(g.pace.retry/2 + rand.N(g.pace.retry/2+1))
			}
		}
	}
}

// newToken reports whether the Warpgate was given an enrolment token with which it has not
// registered yet.
func (g *Warpgate) newToken() bool {
	is, was := g.client.EnrolmentHash(), g.state.Registration()
	if is == "" || was == nil || was.EnrolmentHash == "" && was.TokenHash == "" {
		return false // or a version before has used it and kept no hash
	}
	return was.EnrolmentHash != is
}

// due says why the control plane has to be asked now, or nothing. pressing says that
// nothing can be served until it answers.
func (s *session) due() (why string, pressing bool) {
	st := s.gate.state
	now := s.gate.now()
	issued, notAfter := st.Lifetime()
	switch {
	case now.After(notAfter):
		return "the certificate has expired", true
	case !st.Certified():
		return "the certificate is not valid at this machine's time", true
	case len(st.Edges()) == 0:
		return "no edge is known", true
	case st.Table() == nil:
		return "no configuration is known", true
	case now.Sub(issued) > mezu.RenewAge+spread(st.Serial()):
		return "the certificate is old enough", false
	case st.Registration() == nil:
		return "the record of the registration is lost", false
	case s.withoutTunnel() > s.gate.pace.withoutTunnel:
		return "no edge takes a tunnel", false
	}
	return "", false
}

// stranded reports whether there is still no edge to connect to. Then the control
// plane is asked again soon, although it has just answered.
func (s *session) stranded() bool {
	return len(s.gate.state.Edges()) == 0 || s.withoutTunnel() > s.gate.pace.withoutTunnel
}

// spread is how long after RenewAge this certificate is renewed. It is made of the
// serial number: the same after each start, and different for each certificate.
func spread(serial string) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(serial))
	return time.Duration(uint64(h.Sum32()) * uint64(renewSpread) >> 32)
}

// save writes what could not be written before. A bundle that is on the disk only now
// is acknowledged now.
func (s *session) save() {
	before := s.gate.state.Applied()
	if err := s.gate.state.Flush(); err != nil {
		s.gate.trouble(doingSave, err)
		return
	}
	s.gate.resolved(doingSave)
	if s.gate.state.Applied() != before {
		s.acknowledge()
	}
}
