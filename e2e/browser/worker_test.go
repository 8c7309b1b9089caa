package browser

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"testing"
)

// documented finds the line of docs/login.md that a service worker needs.
var documented = regexp.MustCompile(`(?m)^ *(if \(.*"/\.mezu/".*\) return;)$`)

// serviceWorker is a worker as applications have one that work offline: it answers every
// navigation with the application, and everything else from what it has kept. With a query it
// has the line of the documentation.
func serviceWorker(w http.ResponseWriter, r *http.Request) {
	line := ""
	if r.URL.RawQuery != "" {
		text, err := os.ReadFile("../../docs/login.md")
		found := documented.FindSubmatch(text)
		if err != nil || found == nil {
			http.Error(w, "the documentation has no line for workers", http.StatusInternalServerError)
			return
		}
		line = string(found[1])
	}
	w.Header().Set("Content-Type", "text/javascript")
	fmt.Fprintf(w, `
addEventListener("install", (event) => { skipWaiting(); event.waitUntil(caches.open("all").then((all) => all.add("/shell"))); });
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  %s
  if (event.request.method !== "GET") return;
  event.respondWith((async () => {
    const all = await caches.open("all");
    const kept = await all.match(event.request.mode === "navigate" ? "/shell" : event.request);
    if (kept) return kept;
    const got = await fetch(event.request);
    if (got.ok) await all.put(event.request, got.clone());
    return got;
  })());
});
`, line)
}

// shell is such an application: where its data needs a login it has a button that leads there.
func shell(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!doctype html><title>application</title><link rel="icon" href="data:,"><p id="user">…</p><button id="login" hidden>Log in</button><script>
fetch("/my/data").then(async (answer) => {
  user.textContent = answer.ok ? "user " + await answer.text() : "nobody";
  if (answer.status !== 401) return;
  const problem = await answer.json();
  login.hidden = false;
  login.onclick = () => location.assign(problem.login_url + "?to=" + encodeURIComponent(location.pathname + location.search) + location.hash);
});
</script>`)
}

// A service worker must not answer for the pages of the login. With the line of the documentation
// people log in and out; without it they get the application in place of the form.
func TestN18_AServiceWorker(t *testing.T) {
	w := newWorld(t)
	for name, query := range map[string]string{"with the line": "?line", "without the line": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, email := w.visitor(t), w.member(t)
			b.visit("/")
			if !eval[bool](b, `navigator.serviceWorker.register(%s).then(() => navigator.serviceWorker.controller || new Promise((ok) => navigator.serviceWorker.oncontrollerchange = ok)).then(() => true)`, "/worker.js"+query) {
				t.Fatal("there is no worker")
			}
			b.visit("/my/orders?page=2#section")
			b.isAt("/my/orders?page=2#section")
			b.eventually("the application to know nobody", func() bool { return eval[string](b, `user.textContent`) == "nobody" })
			b.press("#login")
			if query == "" {
				b.isAt("/.mezu/login?to=%2Fmy%2Forders%3Fpage%3D2#section")
				if !eval[bool](b, `document.title === "application" && document.forms.length === 0`) {
					t.Errorf("without the line the login page comes nevertheless:\n%s", b.text())
				}
				return
			}
			b.logIn(email, password)
			b.isAt("/my/orders?page=2#section")
			b.eventually("the application to know its user", func() bool { return eval[string](b, `user.textContent`) == "user "+email })
			b.visit("/.mezu/logout")
			b.says(email)
			b.press(send)
			b.says("You are logged out")
		})
	}
}
