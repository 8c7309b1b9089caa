package web

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/filter"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// TestRow22_EachEndIsCounted: an exchange that does not end whole is counted by its
// cause and logged, unless a client could fill the log with it.
func TestRow22_EachEndIsCounted(t *testing.T) {
	cut := &mezu.Cut{Cause: mezu.CauseIdleTimeout, Err: io.ErrUnexpectedEOF}
	for _, c := range []struct {
		name         string
		err          error
		began, ended bool
		want         mezu.Cause
		status       int
		logged       string
	}{
		{"cut", cut, true, false, mezu.CauseIdleTimeout, 200, "request cut short"},
		{"client", relay.ErrClientGone, true, false, mezu.CauseClientGone, 200, ""},
		{"refusal", &mezu.Error{Code: mezu.CodeNoRoute}, false, false, mezu.CauseRefused, 404, ""},
		{"failure", &mezu.Error{Code: mezu.CodeWorkloadReset, Cause: cut}, false, false, mezu.CauseIdleTimeout, 502, "request failed"},
		{"failure behind a head", &mezu.Error{Code: mezu.CodeWorkloadBadResponse}, true, false, mezu.CauseWorkloadMalformed, 200, "request cut short"},
		{"the end of the edge", relay.ErrClientGone, true, true, mezu.CauseShutdown, 200, "request cut short"},
		{"what nobody foresaw", errors.New("odd"), true, false, mezu.CauseInternal, 200, "request cut short"},
	} {
		cut, cutNow := context.WithCancel(t.Context())
		x, meter, log := newExchange(t, cut)
		x.status, x.relay.Began = 200, c.began
		if c.ended {
			cutNow()
		}
		x.end(c.err)
		cutNow()
		if n := meter.ended; len(n) != 1 || n[0].Cause != c.want || n[0].Status != c.status {
			t.Errorf("%s: %+v counted", c.name, n)
		}
		if x.status != c.status {
			t.Errorf("%s: status %d", c.name, x.status)
		}
		if l := log.String(); c.logged == "" && l != "" || !strings.Contains(l, c.logged) || c.logged != "" && !strings.Contains(l, "cause="+string(c.want)) {
			t.Errorf("%s: the log says %q", c.name, l)
		}
	}
}

// What a step has refused is told, and what the firewall has found in a request that passed; what is
// one too many, and what no step has refused, is not.
func TestExchange_TellsOfRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		step  policy.Step
		err   error
		found *filter.Inspection
		want  string
	}{
		"a step":                {policy.StepUserLimit, &mezu.Error{Code: mezu.CodeRateLimited, Detail: "d"}, nil, "user_limit rate_limited id"},
		"the form":              {policy.StepForm, &mezu.Error{Code: mezu.CodeNotCanonical}, nil, "form not_canonical id"},
		"one too many":          {policy.StepLoad, &mezu.Error{Code: mezu.CodeRateLimited}, nil, ""},
		"no step":               {0, &mezu.Error{Code: mezu.CodeNoWarpgate}, nil, ""},
		"a client that is gone": {policy.StepForm, relay.ErrClientGone, nil, ""},
		"an attack":             {policy.StepBody, &mezu.Error{Code: mezu.CodeForbidden}, &filter.Inspection{}, "body forbidden id"},
		"one that passes":       {0, nil, &filter.Inspection{Detect: true}, "waf_head  id"},
		"nothing":               {0, nil, nil, ""},
	} {
		x, _, _ := newExchange(t, t.Context())
		var got string
		x.s.cfg.Refused = func(r *Refusal) { got = r.Step.String() + " " + string(r.Code) + " " + r.RequestID }
		x.Request.ID, x.Step, x.Inspection, x.InspectedAt = "id", c.step, c.found, policy.StepHead
		if x.end(c.err); got != c.want {
			t.Errorf("%s: told %q, want %q", name, got, c.want)
		}
	}
	// A head that is refused has no id yet. What is told has that of the answer.
	x, _, _ := newExchange(t, t.Context())
	told := ""
	x.s.cfg.Refused = func(r *Refusal) { told = r.RequestID }
	x.Request.ID, x.Step = "", policy.StepForm
	refusal := &mezu.Error{Code: mezu.CodeNotCanonical}
	x.end(refusal)
	if x.answerTo(refusal); told == "" || told != x.Request.ID {
		t.Errorf("told the id %q, and answered with %q", told, x.Request.ID)
	}
}
