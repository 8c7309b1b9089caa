package edge_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// A mailed link leads to the environment's own host, whatever a request says of hosts.
func TestW1_N3_LinksLeadToTheEnvironment(t *testing.T) {
	w := newWorld(t)
	w.browser().signup("ann@example.com", "/my/")
	asked := w.browser().send("POST", "/.mezu/reset", "email=ann%40example.com", "Origin", w.env.URL, "Content-Type", "application/x-www-form-urlencoded",
		"X-Forwarded-Host", "evil.example", "X-Host", "evil.example", "Forwarded", "host=evil.example", "X-Forwarded-Server", "evil.example", "X-Original-Host", "evil.example", "Referer", "https://evil.example/")
	if asked.StatusCode != 200 {
		t.Fatalf("%s %s", asked.Status, asked.body)
	}
	links := 0
	for _, value := range w.in.Records("outbox/") {
		var m record.Mail
		if err := json.Unmarshal([]byte(value), &m); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m.Text+m.HTML, "evil") {
			t.Errorf("a mail names the host of the request: %s", m.Text)
		}
		links += strings.Count(m.Text, w.env.URL+"/.mezu/reset/new#")
	}
	if links != 1 {
		t.Errorf("%d links of a reset", links)
	}
}

// Who was suspended is out at every edge within seconds, and so is who was deleted.
func TestN23_WhoWasRemovedIsOut(t *testing.T) {
	w := newWorld(t)
	other := w.startEdge("edge-2")
	for email, remove := range map[string]func(id string){
		"ann@example.com": func(id string) {
			controltest.Call[any](t, w.op, api.OpUpdateUser, map[string]any{"status": "suspended"}, w.pool.InProject(id)...)
		},
		"bob@example.com": func(id string) {
			controltest.Call[any](t, w.op, api.OpDeleteUser, nil, w.pool.InProject(id)...)
		},
	} {
		b := w.browser()
		b.says(b.signup(email, "/my/"), "user="+email)
		there := b.cloneAt(other)
		controltest.Eventually(t, "the session to count at the other edge", func() bool { return there.get("/my/").StatusCode == 200 })
		users := controltest.Call[api.List[mezu.User]](t, w.op, api.OpListUsers, nil, w.pool.InProject()...)
		for _, u := range users.Items {
			if u.Profile.Email == email {
				remove(u.ID)
			}
		}
		// Five times the promise of 5 s at most.
		controltest.EventuallyWithin(t, 25*time.Second, email+" to be out at both edges", func() bool {
			return b.get("/my/").StatusCode == 401 && there.get("/my/").StatusCode == 401
		})
	}
}
