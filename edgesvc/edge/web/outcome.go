package web

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/filter"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// end counts and logs how the request ended.
func (x *exchange) end(err error) {
	if x.under.End() {
		x.relay.Allow() // what comes next on this connection
	}
	x.Exchange.End(x.status)
	o := Outcome{Status: x.status, Took: time.Since(x.started), BytesIn: x.bytesIn, BytesOut: x.bytesOut}
	if err != nil {
		o = x.endBadly(o, err)
	} else {
		x.s.cfg.Meter.Ended(o)
	}
	if x.s.cfg.Refused != nil {
		x.tellRefused(o)
	}
	if x.s.cfg.Unserved != nil && x.tells(o) {
		x.outcome = o
		x.s.cfg.Unserved(x.event)
	}
}

// Refusal is a request that a step has refused, or in which the firewall has found something: what
// whoever runs an edge is told of it, and nothing that a client has sent but its address.
type Refusal struct {
	Step policy.Step
	// Code is empty if the request was not refused.
	Code                          mezu.Code
	RequestID, Environment, Route string
	Client                        netip.Addr
	// Inspection is what the firewall has found, nil if that is not why.
	Inspection *filter.Inspection
}

// tellRefused tells of a refusal, if it was one by a step. Of what is one too many package shed tells.
func (x *exchange) tellRefused(o Outcome) {
	refused := o.Refusal != "" && o.Step > policy.StepLoad
	if !refused && x.Inspection == nil {
		return
	}
	x.identify()
	r := &Refusal{Step: x.InspectedAt, RequestID: x.Request.ID, Client: x.Client, Inspection: x.Inspection}
	if refused {
		r.Step, r.Code = o.Step, o.Refusal
	}
	if x.table != nil {
		r.Environment = x.table.Bundle().Environment
	}
	if x.Route != nil {
		r.Route = x.Route.Label()
	}
	x.s.cfg.Refused(r)
}

// tells reports whether Unserved is told of the request.
func (x *exchange) tells(o Outcome) bool {
	switch path := x.Request.Path.Path; {
	case x.relay.Began, x.relay.Told:
		return false // a Warpgate tells of it
	case path == hosted.Probe:
		return false // programs ask for it, often and before there is a Warpgate
	default:
		return o.Cause != "" || !reservedPath(path)
	}
}

// identify makes sure that the request has an id: its head may have been refused before one was made.
func (x *exchange) identify() {
	if x.Request.ID == "" {
		x.Request.ID = relay.NewRequestID()
	}
}

// unserved is the event of a request that no Warpgate has answered.
func (x *exchange) unserved() mezu.Event {
	o := &x.outcome
	x.identify()
	e := mezu.Event{Event: mezu.EventRequest, Time: time.Now(), ID: x.Request.ID, Method: x.Request.Method, Host: cmp.Or(x.Request.Host, x.visit.host), Path: cmp.Or(x.Request.Path.Path, x.Request.Spoilt),
		Upgrade: x.Request.Upgrade, Status: o.Status, Code: cmp.Or(o.Refusal, x.because), Cause: o.Cause, Message: x.detail,
		DurationMS: millis(o.Took), BytesIn: o.BytesIn, BytesOut: o.BytesOut}
	if x.Client.IsValid() {
		e.Client = x.Client.String()
	}
	if x.Route != nil {
		e.Route = x.Route.Label()
	}
	if g := x.Visitor.Grant(); g != nil {
		e.User = g.User
	}
	return e
}

// endBadly is end of a request that did not end whole. It sets the status that answers it, and
// gives the outcome.
func (x *exchange) endBadly(o Outcome, err error) Outcome {
	o.Cause = relay.CauseOf(err)
	if x.s.cfg.Cut.Err() != nil || x.under.Ending() {
		o.Cause = mezu.CauseShutdown
	}
	var refusal *mezu.Error
	if !x.relay.Began && errors.As(err, &refusal) {
		o.Refusal = refusal.Code
		if !refusal.Code.Known() {
			o.Refusal = mezu.CodeInternal
		}
		o.Status = o.Refusal.Status()
		x.status, x.detail = o.Status, refusal.Detail
		o.Step = x.Step
	}
	x.s.cfg.Meter.Ended(o)
	x.tell(o, refusal, err)
	return o
}

// tell logs a request that did not end whole.
func (x *exchange) tell(o Outcome, refusal *mezu.Error, err error) {
	log := x.s.cfg.Log
	switch {
	case o.Refusal == "":
		level := slog.LevelInfo
		if o.Cause.OfClient() {
			level = slog.LevelDebug // as often as clients like
		}
		log.Log(x.s.cfg.Cut, level, "request cut short", "request_id", x.Request.ID, "host", x.Request.Host, "cause", string(o.Cause), "status", o.Status, "bytes_out", o.BytesOut, "error", err)
	case refusal.Cause != nil:
		log.Warn("request failed", "request_id", x.Request.ID, "code", string(o.Refusal), "cause", string(o.Cause), "error", refusal.Cause)
	default:
		// By rules, by the client's doing, or told by a Warpgate, which has logged it.
		log.Debug("request refused", "request_id", x.Request.ID, "code", string(o.Refusal), "cause", string(o.Cause), "detail", refusal.Detail)
	}
}
