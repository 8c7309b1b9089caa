package e2e

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
)

// h2specTests is how many h2spec has, the strict ones too.
const h2specTests = 146

// deviations are the tests of h2spec that fail on purpose, each with the reason.
var deviations = map[string]string{}

// h2spec holds the edge against RFC 9113 and RFC 7541, by all tests of h2spec and with a workload
// behind it.
func h2spec(t *testing.T, p *parts) {
	for path, workload := range map[string]*talker{"/spec": p.h1, "/h2c/spec": p.h2c} {
		before := workload.echoes.Load()
		p.h2spec(t, path)
		if workload.echoes.Load() == before {
			t.Errorf("no request to %s came to the workload", path)
		}
	}
}

func (p *parts) h2spec(t *testing.T, path string) {
	t.Helper()
	out, log, err := output(t, p.peers.path("h2spec"), "-host", p.host, "-port", p.port(), "-path", path, "-timeout", "5s")
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(log))
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
		_, known := deviations[r.ID]
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
}
