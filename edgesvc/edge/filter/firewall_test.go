package filter

import (
	"net/netip"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/edgesvc/edge/waf"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// guarded are the filters with a firewall, and what it says.
func guarded(f *waf.Firewall) (Chain, *[]Inspection) {
	var said []Inspection
	return All(Config{Sessions: session.New(session.Config{Limits: gcra.NewTable(nil)}), Domain: func() string { return "" }, Firewall: f, Inspected: func(i *Inspection) { said = append(said, *i) }}), &said
}

// asking is a request with a body of a media type, on a route with a firewall.
func asking(query, mediaType string, detect bool) *Exchange {
	x := &Exchange{Environment: "e", Client: netip.MustParseAddr("192.0.2.1"), Route: &policy.Route{Route: &mezu.Route{Name: "r"}, Firewall: &policy.Firewall{Detect: detect}}}
	x.Request = relay.Request{Method: "POST", ID: "id", Host: "h", Authority: "h", Path: mezu.Path{Path: "/"}, Query: query, Fields: fields("User-Agent", "Mozilla/5.0", "Accept", "*/*")}
	if mediaType != "" {
		x.Request.Fields = append(x.Request.Fields, fields("Content-Type", mediaType)...)
		x.Request.Framing = relay.Chunked
	}
	return x
}

// A head is judged at its step; a body is asked for, and judged with the head.
func TestFirewall_Steps(t *testing.T) {
	const attack = "?a=1%27%20UNION%20SELECT%20password%20FROM%20users%20--%20"
	chain, said := guarded(waf.New(2, func(netip.Addr) bool { return true }))
	for _, detect := range []bool{false, true} {
		want := mezu.CodeForbidden
		if detect {
			want = ""
		}
		*said = nil
		x := asking(attack, "", detect)
		if _, err := chain.After(x); mezu.CodeOf(err) != want || !detect && x.Step != policy.StepHead {
			t.Errorf("head: %v at %v", err, x.Step)
		}
		x = asking(attack, "application/json", detect)
		if _, err := chain.After(x); err != nil || x.Keep != int64(mezu.DefaultWAFBody) || x.Judge != nil {
			t.Errorf("JSON: %v, %d bytes are kept", err, x.Keep)
		}
		if err := chain.Body(x, []byte(`{}`), true); mezu.CodeOf(err) != want || !detect && x.Step != policy.StepBody {
			t.Errorf("JSON: %v at %v", err, x.Step)
		}
		x = asking(attack, "multipart/form-data; boundary=b", detect)
		if _, err := chain.After(x); err != nil || x.Keep != 0 || x.Judge == nil {
			t.Fatalf("parts: %v, %d bytes are kept", err, x.Keep)
		}
		x.Judge.Write([]byte("--b--"))
		if _, err := x.Judge.End(); mezu.CodeOf(err) != want || !detect && x.Step != policy.StepBody || x.Inspection == nil || x.InspectedAt != policy.StepBody {
			t.Errorf("parts: %v at %v", err, x.Step)
		}
		for _, i := range *said {
			if i.Result != waf.Attack || i.Detect != detect || i.Score < 5 {
				t.Errorf("told of %+v", i)
			}
		}
		if len(*said) != 3 {
			t.Errorf("told of %d requests", len(*said))
		}
	}
	// Another filter has the body kept: the parts are judged in it.
	x := asking("", "multipart/form-data; boundary=b", false)
	x.Keep = 10
	if _, err := chain.After(x); err != nil || x.Judge != nil || x.Keep <= 10 {
		t.Errorf("%v, %d bytes are kept", err, x.Keep)
	}
	// One of which nothing but the head is looked at was judged by that already.
	*said = nil
	x = asking("", "application/octet-stream", false)
	x.Keep = 10
	if _, err := chain.After(x); err != nil {
		t.Fatal(err)
	}
	if err := chain.Body(x, []byte("a"), true); err != nil || len(*said) != 1 {
		t.Errorf("%v, told of %d requests", err, len(*said))
	}
	x = asking(attack, "", false)
	x.Route.Firewall = nil
	if _, err := chain.After(x); err != nil {
		t.Errorf("a route without a firewall: %v", err)
	}
}

// P36: a firewall that is broken lets nothing pass.
func TestP36_PanicOfTheFirewall(t *testing.T) {
	chain, _ := guarded(nil)
	for _, detect := range []bool{false, true} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a request has passed")
				}
			}()
			chain.After(asking("", "", detect))
		}()
	}
}

// Whoever has taken their share of the firewall's time is told when it looks at more, unless attacks are only
// detected.
func TestFirewall_TellsTheWait(t *testing.T) {
	f := &firewall{inspected: func(*Inspection) {}}
	share := &mezu.Error{Code: mezu.CodeRateLimited}
	for _, detect := range []bool{false, true} {
		x := asking("", "", detect)
		err := f.decide(x, policy.StepHead, waf.Verdict{Wait: time.Second}, share)
		if detect && (err != nil || x.Wait != 0) || !detect && (err != share || x.Wait != time.Second) {
			t.Errorf("detecting %v: %v, a wait of %v", detect, err, x.Wait)
		}
	}
}
