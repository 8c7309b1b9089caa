package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/service"
)

// environmentOf makes an organization, a project and an environment of these names.
func (in *installation) environmentOf(owner *api.Client, org, prj, env string) mezu.Environment {
	in.t.Helper()
	ensure := func(o api.Operation, name string, params ...string) {
		_, err := api.Invoke[any](in.t.Context(), owner, o, map[string]any{"name": name}, params...)
		if err != nil && mezu.CodeOf(err) != mezu.CodeConflict {
			in.t.Fatal(err)
		}
	}
	ensure(api.OpCreateOrganization, org)
	ensure(api.OpCreateProject, prj, org)
	return call[mezu.Environment](in.t, owner, api.OpCreateEnvironment, map[string]any{"name": env}, org, prj)
}

// T1: no name that one may choose gives the endpoint of somebody else or of the
// installation.
func TestT1_ClaimingAName(t *testing.T) {
	in := install(t)
	op := in.operator()
	// Three tenants whose names run together to the same label.
	taken := map[string]bool{}
	for _, n := range [][3]string{{"b-c", "a", "production"}, {"c", "a-b", "production"}, {"c", "a", "b"}} {
		got := in.environmentOf(op, n[0], n[1], n[2]).Endpoint
		if taken[got] || !strings.HasPrefix(got, "a-b-c") || !mezu.EndpointFits(got) {
			t.Errorf("%v got %q, taken are %v", n, got, taken)
		}
		taken[got] = true
	}
	if !taken["a-b-c"] {
		t.Errorf("nobody has the plain label: %v", taken)
	}
	// A label of the installation's own comes with a suffix or not at all.
	if got := in.environmentOf(op, "sts", "mta", "production").Endpoint; got == "mta-sts" || !strings.HasPrefix(got, "mta-sts-") {
		t.Errorf("mta-sts is given away as %q", got)
	}
	// What is no name is no part of a label.
	for _, name := range []string{"_acme-challenge", "WWW", "Shop", "shop.", "shop.acme", "*", "@", "", "-a", "xn--a", "a b", "a\x00"} {
		for _, c := range []struct {
			op   api.Operation
			path []string
		}{{api.OpCreateOrganization, nil}, {api.OpCreateProject, []string{"c"}}, {api.OpCreateEnvironment, []string{"c", "a"}}} {
			if e := refused(t, mezu.CodeInvalid, op, c.op, map[string]any{"name": name}, c.path...); e.Field != "name" {
				t.Errorf("%s %q: %+v", c.op.ID, name, e)
			}
		}
	}
	// Nobody names an endpoint.
	for _, field := range []string{"endpoint", "url"} {
		refused(t, mezu.CodeInvalid, op, api.OpCreateEnvironment, map[string]any{"name": "x", field: "www"}, "c", "a")
		refused(t, mezu.CodeInvalid, op, api.OpUpdateEnvironment, map[string]any{field: "www"}, "c", "a", "b")
	}
	// Nor does an edge get a certificate for what no environment has.
	e, _ := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	for _, host := range []string{
		"localhost", ".localhost", "www.localhost", "api.localhost", "console.localhost", "login.localhost", "_acme-challenge.localhost",
		"_acme-challenge.a-b-c.localhost", "A-B-C.localhost", "a-b-c.localhost.", "a-b-c.LOCALHOST", "x.a-b-c.localhost", "*.localhost", "mta-sts.localhost", "nobody.localhost",
	} {
		refused(t, mezu.CodeForbidden, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: newIdentity(t).csr, Hosts: []string{"a-b-c.localhost", host}})
	}
	call[api.PublicCertificateResponse](t, edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: newIdentity(t).csr, Hosts: []string{"a-b-c.localhost"}})
}

// T1: of many who want the same label at once each gets one of his own.
func TestT1_ClaimedAtOnce(t *testing.T) {
	in := install(t)
	op := in.operator()
	var places [][3]string
	for _, n := range [][3]string{{"b-c-d", "a", "production"}, {"c-d", "a-b", "production"}, {"d", "a-b-c", "production"}, {"c-d", "a", "b"}, {"d", "a-b", "c"}, {"d", "a", "b-c"}} {
		in.environmentOf(op, n[0], n[1], "other-"+n[2])
		places = append(places, n)
	}
	endpoints := make([]string, len(places))
	got := atOnce(len(places), func(i int) error {
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
	in := install(t)
	_, op := in.token(in.operator(), map[string]any{"expires_at": in.clock.now().Add(mezu.MaxTokenLife)})
	if got := in.environmentOf(op, "b-c", "a", "production").Endpoint; got != "a-b-c" {
		t.Fatalf("endpoint %q", got)
	}
	acc := call[api.ServiceAccountCreated](t, op, api.OpCreateServiceAccount, map[string]any{"name": "gate", "permissions": []string{"warpgate.register"}}, "b-c", "a")
	w, _ := in.register(in.secret(acc.Key), "")
	e, _ := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	release := func(org, prj, env string) { call[any](t, op, api.OpDeleteEnvironment, nil, org, prj, env) }
	certificate := func() error {
		_, err := api.Invoke[any](t.Context(), edge, api.OpPublicCertificate, api.PublicCertificateRequest{CSR: newIdentity(t).csr, Hosts: []string{"a-b-c.localhost"}})
		return err
	}
	if err := certificate(); err != nil {
		t.Fatal(err)
	}
	release("b-c", "a", "production")
	// A's old Warpgate and certificates for the host are no use any more.
	refused(t, mezu.CodeUnauthenticated, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	if code := mezu.CodeOf(certificate()); code != mezu.CodeForbidden {
		t.Errorf("a certificate for a released name: %q", code)
	}
	// A stranger gets another label, now and on the last day.
	if got := in.environmentOf(op, "c", "a-b", "production").Endpoint; got == "a-b-c" {
		t.Error("a stranger has the name a second later")
	}
	in.clock.advance(service.EndpointHold - time.Hour)
	if got := in.environmentOf(op, "c", "a", "b").Endpoint; got == "a-b-c" {
		t.Error("a stranger has the name before the hold is over")
	}
	// Its own organization has it back, in any of its projects.
	if got := in.environmentOf(op, "b-c", "a", "production").Endpoint; got != "a-b-c" {
		t.Errorf("the own organization gets %q", got)
	}
	refused(t, mezu.CodeNotFound, in.client(acc.Key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: newIdentity(t).csr, Environment: "b"})
	release("b-c", "a", "production")
	in.clock.advance(service.EndpointHold + time.Hour)
	release("c", "a-b", "production")
	if got := in.environmentOf(op, "c", "a-b", "production").Endpoint; got != "a-b-c" {
		t.Errorf("after the hold a stranger gets %q", got)
	}
}

// T3: only Warpgates that the environment's own project let in get a share of its
// traffic, each under an identity of its own.
func TestT3_StrangerAtTheName(t *testing.T) {
	in := install(t)
	op := in.operator()
	x, y := in.tenant(op, "acme"), in.tenant(op, "other")
	_, ours := x.account("gate", mezu.PermWarpgateRegister)
	_, theirs := y.account("gate", mezu.PermWarpgateRegister)
	w, mine := in.register(ours, "")
	_, stranger := in.register(theirs, "")
	if mine.Environment != stranger.Environment || mine.URL == stranger.URL {
		t.Errorf("%s and %s", mine.URL, stranger.URL)
	}
	// Neither the id nor the name of another project's environment is one to join,
	// and an identity goes on only with its own key.
	for _, env := range []string{x.environment.ID, "acme/shop/production", x.environment.Endpoint} {
		refused(t, mezu.CodeNotFound, in.client(theirs, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: newIdentity(t).csr, Environment: env})
	}
	refused(t, mezu.CodeForbidden, in.client(ours, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: newIdentity(t).csr, Warpgate: w.id})
	taken := call[api.RegisterResponse](t, in.client(theirs, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.csr, Warpgate: w.id})
	if taken.Warpgate == w.id {
		t.Error("a stranger with the CSR has the identity")
	}
	all := call[api.List[mezu.Warpgate]](t, op, api.OpListWarpgates, nil, x.path()...)
	if len(all.Items) != 1 || all.Items[0].ID != w.id {
		t.Errorf("the environment's Warpgates: %+v", all.Items)
	}
}
