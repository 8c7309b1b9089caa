package layout_test

import (
	"regexp"
	"strings"
	"testing"
)

// knownAddresses are those of the internet that the programs know, each with its reason. None is
// asked for anything by a program.
func knownAddresses() map[string]string {
	dtd := "names a format"
	return map[string]string{
		"https://github.com/mezusphere/mezu/blob/main/docs/dashboard.md": "where the dashboard's help leads a browser, by a key",
		"https://github.com/mezusphere/mezu":                             "the documentation that a unit names",
		"http://www.apple.com/DTDs/PropertyList-1.0.dtd":                 dtd,
		"http://www.w3.org/2000/svg":                                     dtd,
	}
}

// address is one of the internet: its host has a dot, and is no number.
var address = regexp.MustCompile(`https?://(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?::\d+)?(?:/[^\s"'<>` + "`" + `]*)?`)

// example is a host that stands for one of the reader's.
var example = regexp.MustCompile(`^https?://[^/:]*(example|example\.(com|net|org)|\.localhost)(:\d+)?(/|$)`)

// TestNothingCallsHome: the programs know no place to ask for a release, or to tell of themselves.
// What they call, somebody has named: a control plane, a proxy, the source of an update.
func TestNothingCallsHome(t *testing.T) {
	for _, p := range load(t) {
		if dir, _, _ := strings.Cut(p.dir, "/"); dir == "release" || dir == "bench" || dir == "e2e" || dir == "testkit" {
			continue // of no program
		}
		for _, f := range p.code() {
			for lit, text := range literals(f) {
				for _, at := range address.FindAllString(text, -1) {
					if !example.MatchString(at) && knownAddresses()[at] == "" {
						t.Errorf("%s: %s: who asked for it? If nothing is ever sent there, say so in knownAddresses", p.at(lit), at)
					}
				}
			}
		}
	}
}
