package filter

import (
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/waf"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// Firewall and Inspection are those of package waf.
type (
	Firewall   = waf.Firewall
	Inspection = waf.Inspection
)

// firewall judges requests of routes that have it on. A request of whose body nothing is looked at is
// judged by its head. Of all others head and body are judged together, once the body is here, so
// that the rules run once.
type firewall struct {
	waf       *waf.Firewall
	inspected func(*Inspection)
}

var (
	errAttack     = &mezu.Error{Code: mezu.CodeForbidden, Detail: "the firewall takes the request for an attack"}
	errUnreadable = &mezu.Error{Code: mezu.CodeForbidden, Detail: "the firewall can't read the request's body in one way only"}
	errTooMuch    = &mezu.Error{Code: mezu.CodeBodyTooLarge, Detail: "the request has more than the firewall looks at"}
)

// decide is what becomes of a request. Where attacks are only detected, it passes also if it was its
// turn too late to be judged. What went wrong inside never lets it pass.
func (f *firewall) decide(x *Exchange, at policy.Step, v waf.Verdict, err error) error {
	i := &Inspection{Verdict: v, Detect: x.Route.Firewall.Detect}
	switch _, refusal := errors.AsType[*mezu.Error](err); {
	case refusal && i.Detect:
		i.Result, i.Partial = waf.Exceeds, "turn"
	case refusal:
		x.Wait = v.Wait
		return err
	case err != nil:
		return &mezu.Error{Code: mezu.CodeInternal, Cause: fmt.Errorf("judging by the firewall: %w", err)}
	}
	f.inspected(i)
	if i.Result != waf.Passes {
		x.Inspection, x.InspectedAt = i, at
	}
	switch {
	case i.Detect:
		return nil
	case i.Result == waf.Attack:
		return errAttack
	case i.Result == waf.Exceeds:
		return errTooMuch
	case i.Result == waf.Unreadable:
		return errUnreadable
	}
	return nil
}

func (x *Exchange) who() waf.Who { return waf.Who{Environment: x.Environment, Client: x.Client} }

// firewallHead is the firewall at the step of the head.
type firewallHead struct{ *firewall }

func (f firewallHead) Request(x *Exchange) (*Answer, error) {
	if x.Route.Firewall == nil || waf.KindOf(&x.Request) != waf.None {
		return nil, nil
	}
	v, err := f.waf.Head(x.who(), waf.NewSettings(x.Route.Firewall.Settings), &x.Request)
	return nil, f.decide(x, policy.StepHead, v, err)
}

func (firewallHead) Response(*Exchange, *relay.ResponseHead, From) {}

// firewallBody is the firewall at the step of the body.
type firewallBody struct{ *firewall }

func (f firewallBody) Request(x *Exchange) (*Answer, error) {
	if x.Route.Firewall == nil {
		return nil, nil
	}
	kind := waf.KindOf(&x.Request)
	if kind == waf.None {
		return nil, nil
	}
	s := waf.NewSettings(x.Route.Firewall.Settings)
	if x.Keep == 0 && waf.Streams(&x.Request) {
		x.Judge = &judge{f.firewall, x, f.waf.Upload(x.who(), s, &x.Request), false}
		return nil, nil
	}
	x.Keep = max(x.Keep, int64(s.Most(kind)))
	return nil, nil
}

func (f firewallBody) Body(x *Exchange, body []byte, whole bool) error {
	if x.Route.Firewall == nil || x.Judge != nil {
		return nil
	}
	kind := waf.KindOf(&x.Request)
	if kind == waf.None {
		return nil // judged by its head; somebody else has it kept
	}
	if !whole {
		return f.decide(x, policy.StepBody, waf.Verdict{Result: waf.Exceeds, Partial: "body"}, nil)
	}
	v, err := f.waf.Body(x.who(), waf.NewSettings(x.Route.Firewall.Settings), &x.Request, kind, body)
	return f.decide(x, policy.StepBody, v, err)
}

func (firewallBody) Response(*Exchange, *relay.ResponseHead, From) {}

// judge judges a body as it comes.
type judge struct {
	f      *firewall
	x      *Exchange
	upload *waf.Upload
	off    bool // attacks are only detected, and nothing more is looked at
}

// Write takes the next bytes, and gives those that may be passed on.
func (j *judge) Write(b []byte) ([]byte, error) {
	if j.off {
		return b, nil
	}
	if j.upload.Write(b) {
		if err := j.decide(); err != nil {
			return nil, err
		}
	}
	return j.upload.Pass(j.off), nil
}

// End takes the end, and gives what is left.
func (j *judge) End() ([]byte, error) {
	if j.off {
		return nil, nil
	}
	j.upload.End()
	if err := j.decide(); err != nil {
		return nil, err
	}
	return j.upload.Pass(true), nil
}

// Held is how many bytes are kept.
func (j *judge) Held() int { return j.upload.Held() }

func (j *judge) decide() error {
	v, err := j.upload.Judge()
	j.off = err != nil || v.Result != waf.Passes
	err = j.f.decide(j.x, policy.StepBody, v, err)
	if err != nil {
		j.x.Step = policy.StepBody
	}
	return err
}
