package web

import (
	"errors"
	"log/slog"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// end counts and logs how the request ended.
func (x *exchange) end(err error) {
	o := Outcome{Status: x.status, Took: time.Since(x.started), BytesIn: x.bytesIn, BytesOut: x.bytesOut}
	if err != nil {
		x.endBadly(o, err)
		return
	}
	x.s.cfg.Meter.Ended(o)
}

// endBadly is end of a request that did not end whole. It sets the status that answers it.
func (x *exchange) endBadly(o Outcome, err error) {
	o.Cause = relay.CauseOf(err)
	if x.s.cfg.Cut.Err() != nil {
		o.Cause = mezu.CauseShutdown
	}
	var refusal *mezu.Error
	if !x.relay.Began && errors.As(err, &refusal) {
		o.Refusal = refusal.Code
		if !refusal.Code.Known() {
			o.Refusal = mezu.CodeInternal
		}
		o.Status = o.Refusal.Status()
		x.status = o.Status
	}
	x.s.cfg.Meter.Ended(o)
	x.tell(o, refusal, err)
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
