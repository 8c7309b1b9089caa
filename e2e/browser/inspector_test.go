package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/coder/websocket"

	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// evil is what a page of somebody else does if a browser takes it for one.
const evil = `<script>window.ran = document.title = "ran"; fetch("/ran")</script><img src=x onerror="window.ran = true">`

// inspected are workloads of which the inspector's page shows what they say: each is as hostile as
// its media type allows.
func inspected(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Evil", evil)
	switch filepath.Ext(r.URL.Path) {
	case ".html":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html>"+evil)
	case ".svg":
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" onload="window.ran = true"><script>window.ran = true</script></svg>`)
	case ".js":
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, `window.ran = true; "<script>"`)
	case ".socket":
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err == nil {
			c.Write(r.Context(), websocket.MessageText, []byte(`{"from": "the workload `+evil[:8]+`"}`))
			c.Close(websocket.StatusGoingAway, "bye")
		}
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "session=s3cret-cookie")
		switch {
		case strings.HasSuffix(r.URL.Path, "github"):
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Query().Has("late"):
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusCreated)
		}
		fmt.Fprint(w, `{"id": "evt_1PzX", "type": "payment_intent.succeeded", "password": "s3cret-answer", "text": "<b>\u202e"}`)
	}
}

// inspector opens the inspector's page in a tab, and gives its address.
func (b *tab) inspector() string {
	b.t.Helper()
	client := local.New(filepath.Join(b.world.dir, "state", "run", "daemon.sock"), "test")
	defer client.Close()
	page, err := client.Inspect(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.Navigate(page.URL))
	b.eventually("the page to be live", func() bool { return eval[string](b, `document.getElementById("live").textContent`) == "● live" })
	return page.URL
}

// hooks sends what the page is to show.
func (w *world) hooks(t *testing.T) {
	t.Helper()
	c := w.newClient(t)
	for _, path := range []string{"/inspected/page.html", "/inspected/image.svg", "/inspected/program.js", "/inspected/hook?token=s3cret-query&x=<img+src=x+onerror=alert(1)>"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.at(path), strings.NewReader(`{"password": "s3cret-body", "amount": 4200}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Api-Key", "s3cret-key")
		req.Header.Set("X-Evil", evil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	socket, _, err := websocket.Dial(t.Context(), strings.Replace(w.at("/inspected/x.socket"), "https:", "wss:", 1), &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, _, err = socket.Read(t.Context())
	}
	socket.CloseNow()
	// They stay, however much other tests send.
	client := local.New(filepath.Join(w.dir, "state", "run", "daemon.sock"), "test")
	defer client.Close()
	kept, err := client.Requests(t.Context(), local.RequestsQuery{Filter: "path:/inspected/*"})
	if err != nil || len(kept.Items) < 5 {
		t.Fatalf("%d are kept, %v", len(kept.Items), err)
	}
	for _, x := range kept.Items {
		if _, err := client.Pin(t.Context(), x.ID, true); err != nil {
			t.Fatal(err)
		}
	}
}

// only has the page list the requests of these tests.
func (b *tab) only() {
	b.t.Helper()
	b.keys("/")
	// The key that was kept from the field comes to it as a character, which it doesn't from people.
	eval[chromedp.Void](b, `document.activeElement.value = ""`)
	b.keys("path:/inspected/*" + kb.Enter)
	b.eventually("the list to be filtered", func() bool {
		return eval[bool](b, `/^([5-9]|\d\d+) of /.test(document.getElementById("count").textContent)`)
	})
}

// chosen has the page show a part of the request whose path has a text.
func (b *tab) chosen(path, part string) {
	b.t.Helper()
	b.eventually(path+" to be listed in "+eval[string](b, `document.getElementById("rows").innerText + document.getElementById("problem").innerText`), func() bool {
		return strings.Contains(eval[string](b, `document.getElementById("rows").textContent`), path)
	})
	eval[chromedp.Void](b, `[...document.querySelectorAll("[role=option]")].find((e) => e.textContent.includes(%s)).click()`, path)
	b.eventually(path+" to be shown", func() bool {
		return strings.Contains(eval[string](b, `document.getElementById("title").textContent`), path)
	})
	eval[chromedp.Void](b, `document.getElementById("tab-%s").click()`, raw(part))
	b.eventually("its "+part, func() bool {
		return eval[string](b, `document.querySelector("[role=tab][aria-selected=true]").dataset.part + " " + document.getElementById("panel").getAttribute("aria-labelledby")`) == part+" tab-"+part
	})
}

// raw is an argument of eval that is not quoted.
type raw string

// panel is what the page shows of a part.
func (b *tab) panel() string { return eval[string](b, `document.getElementById("panel").innerText`) }

// panelSays waits until the part says something.
func (b *tab) panelSays(want string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("the page to say %q; it says %s", want, b.panel()), func() bool { return strings.Contains(b.panel(), want) })
}

// ran fails the test if something that was captured has run.
func (b *tab) ran() {
	b.t.Helper()
	if got := eval[string](b, `String(window.ran) + document.title + document.querySelectorAll("#panel img, #panel script, #rows img").length`); got != "undefinedmezu inspector0" {
		b.t.Errorf("what was captured ran: %s", got)
	}
}

// accessible fails the test if axe-core finds something, or the page is wider than its window.
func (b *tab) accessible(as string) {
	b.t.Helper()
	source, err := axe()
	if err != nil {
		testkit.Missing(b.t, "axe-core")
	}
	// The page's policy is for pages; a debugger is none.
	b.do(chromedp.Evaluate[chromedp.Void](source))
	var found []violation
	if err := json.Unmarshal([]byte(eval[string](b, `(async () => JSON.stringify((await axe.run({resultTypes: ["violations"]})).violations))()`)), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range found {
		for _, n := range v.Nodes {
			b.t.Errorf("%s: %s (%s): %s\n%s", as, v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
	if over := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		b.t.Errorf("%s is %v pixels wider than its window", as, over)
	}
}

// looks has the tab be of a width, in light or dark.
func (b *tab) looks(scheme string, width int64) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 700, DeviceScaleFactor: 1, Mobile: width < 500})
}

// TestD6_InspectorShowsText: what passed is shown as text, whatever it is, masked until somebody
// asks for one value. The page works by keyboard, on telephones, in light and dark, and for whoever
// opens it alone.
func TestD6_InspectorShowsText(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	w.hooks(t)
	b := w.visitor(t)
	address := b.inspector()
	b.only()
	if got := eval[string](b, `location.hash`); got != "" {
		t.Errorf("the token stays in the address: %s", got)
	}
	for path, want := range map[string]string{"page.html": `<script>window.ran = document.title`, "image.svg": `<script>window.ran = true</script>`, "program.js": `"<script>"`} {
		b.chosen(path, "response")
		b.panelSays(want)
		b.panelSays(`<img src=x onerror`) // the field
		b.keys("x")
		b.panelSays(want)
		b.ran()
		// Whoever gets the bytes out of the page, as a download or by its address, gets no page.
		head := eval[string](b, `(async () => {
  const row = document.querySelector("[aria-selected=true][role=option]");
  const r = await fetch("/v1/requests/" + row.dataset.id + "/body/response", {headers: {"Mezu-Inspector-Key": sessionStorage.getItem("key")}});
  const bare = await fetch("/v1/requests/" + row.dataset.id + "/body/response");
  return [r.headers.get("content-type"), r.headers.get("content-disposition"), r.headers.get("content-security-policy"), r.headers.get("x-content-type-options"), bare.status].join("|");
})()`)
		if head != "application/octet-stream|attachment|default-src 'none'; sandbox|nosniff|403" {
			t.Errorf("%s is given as %s", path, head)
		}
	}
	b.chosen("/inspected/hook", "request")
	b.panelSays(`"amount": 4200`)
	for _, part := range []string{"request", "response", "timing"} {
		b.chosen("/inspected/hook", part)
		b.panelSays(map[string]string{"request": "••••••", "response": "evt_1PzX", "timing": "first byte"}[part])
		if text := eval[string](b, `document.documentElement.outerHTML`); strings.Contains(text, "s3cret") || strings.Contains(text, "\u202e") {
			t.Errorf("the %s shows a secret, or turns text around", part)
		}
	}
	b.chosen("/inspected/hook", "request")
	eval[chromedp.Void](b, `document.querySelector("[aria-label='show X-Api-Key']").click()`)
	b.panelSays("s3cret-key")
	b.chosen("/inspected/hook", "request") // is drawn again
	b.panelSays("s3cret-key")
	if text := b.panel(); strings.Contains(text, "s3cret-body") || strings.Contains(text, "s3cret-query") {
		t.Errorf("more than one value is shown: %s", text)
	}
	eval[chromedp.Void](b, `document.querySelector("[aria-label='show what is masked in the body']").click()`)
	b.panelSays("s3cret-body")
	b.keys("j")
	b.eventually("another one to be shown", func() bool { return !strings.Contains(eval[string](b, `document.body.innerText`), "s3cret") })

	b.chosen("x.socket", "frames")
	b.panelSays("the workload <script>")
	eval[chromedp.Void](b, `document.querySelector("#panel td button").click()`)
	b.panelSays("from the workload")
	b.ran()

	b.chosen("/inspected/hook", "request")
	eval[chromedp.Void](b, `document.getElementById("rows").focus()`)
	b.keys("y")
	b.eventually("curl to be copied, or not", func() bool { return eval[string](b, `document.getElementById("said").textContent`) != "" })
	for i, l := range []look{{"list", "dark", narrow}, {"list", "light", screen}, {"detail", "light", narrow}, {"detail", "dark", screen}} {
		b.looks(l.scheme, l.width)
		if l.page == "detail" {
			b.keys(kb.Enter)
		}
		b.accessible(fmt.Sprint(i, l))
		b.keys(kb.Escape)
	}

	// It outlives being loaded again, and its address is good once.
	b.do(chromedp.Reload())
	b.eventually("the page to be live again", func() bool { return eval[string](b, `document.getElementById("live").textContent`) == "● live" })
	other := w.visitor(t)
	other.do(chromedp.Navigate(address))
	other.eventually("the address to be refused", func() bool {
		return strings.Contains(eval[string](other, `document.getElementById("problem").textContent`), "was opened before")
	})
	if got := eval[int](other, `document.querySelectorAll("[role=option]").length`); got != 0 {
		t.Errorf("it shows %d requests", got)
	}
	// What comes now is listed by itself.
	b.only()
	b.keys(kb.Escape)
	resp, err := w.newClient(t).Get(w.at("/inspected/later"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	b.eventually("a new one to be listed", func() bool {
		return strings.Contains(eval[string](b, `document.getElementById("rows").innerText`), "/inspected/later")
	})
}

// TestInspectorPictures takes pictures of the inspector's page. It is no test of anything, and
// skipped unless somebody asks for them.
func TestInspectorPictures(t *testing.T) {
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		t.Skip("make pictures takes pictures")
	}
	w := newWorld(t)
	for _, path := range []string{"/hooks/github", "/hooks/", "/hooks/stripe?x=1", "/hooks/github", "/hooks/stripe?x=1&late"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.at(path), strings.NewReader(`{"id": "evt_1PzX", "type": "payment_intent.succeeded", "data": {"object": {"amount": 4200, "currency": "eur"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Stripe/1.0"}, "Stripe-Signature": {"t=1764165704,v1=5257a869e7ecebeda32affa62cdca3fa"}}
		resp, err := w.newClient(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	b := w.visitor(t)
	b.looks("light", screen)
	b.inspector()
	b.chosen("/hooks/stripe?x=1&late", "request")
	b.panelSays("4200")
	for _, l := range []look{{"inspector", "light", screen}, {"inspector", "dark", screen}, {"inspector", "light", telephone}} {
		b.looks(l.scheme, l.width)
		b.picture(filepath.Join(dir, l.String()+".png"))
	}
}
