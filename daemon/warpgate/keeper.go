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

// pace is how often things are looked after.
type pace struct {
	// tick is between two looks at certificate and unsaved files. It is short
	// against every deadline, so that a machine that slept notices soon.
	tick time.Duration
	// retry is between two tries at a renewal that can wait; each takes a
	// random half of it off, so that a million Warpgates don't return in step
	// to a control plane that was away.
	retry time.Duration
	// atLeast is between two renewals that succeeded, whatever the clock does.
	atLeast time.Duration
	// linkless is how long there may be no tunnel before the control plane is
	// asked for the current edges.
	linkless time.Duration
	// refused is how long to leave an edge alone that refused for good.
	refused time.Duration
}

var defaultPace = pace{tick: 5 * time.Second, retry: 5 * time.Minute, atLeast: time.Hour, linkless: 30 * time.Second, refused: time.Minute}

// renewSpread is over how much of a certificate's life renewals are spread.
const renewSpread = 2 * time.Hour

// maxSkew is how far the clock may be off without a word: the certificates'
// backdating covers it.
const maxSkew = mezu.LeafBackdate

// What is tried again and again, in the words of logs and events.
const (
	doingRegister = "registering with the control plane"
	doingRenew    = "renewing the certificate"
	doingSave     = "writing to the state directory"
)

// errMoved: the control plane made this another Warpgate, or of another
// environment.
var errMoved = errors.New("registered as another Warpgate")

// register tries until there is a certificate. It returns an error only if
// trying again is no use, and nil when ctx ends.
func (g *Warpgate) register(ctx context.Context) error {
	var pause backoff.Backoff
	for {
		_, err := g.registerOnce(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case errors.Is(err, state.ErrRevoked):
			return g.revoked()
		case enrol.Permanent(err):
			return err
		}
		g.trouble(doingRegister, err)
		if pause.Wait(ctx) != nil {
			return nil
		}
	}
}

// final reports whether the Warpgate can't go on after err: the control plane
// says no, and no edge takes a tunnel either. As long as one does, it serves: a
// control plane restored from an old backup may not know it, and what is really
// over is revoked by a signed statement.
func (s *session) final(err error) bool {
	return enrol.Permanent(err) && (!s.gate.state.Certified() || s.linkless() > s.gate.pace.linkless)
}

// registerOnce asks for a certificate by key.
func (g *Warpgate) registerOnce(ctx context.Context) (moved bool, err error) {
	if _, err := g.client.Token(); err != nil {
		return false, err
	}
	key, err := g.state.Key()
	if err != nil {
		return false, err
	}
	settings := g.settings()
	warpgate := g.offered
	if was := g.state.Registration(); was != nil && was.API == settings.API && was.Wanted == settings.Wanted {
		warpgate = was.Warpgate
	}
	g.counters.registrations.Add(1)
	resp, err := g.client.Register(ctx, key, warpgate)
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
	g.over(doingRegister)
	return moved, nil
}

// renewOnce asks for a certificate by the one in use, or by key if that is past
// its end or the control plane doesn't take it.
func (g *Warpgate) renewOnce(ctx context.Context) (moved bool, err error) {
	if !g.state.Certified() {
		return g.registerOnce(ctx)
	}
	key, err := g.state.Key()
	if err != nil {
		return false, err
	}
	g.counters.renewals.Add(1)
	resp, err := g.client.Renew(ctx, key)
	switch code := mezu.CodeOf(err); {
	case err == nil:
		return g.adopt(resp, nil)
	case code == mezu.CodeUnauthenticated, code == mezu.CodeNotFound, enrol.Refused(err):
		moved, again := g.registerOnce(ctx)
		if again != nil {
			return false, errors.Join(err, again)
		}
		return moved, nil
	}
	return false, err
}

// adopt applies an answer of the control plane.
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
		g.over("checking the clock")
	}
	g.compare(resp.Head, before, out.Moved)
	return out.Moved, nil
}

// compare holds what edges sent against what the control plane says. An edge
// that delays policy shows here.
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

// keep renews what runs out and saves what waits to be saved, until ctx ends. It
// returns errMoved, or an error with which the Warpgate can't go on.
func (s *session) keep(ctx context.Context) error {
	g := s.gate
	var urgent backoff.Backoff
	next := time.Now() // wall clocks jump; this one doesn't
	ticker := time.NewTicker(g.pace.tick)
	defer ticker.Stop()
	for {
		s.save()
		if g.state.Revoked() {
			return g.revoked()
		}
		why, pressing := s.due()
		if why == "" || time.Now().Before(next) {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				continue
			}
		}
		g.log.Info(doingRenew, "reason", why)
		moved, err := g.renewOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case moved:
			return errMoved
		case err == nil:
			g.over(doingRenew)
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
			return err
		default:
			g.trouble(doingRenew, err)
			if pressing {
				next = time.Now().Add(urgent.Next())
			} else {
				next = time.Now().Add(g.pace.retry/2 + rand.N(g.pace.retry/2+1))
			}
		}
	}
}

// due says why the control plane is to be asked, empty if there is no reason.
// pressing is true if nothing can be served until it answers.
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
	case s.linkless() > s.gate.pace.linkless:
		return "no edge takes a tunnel", false
	}
	return "", false
}

// stranded reports whether there is no edge to go to, so that an answer of the
// control plane that named none is asked for again soon.
func (s *session) stranded() bool {
	return len(s.gate.state.Edges()) == 0 || s.linkless() > s.gate.pace.linkless
}

// spread is how long after RenewAge this certificate is renewed: the same at
// each start, and another for each certificate.
func spread(serial string) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(serial))
	return time.Duration(uint64(h.Sum32()) * uint64(renewSpread) >> 32)
}

// save writes what could not be written before, and acknowledges it.
func (s *session) save() {
	before := s.gate.state.Applied()
	if err := s.gate.state.Flush(); err != nil {
		s.gate.trouble(doingSave, err)
		return
	}
	s.gate.over(doingSave)
	if s.gate.state.Applied() != before {
		s.acknowledge()
	}
}
