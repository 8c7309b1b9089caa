package pages

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// recorder keeps what a workload gets, a line of JSON each. The daemon looks at / what speaks there.
const recorder = `
import http.server, json
class Recorder(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    do_HEAD = do_OPTIONS = do_GET
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open("/srv/received", "a") as f: f.write(json.dumps({"body": body, **{k.lower(): v for k, v in self.headers.items()}}) + "\n")
        self.do_GET()
print("Serving", flush=True)
http.server.ThreadingHTTPServer(("localhost", 8080), Recorder).serve_forever()
`

// TestInspectorPage: from the webhook that nobody waits for to the one that curl sends again
// through the edge. What the workload gets is what came, byte for byte.
func TestInspectorPage(t *testing.T) {
	t.Parallel()
	here := play(t, "docs/inspector.md", world{
		machines: []string{"here", "hosted"},
		names:    names{all: hostedNames(2)},
		before: func(t *testing.T, all map[string]*machine) {
			all["here"].write("/srv/recorder.py", recorder)
			all["here"].enter("stay", "recorder", "Serving", "python3", "-u", "/srv/recorder.py")
			host(t, all["hosted"], all["here"])
			all["here"].prepare("mezu login --api https://control.example.com:7443; mkdir shop; cd shop")
		},
	})["here"]
	const hook, refund = `{"id": "evt_1PzX", "type": "payment_intent.succeeded", "amount": 4200}`, `{"id": "evt_1PzY", "type": "charge.refunded", "amount": 4200}`
	var bodies []string
	for i, line := range strings.Split(strings.TrimSpace(here.enter("cat", "/srv/received")), "\n") {
		var got map[string]string
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, got["body"])
		debug := ""
		if i >= 1 && i <= 3 {
			debug = "1"
		}
		if got["stripe-signature"] != "t=1764165747,v1=5257a869e7ec" || got["content-type"] != "application/json" || got["x-debug"] != debug {
			t.Errorf("%d: %v", i, got)
		}
	}
	// Replayed once, three times with another field, and edited. What curl sends goes to the
	// address that it came to.
	if want := []string{hook, hook, hook, hook, refund}; !slices.Equal(bodies, want) {
		t.Errorf("the workload got %q", bodies)
	}
	if event := here.enter("cat", "shop/event.json"); event != hook {
		t.Errorf("%q", event)
	}
	if mode := here.enter("stat", "--format", "%a", "shop/hooks.har"); mode != "600\n" {
		t.Errorf("hooks.har is %s", mode)
	}
	if shown := here.enter("sh", "-c", "grep -l 5257a869e7ec /page/block-*.out || true"); shown != "" {
		t.Errorf("a secret is shown in %s", shown)
	}
}
