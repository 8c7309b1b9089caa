package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// TestTargets: what a Warpgate says of its targets is shown while it counts: of the build that said it,
// and within bounds.
func TestTargets(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	gate := in.Client("", w.Cert)
	shown := func() *mezu.WarpgateTargets {
		return controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...).Targets
	}
	if is := shown(); is != nil {
		t.Errorf("one that said nothing has %+v", is)
	}
	say := func(version, upstream string, allow ...string) api.WarpgateTargetsRequest {
		return api.WarpgateTargetsRequest{WarpgateTargets: mezu.WarpgateTargets{Upstream: upstream, Allow: allow}, Version: version}
	}
	controltest.Call[any](t, gate, api.OpWarpgateTargets, say("1.0", "localhost:8080", "unix:/run/x"))
	if is := shown(); is == nil || is.Upstream != "localhost:8080" || len(is.Allow) != 1 || is.More {
		t.Errorf("%+v", is)
	}
	// The same again writes nothing; another one has to wait.
	audited := len(in.Audited())
	controltest.Call[any](t, gate, api.OpWarpgateTargets, say("1.0", "localhost:8080", "unix:/run/x"))
	if got := len(in.Audited()); got != audited {
		t.Errorf("%d records of what didn't change", got-audited)
	}
	controltest.Refused(t, mezu.CodeRateLimited, gate, api.OpWarpgateTargets, say("1.0", "localhost:8081"))
	in.Clock.Advance(3 * time.Second)
	controltest.Call[any](t, gate, api.OpWarpgateTargets, say("1.0", ""))
	controltest.Call[any](t, gate, api.OpWarpgateTargets, say("1.0", "", []string{}...))
	if is := shown(); is == nil || is.Upstream != "" {
		t.Errorf("%+v", is)
	}
	for name, bad := range map[string]api.WarpgateTargetsRequest{
		"no upstream": say("1.0", "ftp://x"), "a path": say("1.0", "localhost:1/x"), "a version": say("ö", ""), "bytes": say("1.0", "", strings.Repeat("1", mezu.MaxWarpgateTargetBytes+1)),
	} {
		if err := controltest.Refused(t, mezu.CodeInvalid, gate, api.OpWarpgateTargets, bad); err == nil {
			t.Error(name)
		}
	}
	// Another build has registered, and says nothing.
	csr := controltest.NewIdentity(t)
	out := controltest.Call[api.RegisterResponse](t, gate, api.OpRenewWarpgate, api.RenewRequest{CSR: csr.CSR, Version: "0.9"})
	if is := shown(); is != nil {
		t.Errorf("what another build said counts: %+v", is)
	}
	// Who is no Warpgate says nothing, and a removed one neither.
	controltest.Refused(t, mezu.CodeForbidden, op, api.OpWarpgateTargets, say("1.0", ""))
	csr.Take(t, out.Certificates, out.Warpgate)
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(w.ID)...)
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", csr.Cert), api.OpWarpgateTargets, say("1.0", ""))
}
