package controltest

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/mezusphere/mezu/api"
)

// The witness notices what is not as the document says.
func TestContract_NoticesDeviations(t *testing.T) {
	in := Install(t)
	c, err := newContract(in)
	if err != nil {
		t.Fatal(err)
	}
	text := http.Header{"Content-Type": {"application/json"}}
	good, err := json.Marshal(map[string]any{"kind": "member", "id": "mbr_1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.check(api.OpSelf, 200, text, good); err != nil {
		t.Errorf("a good answer: %v", err)
	}
	for name, body := range map[string]string{"an unknown field": `{"kind":"member","id":"x","more":1}`, "a wrong type": `{"kind":1,"id":"x"}`, "a missing field": `{"kind":"member"}`} {
		if c.check(api.OpSelf, 200, text, []byte(body)) == nil {
			t.Errorf("%s was not noticed", name)
		}
	}
	if c.check(api.OpSelf, 302, text, good) == nil || c.check(api.OpSelf, 200, http.Header{"Content-Type": {"text/html"}}, good) == nil {
		t.Error("another status or type was not noticed")
	}
}
