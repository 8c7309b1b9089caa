package waf

import (
	"os"
	"strings"
	"testing"
)

// TestBenign: what programs and people send every day is no attack at the lowest level.
// testdata/benign.txt has requests for pages and to programs' interfaces, JSON, GraphQL, prose in
// some languages, and uploads.
func TestBenign(t *testing.T) {
	b, err := os.ReadFile("testdata/benign.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(b), "\n=====\n")
	if len(all) < 200 {
		t.Fatalf("%d requests only", len(all))
	}
	f := firewall(t)
	for _, one := range all {
		head, body, _ := strings.Cut(one, "\n\n")
		lines := strings.Split(head, "\n")
		method, target, _ := strings.Cut(lines[0], " ")
		r := request(method, target, len(body))
		r.Fields = r.Fields[:0]
		for _, l := range lines[1:] {
			name, value, _ := strings.Cut(l, ": ")
			r.Fields = append(r.Fields, headField(name, value))
		}
		v, err := f.Body(visitor, NewSettings(nil), r, KindOf(r), []byte(body))
		if err != nil || v.Code() != "" {
			t.Errorf("%s: %+v, %v", one, v, err)
		}
	}
}
