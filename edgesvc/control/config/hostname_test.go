package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/config"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// environmentOf makes an organization, a project and an environment of these names.
func environmentOf(in *controltest.Installation, owner *api.Client, org, prj, env string) mezu.Environment {
	in.T.Helper()
	ensure := func(o api.Operation, name string, params ...string) {
		_, err := api.Invoke[any](in.T.Context(), owner, o, map[string]any{"name": name}, params...)
		if err != nil && mezu.CodeOf(err) != mezu.CodeConflict {
			in.T.Fatal(err)
		}
	}
	ensure(api.OpCreateOrganization, org)
	ensure(api.OpCreateProject, prj, org)
	return controltest.Call[mezu.Environment](in.T, owner, api.OpCreateEnvironment, map[string]any{"name": env}, org, prj)
}

// T1: no name that one may choose gives the endpoint of somebody else or of the
// installation.
func TestT1_ClaimingAName(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	// Three tenants whose names run together to the same label.
	taken := map[string]bool{}
	for _, n := range [][3]string{{"b-c", "a", "production"}, {"c", "a-b", "production"}, {"c", "a", "b"}} {
		got := environmentOf(in, op, n[0], n[1], n[2]).Endpoint
		if taken[got] || !strings.HasPrefix(got, "a-b-c") || !mezu.EndpointFits(got) {
			t.Errorf("%v got %q, taken are %v", n, got, taken)
		}
		taken[got] = true
	}
	if !taken["a-b-c"] {
		t.Errorf("nobody has the plain label: %v", taken)
	}
	// A label of the installation's own comes with a suffix or not at all.
	if got := environmentOf(in, op, "sts", "mta", "production").Endpoint; got == "mta-sts" || !strings.HasPrefix(got, "mta-sts-") {
		t.Errorf("mta-sts is given away as %q", got)
	}
	// What is no name is no part of a label.
	for _, name := range []string{"_acme-challenge", "WWW", "Shop", "shop.", "shop.acme", "*", "@", "", "-a", "xn--a", "a b", "a\x00"} {
		for _, c := range []struct {
			op   api.Operation
			path []string
		}{{api.OpCreateOrganization, nil}, {api.OpCreateProject, []string{"c"}}, {api.OpCreateEnvironment, []string{"c", "a"}}} {
			if e := controltest.Refused(t, mezu.CodeInvalid, op, c.op, map[string]any{"name": name}, c.path...); e.Field != "name" {
				t.Errorf("%s %q: %+v", c.op.ID, name, e)
			}
		}
	}
	// Nobody names an endpoint.
	for _, field := range []string{"endpoint", "url"} {
		controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateEnvironment, map[string]any{"name": "x", field: "www"}, "c", "a")
		controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateEnvironment, map[string]any{field: "www"}, "c", "a", "b")
	}
	// Nor does an edge get a certificate for what no environment has.
	e, _ := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	for _, host := range []string{
		"localhost", ".localhost", "www.localhost", "api.localhost", "console.localhost", "login.localhost", "_acme-challenge.localhost",
		"_acme-challenge.a-b-c.localhost", "A-B-C.localhost", "a-b-c.localhost.", "a-b-c.LOCALHOST", "x.a-b-c.localhost", "*.localhost", "mta-sts.localhost", "nobody.localhost",
	} {
		controltest.Refused(t, mezu.CodeForbidden, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: controltest.NewIdentity(t).CSR, Hosts: []string{"a-b-c.localhost", host}})
	}
	controltest.Call[api.PublicCertificateChain](t, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: controltest.NewIdentity(t).CSR, Hosts: []string{"a-b-c.localhost"}})
}

// T1: of many who want the same label at once each gets one of his own.
func TestT1_ClaimedAtOnce(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	var places [][3]string
	for _, n := range [][3]string{{"b-c-d", "a", "production"}, {"c-d", "a-b", "production"}, {"d", "a-b-c", "production"}, {"c-d", "a", "b"}, {"d", "a-b", "c"}, {"d", "a", "b-c"}} {
		environmentOf(in, op, n[0], n[1], "other-"+n[2])
		places = append(places, n)
	}
	endpoints := make([]string, len(places))
	got := controltest.AtOnce(len(places), func(i int) error {
		env, err := api.Invoke[mezu.Environment](t.Context(), op, api.OpCreateEnvironment, map[string]any{"name": places[i][2]}, places[i][0], places[i][1])
		endpoints[i] = env.Endpoint
		return err
	})
	seen := map[string]bool{}
	for _, e := range endpoints {
		if seen[e] {
			t.Errorf("%s is given away twice: %v", e, endpoints)
		}
		seen[e] = true
	}
	if got[""] != len(places) || !seen["a-b-c-d"] {
		t.Errorf("outcomes %v, endpoints %v", got, endpoints)
	}
}

// T2: a released label stays with its organization for thirty days, comes back to it at
// once, and is free after that; what belonged to the old environment opens nothing.
func TestT2_ReleasedName(t *testing.T) {
	in := controltest.Install(t)
	_, op := in.Token(in.Operator(), map[string]any{"expires_at": in.Clock.Now().Add(mezu.MaxTokenLife)})
	if got := environmentOf(in, op, "b-c", "a", "production").Endpoint; got != "a-b-c" {
		t.Fatalf("endpoint %q", got)
	}
	acc := controltest.Call[api.ServiceAccountCreated](t, op, api.OpCreateServiceAccount, map[string]any{"name": "gate", "permissions": []string{"warpgate.register"}}, "b-c", "a")
	w, _ := in.Register(in.Secret(acc.Key), "")
	e, _ := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	release := func(org, prj, env string) { controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, org, prj, env) }
	certificate := func() error {
		_, err := api.Invoke[any](t.Context(), edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: controltest.NewIdentity(t).CSR, Hosts: []string{"a-b-c.localhost"}})
		return err
	}
	if err := certificate(); err != nil {
		t.Fatal(err)
	}
	release("b-c", "a", "production")
	// A's old Warpgate and certificates for the host are no use any more.
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	if code := mezu.CodeOf(certificate()); code != mezu.CodeForbidden {
		t.Errorf("a certificate for a released name: %q", code)
	}
	// A stranger gets another label, now and on the last day.
	if got := environmentOf(in, op, "c", "a-b", "production").Endpoint; got == "a-b-c" {
		t.Error("a stranger has the name a second later")
	}
	in.Clock.Advance(config.EndpointHold - time.Hour)
	if got := environmentOf(in, op, "c", "a", "b").Endpoint; got == "a-b-c" {
		t.Error("a stranger has the name before the hold is over")
	}
	// Its own organization has it back, in any of its projects.
	if got := environmentOf(in, op, "b-c", "a", "production").Endpoint; got != "a-b-c" {
		t.Errorf("the own organization gets %q", got)
	}
	controltest.Refused(t, mezu.CodeNotFound, in.Client(acc.Key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR, Environment: "b"})
	release("b-c", "a", "production")
	in.Clock.Advance(config.EndpointHold + time.Hour)
	release("c", "a-b", "production")
	if got := environmentOf(in, op, "c", "a-b", "production").Endpoint; got != "a-b-c" {
		t.Errorf("after the hold a stranger gets %q", got)
	}
}

// T3: only Warpgates that the environment's own project let in get a share of its
// traffic, each under an identity of its own.
func TestT3_StrangerAtTheName(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x, y := in.Tenant(op, "acme"), in.Tenant(op, "other")
	_, ours := x.Account("gate", mezu.PermWarpgateRegister)
	_, theirs := y.Account("gate", mezu.PermWarpgateRegister)
	w, mine := in.Register(ours, "")
	_, stranger := in.Register(theirs, "")
	if mine.Environment != stranger.Environment || mine.URL == stranger.URL {
		t.Errorf("%s and %s", mine.URL, stranger.URL)
	}
	// Neither the id nor the name of another project's environment is one to join,
	// and an identity goes on only with its own key.
	for _, env := range []string{x.Environment.ID, "acme/shop/production", x.Environment.Endpoint} {
		controltest.Refused(t, mezu.CodeNotFound, in.Client(theirs, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR, Environment: env})
	}
	controltest.Refused(t, mezu.CodeForbidden, in.Client(ours, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR, Warpgate: w.ID})
	taken := controltest.Call[api.RegisterResponse](t, in.Client(theirs, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR, Warpgate: w.ID})
	if taken.Warpgate == w.ID {
		t.Error("a stranger with the CSR has the identity")
	}
	all := controltest.Call[api.List[mezu.Warpgate]](t, op, api.OpListWarpgates, nil, x.Path()...)
	if len(all.Items) != 1 || all.Items[0].ID != w.ID {
		t.Errorf("the environment's Warpgates: %+v", all.Items)
	}
}
