package browser

import (
	"strings"
	"sync"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// fetched is what a script got: the status, or nothing if it may not read the answer.
type fetched struct {
	Status      int
	Body, Field string
	RequestID   string
	RetryAfter  string
	NotReadable bool
}

// reads has the page's script ask for a path of the environment.
func (b *tab) reads(path, options string) fetched {
	b.t.Helper()
	return eval[fetched](b, `fetch(%s, `+options+`).then(async (a) => ({Status: a.status, Body: await a.text(), Field: a.headers.get("x-total") || "", RequestID: a.headers.get("x-request-id") || "", RetryAfter: a.headers.get("retry-after") || ""}),
		() => ({NotReadable: true}))`, b.at(path))
}

// preflights counts the preflights that a tab sends from now on.
func (b *tab) preflights() func() int {
	var mu sync.Mutex
	n := 0
	if err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok && e.Request.Method == "OPTIONS" {
			mu.Lock()
			defer mu.Unlock()
			n++
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// Pages of an origin that a route's cors names read its answers, also those of the edge's own, and
// no other page does.
func TestCORS(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	b.visit(w.foreign.URL)
	const put = `{method: "PUT", body: "{}", headers: {"Content-Type": "application/json", "X-Trace": "1"}}`

	t.Run("preflight", func(t *testing.T) {
		sent := b.preflights()
		for range 3 {
			if got := b.reads("/cors/note", put); got.Status != 200 || got.Body != "PUTapplication/json1" || got.Field != "7" || got.RequestID == "" {
				t.Errorf("%+v", got)
			}
		}
		if n := sent(); n != 1 {
			t.Errorf("%d preflights, though the first one's answer may be kept", n)
		}
		for what, c := range map[string]struct{ path, options string }{
			"a method":        {"/cors/note", `{method: "DELETE"}`},
			"a field":         {"/cors/note", `{headers: {"X-Other": "1"}}`},
			"a route":         {"/plain", put},
			"authorization":   {"/cors/all/note", `{headers: {"Authorization": "Bearer x"}}`},
			"credentials":     {"/cors/all/note", `{credentials: "include"}`},
			"without a leave": {"/plain", `{}`},
		} {
			if got := b.reads(c.path, c.options); !got.NotReadable {
				t.Errorf("%s that is not allowed: %+v", what, got)
			}
		}
		if got := b.reads("/cors/all/note", `{headers: {"X-Other": "1"}}`); got.Status != 200 {
			t.Errorf("a route for all: %+v", got)
		}
	})

	t.Run("answers of the edge", func(t *testing.T) {
		if got := b.reads("/cors/my/note", `{credentials: "include", headers: {"Content-Type": "application/json"}}`); got.Status != 401 || !strings.Contains(got.Body, `"code":"unauthenticated"`) || got.RequestID == "" {
			t.Errorf("without a login: %+v", got)
		}
		if got := b.reads("/cors/few/note", `{}`); got.Status != 200 {
			t.Errorf("the first: %+v", got)
		}
		if got := b.reads("/cors/few/note", `{}`); got.Status != 429 || got.RetryAfter == "" || !strings.Contains(got.Body, `"code":"rate_limited"`) {
			t.Errorf("one too many: %+v", got)
		}
		if got := b.reads("/cors/gone/note", `{}`); got.Status != 502 || !strings.Contains(got.Body, `"code":"workload_refused"`) {
			t.Errorf("without a workload: %+v", got)
		}
	})

	t.Run("credentials", func(t *testing.T) {
		user := w.visitor(t)
		user.visit("/my/")
		user.logIn(w.member(t), password)
		user.visit(w.foreign.URL)
		// The cookie of the session is not for other sites (SameSite=Lax): the page of one gets the
		// answer to a stranger, and may read it.
		if got := user.reads("/cors/my/note", `{credentials: "include"}`); got.Status != 401 {
			t.Errorf("%+v", got)
		}
	})

	t.Run("a page that hides where it is", func(t *testing.T) {
		got := eval[string](b, `new Promise((ok) => {
			const frame = document.createElement("iframe");
			frame.sandbox = "allow-scripts";
			frame.srcdoc = "<script>fetch(" + JSON.stringify(%s) + ").then(() => parent.postMessage('read', '*'), () => parent.postMessage('refused', '*'))<\/script>";
			onmessage = (e) => ok(e.data);
			document.body.append(frame);
		})`, b.at("/cors/note"))
		if got != "refused" {
			t.Errorf("a sandboxed frame: %s", got)
		}
	})

	t.Run("local network access", func(t *testing.T) {
		public := w.visitor(t)
		public.visit(w.foreign.URL + "/public")
		if got := public.reads("/cors/note", `{}`); !got.NotReadable {
			t.Errorf("a public page reads what is on this machine, and nobody has allowed it: %+v", got)
		}
		its := call(public, target.GetTargetInfo, target.GetTargetInfoParams{}).TargetInfo.BrowserContextID
		call(public, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{Origin: w.foreign.URL, Permission: &cdpbrowser.PermissionDescriptor{Name: "loopback-network"}, Setting: cdpbrowser.PermissionSettingGranted, BrowserContextID: its})
		public.visit(w.foreign.URL + "/public")
		if got := public.reads("/cors/note", put); got.Status != 200 {
			t.Errorf("allowed by its user: %+v", got)
		}
	})
}
