package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/gcra"
)

const (
	// deviceLife is for somebody who fetches another machine and types a code there.
	deviceLife = 10 * time.Minute
	// pollInterval is how long a device waits before it asks again.
	pollInterval = 5 * time.Second
	// userCodeLength is that of a user code without its dash: 34 bits, of which maxGuesses
	// within guessSpan find one of 6,000 with a chance of one in 800,000.
	userCodeLength = 8
	// maxGuesses of one person within guessSpan are wrong before they wait, and
	// networkGuesses of one network, in which several may mistype.
	maxGuesses     = 5
	networkGuesses = 20
	guessSpan      = 10 * time.Minute
)

// userCodeAlphabet has no vowels, so that no code is a word (RFC 8628, 6.1).
const userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"

// newUserCode is a code that people type: XXXX-XXXX.
func newUserCode() string {
	const even = 256 / len(userCodeAlphabet) * len(userCodeAlphabet) // beyond it some would come more often
	var b strings.Builder
	for raw := make([]byte, 1); b.Len() < userCodeLength+1; {
		rand.Read(raw) // never fails: crypto/rand ends the process instead
		if int(raw[0]) < even {
			b.WriteByte(userCodeAlphabet[int(raw[0])%len(userCodeAlphabet)])
		}
		if b.Len() == userCodeLength/2 {
			b.WriteByte('-')
		}
	}
	return b.String()
}

// typed is a user code as it was shown, however somebody typed it. It is empty if it is none.
func typed(code string) string {
	if len(code) > 4*userCodeLength {
		return ""
	}
	code = strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(strings.ToUpper(code))
	if len(code) != userCodeLength || strings.Trim(code, userCodeAlphabet) != "" {
		return ""
	}
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

// DeviceAuthorization implements op.Server.
func (s *server) DeviceAuthorization(ctx context.Context, r *op.ClientRequest[oidc.DeviceAuthorizationRequest]) (*op.Response, error) {
	if s.cfg.NoDeviceLogin {
		return nil, oidc.ErrUnauthorizedClient().WithDescription("logging in by a code is switched off here; run mezu login on a machine with a browser")
	}
	_, ok := s.begunBy.Allow(gcra.ClientOf(programOf(ctx).address), s.records.Now())
	if ok {
		_, ok = s.begun.Allow("", s.records.Now())
	}
	if !ok {
		return nil, op.NewStatusError(oidc.ErrSlowDown(), http.StatusTooManyRequests)
	}
	deviceCode, user, err := s.newDevice(ctx, r.Client.GetID(), programOf(ctx))
	if err != nil {
		return nil, s.failed(err)
	}
	return op.NewResponse(&oidc.DeviceAuthorizationResponse{
		DeviceCode: deviceCode, UserCode: user, VerificationURI: s.cfg.Site + pathDevice,
		ExpiresIn: int(deviceLife / time.Second), Interval: int(pollInterval / time.Second),
	}), nil
}

// newDevice keeps a login that nobody has answered yet.
func (p *Provider) newDevice(ctx context.Context, client string, g program) (deviceCode, user string, err error) {
	deviceCode = mezu.NewToken("")
	_, err = p.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		now := p.records.Stamp()
		user = newUserCode() // another one if somebody has it already
		d := device{
			Client: client, UserCode: p.keyUserCode(user), Agent: mezu.ShortAgent(g.agent), Address: g.address, CreatedAt: now, ExpiresAt: now.Add(deviceLife),
		}
		ch.Create(keyDevice(deviceCode), d)
		ch.Create(d.UserCode, userCode{Device: keyDevice(deviceCode), ExpiresAt: d.ExpiresAt})
		return nil
	})
	return deviceCode, user, err
}

// DeviceToken implements op.Server.
func (s *server) DeviceToken(ctx context.Context, r *op.ClientRequest[oidc.DeviceAccessTokenRequest]) (*op.Response, error) {
	answer, err := s.poll(ctx, r.Client.GetID(), r.Data.DeviceCode, programOf(ctx))
	return s.tokens("device", answer, err)
}

// poll gives a device its tokens once somebody has allowed them.
func (p *Provider) poll(ctx context.Context, client, deviceCode string, g program) (access.Answer, error) {
	var answer access.Answer
	key := keyDevice(deviceCode)
	d, err := record.Optional[device](ctx, p.records, key)
	now := p.records.Now()
	switch {
	case err != nil:
		return answer, err
	case d.Revision == 0 || d.Value.Client != client:
		return answer, errGone
	case !now.Before(d.Value.ExpiresAt):
		return answer, oidc.ErrExpiredDeviceCode()
	case d.Value.Person == "":
		if _, ok := p.polls.Allow(key, now); !ok {
			return answer, oidc.ErrSlowDown()
		}
		return answer, oidc.ErrAuthorizationPending()
	case d.Value.Family == "":
		return answer, oidc.ErrAccessDenied()
	}
	who, err := p.person(ctx, d.Value.Person)
	if err != nil {
		return answer, err
	}
	_, err = p.records.Commit(ctx, g.by(who, api.OpCreateToken), func(ch *record.Change) error {
		d, err := record.Optional[device](ctx, p.records, key)
		if err != nil {
			return err
		}
		if d.Revision == 0 {
			return errGone
		}
		ch.Remove(d.Key, d.Revision)
		answer, err = p.begin(ctx, ch, d.Value.Person, d.Value.Family, g)
		return err
	})
	return answer, err
}

// showDevice asks for the code. Whatever the query says, the code is typed (N29).
func (p *Provider) showDevice(v *visit) error {
	switch off, err := p.off(v); {
	case err != nil:
		return err
	case v.person == "":
		return v.toLogin(pathDevice)
	case off:
		return v.show(v.view.DeviceOff())
	}
	return v.show(v.view.Device(pages.DeviceForm{}))
}

// off reports whether nobody, or not this visitor, logs devices in.
func (p *Provider) off(v *visit) (bool, error) {
	if p.cfg.NoDeviceLogin {
		return true, nil
	}
	if v.person == "" {
		return false, nil
	}
	on, err := p.cfg.DeviceLogin(v.ctx, v.person)
	return !on, err
}

// askDevice asks whether the device whose code was typed may act for the visitor.
func (p *Provider) askDevice(v *visit) error {
	return p.withDevice(v, func(d record.Record[device], code string) error {
		who, err := p.person(v.ctx, v.person)
		if err != nil {
			return err
		}
		return v.show(v.view.AllowDevice(pages.AllowDeviceForm{
			Code: code, Program: d.Value.Client, Agent: d.Value.Agent, Address: d.Value.Address, Time: d.Value.CreatedAt, Email: called(who),
		}))
	})
}

// answerDevice takes the answer.
func (p *Provider) answerDevice(v *visit) error {
	return p.withDevice(v, func(d record.Record[device], _ string) error {
		allowed := v.form.Get(pages.FieldAnswer) == pages.AnswerAllow
		var family string
		_, err := p.records.Commit(v.ctx, record.Internal(), func(ch *record.Change) error {
			d, err := record.Optional[device](v.ctx, p.records, d.Key)
			if err != nil {
				return err
			}
			if d.Revision == 0 || d.Value.Person != "" {
				return errReused
			}
			d.Value.Person = v.person
			if allowed {
				if d.Value.Family, err = p.allow(v.ctx, ch, v.person, d.Value.Client, d.Value.ExpiresAt); err != nil {
					return err
				}
				family = d.Value.Family
			}
			ch.Update(d.Key, d.Revision, d.Value)
			ch.Drop(d.Value.UserCode)
			return nil
		})
		if errors.Is(err, errReused) { // somebody was faster
			return v.show(v.view.Device(pages.DeviceForm{Problems: []pages.Problem{{Code: pages.CodeWrong, N: 1}}}))
		}
		if err != nil {
			return err
		}
		if !allowed {
			p.cfg.Counted("program", "denied")
			return v.show(v.view.DeviceDenied())
		}
		if err := p.still(v, family); err != nil {
			return err
		}
		p.cfg.Counted("program", "allowed")
		return v.show(v.view.DeviceAllowed())
	})
}

// withDevice finds the device whose code the visitor typed. Wrong codes are counted before
// they are judged, so that many at once are no way around the count.
func (p *Provider) withDevice(v *visit, then func(d record.Record[device], code string) error) error {
	if off, err := p.off(v); err != nil {
		return err
	} else if off {
		return v.show(v.view.DeviceOff())
	}
	wait, err := p.guess(v)
	if err != nil {
		return err
	}
	if wait > 0 {
		p.cfg.Counted("program-code", "waits")
		return v.show(v.view.Device(pages.DeviceForm{Wait: wait}))
	}
	code := typed(v.form.Get(pages.FieldCode))
	d, err := p.deviceOf(v.ctx, code)
	if errors.Is(err, errGone) {
		p.cfg.Counted("program-code", "wrong")
		return v.show(v.view.Device(pages.DeviceForm{Problems: []pages.Problem{{Code: pages.CodeWrong, N: 1}}}))
	}
	if err == nil {
		err = p.forgive(v)
	}
	if err != nil {
		return err
	}
	return then(d, code)
}

// deviceOf finds a device that waits for an answer.
func (p *Provider) deviceOf(ctx context.Context, code string) (d record.Record[device], err error) {
	if code == "" {
		return d, errGone
	}
	u, err := record.Optional[userCode](ctx, p.records, p.keyUserCode(code))
	if err != nil {
		return d, err
	}
	if u.Revision == 0 {
		return d, errGone
	}
	d, err = record.Optional[device](ctx, p.records, u.Value.Device)
	if err == nil && (d.Revision == 0 || d.Value.Person != "" || !p.records.Now().Before(d.Value.ExpiresAt)) {
		err = errGone
	}
	return d, err
}

// counts are the records that count the guesses of a visitor, with the most of each.
func (p *Provider) counts(v *visit) map[string]int {
	return map[string]int{keyGuess("person/" + v.person): maxGuesses, keyGuess("network/" + gcra.ClientOf(v.program.address)): networkGuesses}
}

// guess counts a guess, or says how long the visitor has to wait.
func (p *Provider) guess(v *visit) (wait time.Duration, err error) {
	_, err = p.records.Commit(v.ctx, record.Internal(), func(ch *record.Change) error {
		wait = 0
		now := p.records.Stamp()
		for key, most := range p.counts(v) {
			g, err := record.Optional[guesses](v.ctx, p.records, key)
			if err != nil {
				return err
			}
			if now.Sub(g.Value.From) >= guessSpan {
				g.Value = guesses{From: now}
			}
			if g.Value.Count >= most {
				wait = max(wait, g.Value.From.Add(guessSpan).Sub(now))
			}
			g.Value.Count++
			ch.Update(key, g.Revision, g.Value)
		}
		if wait > 0 {
			ch.Reset()
		}
		return nil
	})
	return wait, err
}

// forgive takes a guess back that was right.
func (p *Provider) forgive(v *visit) error {
	_, err := p.records.Commit(v.ctx, record.Internal(), func(ch *record.Change) error {
		for key := range p.counts(v) {
			g, err := record.Optional[guesses](v.ctx, p.records, key)
			if err != nil {
				return err
			}
			if g.Value.Count > 0 {
				g.Value.Count--
				ch.Update(key, g.Revision, g.Value)
			}
		}
		return nil
	})
	return err
}
