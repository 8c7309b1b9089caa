package e2e

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// h2specTests is how many h2spec has, the strict ones too.
const h2specTests = 146

// deviations are the tests of h2spec that fail on purpose, each with the reason.
var deviations = map[string]string{}

// deviationsOfNetHTTP are those that net/http's server fails.
var deviationsOfNetHTTP = map[string]string{
	"http2/6.5.3/1":   "a SETTINGS frame that names a setting twice ends the connection, though the last value is to count",
	"http2/8.1.2.2/1": "connection-specific fields are dropped, though a request that has one is malformed",
	"http2/8.1.2.2/2": "any TE passes, though one other than \"trailers\" makes a request malformed",
}

// h2spec holds the edge against RFC 9113 and RFC 7541, by all tests of h2spec and with a workload
// behind it.
func h2spec(t *testing.T, p *parts) {
	out, log, err := output(t, p.peers.path("h2spec"), "-host", p.host, "-port", p.port(), "-path", "/spec", "-timeout", "5s")
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(log))
	}
	expected := deviationsOfNetHTTP
	if testkit.OwnHTTP2 {
		expected = deviations
	}
	ran := 0
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); ran++ {
		var r struct {
			ID, Description, Requirement, Error string
			Failed, Skipped                     bool
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		_, known := expected[r.ID]
		switch {
		case r.Skipped:
			t.Errorf("%s was skipped: %s", r.ID, r.Description)
		case r.Failed && !known:
			t.Errorf("%s fails: %s\n%s\n%s", r.ID, r.Description, r.Requirement, r.Error)
		case !r.Failed && known:
			t.Errorf("%s passes, and is listed as a deviation", r.ID)
		}
	}
	if ran != h2specTests {
		t.Errorf("%d tests ran, and not %d", ran, h2specTests)
	}
	if p.h1.echoes.Load() == 0 {
		t.Error("no request came to the workload")
	}
}
