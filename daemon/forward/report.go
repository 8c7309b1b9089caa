package forward

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// Requests is told of requests as they pass. It is called by many at once, and requests wait for
// it. What it counts it counts by what it is given; an event is made for it only if it calls
// event, which it may do before it returns.
type Requests interface {
	// Begin is told of a request whose head was read. upgrade says that it asks for another
	// protocol; tape is what it is recorded by, nil if it isn't. End is given the mark that it
	// returns.
	Begin(upgrade bool, tape Tape, event func() mezu.Event) (mark uint8)
	// End is told of the end of each request of which Begin was told.
	End(mark uint8, tape Tape, o *Outcome, event func() mezu.Event)
}

// Outcome is how a request has ended.
type Outcome struct {
	Upgrade bool // it asked for another protocol
	Status  int  // zero if there is no answer
	// Code is why it was refused, Cause what kept it from its proper end. Both are empty for
	// most.
	Code     mezu.Code
	Cause    mezu.Cause
	Message  string
	Took     time.Duration
	BytesIn  int64
	BytesOut int64
}

// cause is why an exchange ended with err; empty for nil. When this Warpgate or a session ends,
// it cuts data connections. That looks as if the edge had gone away, so it is told apart here.
func (w *worker) cause(err error) mezu.Cause {
	cause := relay.CauseOf(err)
	switch ended := context.Cause(w.ctx); {
	case cause != "" && ended == errSessionEnded:
		return mezu.CauseSessionEnded
	case cause != "" && ended == errEnding, cause == mezu.CauseClientGone && w.under.Ending():
		return mezu.CauseShutdown
	case cause == mezu.CauseClientGone && ended == context.Canceled:
		return mezu.CauseShutdown
	}
	return cause
}

// tellBegin tells once of the begin of the request.
func (w *worker) tellBegin() {
	if r := w.f.cfg.Requests; r != nil && !w.begun {
		w.mark = r.Begin(w.upgrade != "", w.rec, w.beginning)
		w.begun = true
	}
}

// beginEvent is what there is to tell of the request from its beginning on.
func (w *worker) beginEvent() mezu.Event {
	e := mezu.Event{Event: mezu.EventRequest, Time: time.Now(), WarpgateID: w.f.cfg.Warpgate, ID: w.info.ID, Method: w.req.Method, Host: w.req.Host,
		Path: w.req.Path.Path, Query: maskQuery(w.req.Query), Upgrade: w.upgrade}
	if w.info.Client != w.addr {
		w.addr, w.client = w.info.Client, ""
		if w.addr.IsValid() {
			w.client = w.addr.String()
		}
	}
	e.Client = w.client
	return e
}

// endEvent is what there is to tell of it at its end.
func (w *worker) endEvent() mezu.Event {
	e, o := w.beginEvent(), &w.outcome
	e.Status, e.Code, e.Cause, e.Message, e.BytesIn, e.BytesOut = o.Status, o.Code, o.Cause, o.Message, o.BytesIn, o.BytesOut
	e.DurationMS = float64(o.Took) / float64(time.Millisecond)
	if w.route != nil {
		e.Route = w.route.Label()
	}
	e.User = w.userID()
	return e
}

// report tells of one request.
func (w *worker) report(err error) {
	if err == nil && w.f.cfg.Requests == nil && w.rec == nil {
		return
	}
	status, code, cause, message := w.x.Status, w.keptOut, w.cause(err), ""
	refusal, isRefusal := errors.AsType[*mezu.Error](err)
	switch {
	case err == nil:
	case !w.x.Began && isRefusal:
		status, code, message = refusal.Code.Status(), refusal.Code, refusal.Detail
		if nowhere, ok := errors.AsType[*unreachedError](err); ok {
			message = "nothing answers at " + nowhere.at.String()
			if w.f.cfg.Unreached != nil {
				w.f.cfg.Unreached(nowhere.at)
			}
		}
		w.f.cfg.Log.Warn("request not served", "request_id", w.info.ID, "code", string(refusal.Code), "cause", string(cause), "detail", refusal.Detail, "error", refusal.Cause)
	default:
		message = relay.Rule(err)
		level := slog.LevelWarn
		switch {
		case cause.OfClient():
			level = slog.LevelDebug // as often as clients like
		case cause == mezu.CauseSessionEnded:
			level = slog.LevelInfo
		}
		w.f.cfg.Log.Log(w.ctx, level, "request cut short", "request_id", w.info.ID, "cause", string(cause), "status", status, "bytes_out", w.x.BytesOut, "error", err)
	}
	if w.sayTLS != "" && message == "" {
		message = "what listens at " + w.sayTLS + " speaks TLS: write https://" + w.sayTLS
		w.f.cfg.Log.Warn("the workload speaks TLS, and its upstream is not https", "upstream", w.sayTLS, "hint", "write https://"+w.sayTLS)
	}
	if err != nil && w.f.cfg.Failed != nil {
		w.f.cfg.Failed(cause)
	}
	w.outcome = Outcome{Upgrade: w.upgrade != "", Status: status, Code: code, Cause: cause, Message: message, Took: time.Since(w.began),
		BytesIn: w.x.BytesIn, BytesOut: w.x.BytesOut}
	if w.rec != nil {
		w.rec.End(&w.outcome)
	}
	if r := w.f.cfg.Requests; r != nil {
		w.tellBegin() // if a panic came before
		r.End(w.mark, w.rec, &w.outcome, w.ending)
	}
}
