package web

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

// probeTimeout bounds the round trip to a Warpgate.
const probeTimeout = 5 * time.Second

// probe answers a probe of the way to a Warpgate.
func (x *exchange) probe() (*answer, error) {
	if err := x.s.cfg.Pages.AdmitProbe(x.Client, x.started); err != nil {
		return nil, err
	}
	timing := fmt.Sprintf("edge;dur=%.3f", millis(time.Since(x.started)))
	if !hopEdge(x.Request.Query) {
		took, err := x.probeWarpgate()
		if err != nil {
			return nil, err
		}
		timing += fmt.Sprintf(", warpgate;dur=%.3f", millis(took))
	}
	a := &answer{status: 204}
	a.set("Server-Timing", timing)
	a.set("Cache-Control", "no-store")
	a.set(mezu.HeaderRequestID, x.Request.ID)
	return a, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// hopEdge reports whether the query asks for an answer of the edge alone.
func hopEdge(query string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(query, "?"), "&") {
		if part == "hop=edge" {
			return true
		}
	}
	return false
}

// probeWarpgate makes a round trip to a Warpgate of the environment.
func (x *exchange) probeWarpgate() (time.Duration, error) {
	bundle := x.table.Bundle()
	if !bundle.Enabled {
		return 0, &mezu.Error{Code: mezu.CodeEnvironmentDisabled, Detail: "the environment is switched off"}
	}
	ctx, cancel := context.WithTimeout(x.s.cfg.Cut, probeTimeout)
	defer cancel()
	start := time.Now()
	for range maxAttempts {
		s := x.pick()
		if s == nil {
			break
		}
		conn, err := s.Checkout(ctx, tunnel.AddressOf(x.Client))
		if err != nil {
			return 0, checkoutError(err)
		}
		stale := conn.Reused()
		if err = roundTrip(conn); err == nil {
			conn.Release()
			return time.Since(start), nil
		}
		conn.Discard()
		if !stale {
			return 0, &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the Warpgate did not answer the probe", Cause: err}
		}
	}
	return 0, x.noWarpgate()
}

// roundTrip sends a probe to a Warpgate on a data connection, and reads its answer.
func roundTrip(conn *tunnel.Conn) error {
	var timed relay.Timed
	timed.Wrap(conn, probeTimeout, probeTimeout)
	conn.WriteBy = time.Time{} // it isn't known any more: the next exchange sets a deadline
	if _, err := timed.Write(preface.AppendProbe(nil)); err != nil {
		return err
	}
	var r relay.Reader
	r.Reset(&timed)
	defer r.Release()
	kind, _, err := preface.Read(&r)
	switch {
	case err != nil:
		return err
	case kind != preface.KindAlive || r.Buffered() > 0:
		return fmt.Errorf("answered a probe with a typed head of kind %d and %d further bytes", kind, r.Buffered())
	}
	return nil
}
