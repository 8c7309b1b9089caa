package mezu_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/mezusphere/mezu"
)

func TestCode_Status(t *testing.T) {
	// The public contract, copied out of it.
	for code, status := range map[mezu.Code]int{
		"invalid": 400, "not_canonical": 400, "unauthenticated": 401, "forbidden": 403, "refused_by_warpgate": 403, "not_found": 404, "unknown_host": 404, "no_route": 404,
		"method_not_allowed": 405, "request_timeout": 408, "conflict": 409, "precondition_failed": 412, "body_too_large": 413, "uri_too_long": 414, "wrong_host": 421, "rate_limited": 429,
		"header_too_large": 431, "internal": 500, "not_implemented": 501, "workload_refused": 502, "workload_reset": 502, "workload_bad_response": 502, "upstream_not_allowed": 502,
		"unavailable": 503, "no_warpgate": 503, "environment_disabled": 503, "route_unavailable": 503, "overloaded": 503, "workload_timeout": 504,
	} {
		if !code.Known() || code.Status() != status {
			t.Errorf("%s: known %v, %d, want %d", code, code.Known(), code.Status(), status)
		}
	}
	if c := mezu.Code("made_up"); c.Known() || c.Status() != 500 {
		t.Error("an unknown code")
	}
}

func TestError(t *testing.T) {
	e := &mezu.Error{Code: mezu.CodeInvalid, Field: "routes[2].prefix", Detail: "starts with '/'", Hint: "write /api", Cause: io.EOF}
	if got := e.Error(); got != "routes[2].prefix: starts with '/' (write /api)" {
		t.Error(got)
	}
	if got := (&mezu.Error{Code: mezu.CodeConflict}).Error(); got != "conflict" {
		t.Error(got)
	}
	wrapped := fmt.Errorf("opening store: %w", e)
	if !errors.Is(wrapped, io.EOF) || mezu.CodeOf(wrapped) != mezu.CodeInvalid || mezu.CodeOf(io.EOF) != mezu.CodeInternal || mezu.CodeOf(nil) != "" {
		t.Error("code and cause of a wrapped error")
	}
	if got := mezu.Errorf(mezu.CodeNotFound, "no %s", "x"); got.Code != mezu.CodeNotFound || got.Detail != "no x" {
		t.Error(got)
	}
}
