package browser

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// edgeDomain is where the endpoints of the dev servers are. Dev servers allow every name below
// localhost, so it is another one.
const edgeDomain = "edge.test"

// startChromium runs the one Chromium of the tests. keys are those of certificates that it
// trusts.
func (w *world) startChromium(keys ...string) error {
	// The setting "never keep cookies" for one site.
	settings := fmt.Sprintf(`{"profile": {"content_settings": {"exceptions": {"cookies": {"%s,*": {"setting": 2}}}}}}`, w.cookieless)
	profile := filepath.Join(w.dir, "chromium", "Default")
	if err := os.MkdirAll(profile, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(profile, "Preferences"), []byte(settings), 0o600); err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"),
		chromedp.Flag("headless", "new"),
		chromedp.NoSandbox, // root runs it
		chromedp.DisableGPU,
		chromedp.UserDataDir(filepath.Join(w.dir, "chromium")),
		chromedp.CombinedOutput(io.Discard),
		chromedp.Flag("ignore-certificate-errors-spki-list", strings.Join(keys, ",")),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("host-resolver-rules", "MAP *."+edgeDomain+" 127.0.0.1"),
		// It has no network, and asks for none.
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
	)
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		return fmt.Errorf("starting Chromium: %w", err)
	}
	w.chrome = ctx
	return nil
}

func (w *world) stopChromium() error {
	ctx, cancel := context.WithTimeout(w.chrome, patience)
	defer cancel()
	return chromedp.Cancel(ctx)
}

// tab is a tab of a visitor, who shares cookies and storage with their other tabs.
type tab struct {
	*world
	t   *testing.T
	ctx context.Context

	mu sync.Mutex
	// documents are what the tab has asked for as a page, with each redirect.
	documents []string
}

// visitor opens a tab of a browser that has never been here.
func (w *world) visitor(t *testing.T) *tab {
	t.Helper()
	return w.open(t, w.chrome, chromedp.WithNewBrowserContext())
}

// beside opens another tab of the same browser.
func (b *tab) beside() *tab {
	b.t.Helper()
	return b.open(b.t, b.ctx)
}

func (w *world) open(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	b := &tab{world: w, t: t, ctx: ctx}
	// It lasts as long as the context with which it is opened.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	// Each is the tab in front.
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	return b
}

// note keeps which pages are asked for.
func (b *tab) note(event any) {
	if e, ok := event.(*network.EventRequestWillBeSent); ok && e.Type == network.ResourceTypeDocument {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.documents = append(b.documents, e.Request.Method+" "+pathOf(e.Request.URL))
	}
}

// asked gives the pages that were asked for since it was called last.
func (b *tab) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.documents
	b.documents = nil
	return out
}

// listen keeps all that the tab says to servers from now on but what it posts; heard gives it.
func (b *tab) listen() (heard func() []string) {
	b.t.Helper()
	var mu sync.Mutex
	var all []string
	err := chromedp.Listen(b.ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			all = append(all, fmt.Sprint(e.Request.URL, e.Request.Headers))
		case *network.EventRequestWillBeSentExtraInfo:
			all = append(all, fmt.Sprint(e.Headers))
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// do runs actions in the tab.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run(b, chromedp.Steps(steps...))
}

// run runs an action in a tab, for a while at most.
func run[T any](b *tab, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	out, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatalf("at %s: %v", b.last(), err)
	}
	return out
}

// call sends a command to a tab.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	return run(b, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, params) })
}

// eval is the value of an expression in the page.
func eval[T any](b *tab, expression string, arguments ...any) T {
	b.t.Helper()
	for i, a := range arguments {
		if s, ok := a.(string); ok {
			arguments[i] = fmt.Sprintf("%q", s)
		}
	}
	if len(arguments) > 0 {
		expression = fmt.Sprintf(expression, arguments...)
	}
	return run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

func (b *tab) last() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.documents) == 0 {
		return "no page"
	}
	return b.documents[len(b.documents)-1]
}

// visit opens a path of the environment, or an address, and gives the status of the page that
// it ends at.
func (b *tab) visit(path string) int {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.at(path)
	}
	if !strings.HasPrefix(path, "https:") {
		b.do(chromedp.Navigate(path))
		return 0
	}
	return int(run(b, chromedp.NavigateResponse(path)).Status)
}

// press clicks on an element, and gives the status of the page that this leads to.
func (b *tab) press(css string) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
	if err != nil {
		b.t.Fatalf("pressing %s at %s: %v", css, b.last(), err)
	}
	return int(response.Status)
}

// fill pastes a text into a field of the page.
func (b *tab) fill(name, text string) {
	b.t.Helper()
	css := fmt.Sprintf("input[name=%s]", name)
	b.do(chromedp.Focus(chromedp.CSS(css), chromedp.NodeVisible))
	eval[chromedp.Void](b, `document.querySelector(%s).select()`, css)
	call(b, input.InsertText, input.InsertTextParams{Text: text})
}

// where is the path, query and fragment of the page.
func (b *tab) where() string {
	b.t.Helper()
	return eval[string](b, `location.pathname + location.search + location.hash`)
}

// text is what the page shows.
func (b *tab) text() string {
	b.t.Helper()
	return eval[string](b, `document.body.innerText`)
}

// isAt fails the test if the tab is elsewhere.
func (b *tab) isAt(want string) {
	b.t.Helper()
	if got := b.where(); got != want {
		b.t.Fatalf("the tab is at %s and not %s:\n%s", got, want, b.text())
	}
}

// says fails the test if the page does not show a text.
func (b *tab) says(want string) {
	b.t.Helper()
	if got := b.text(); !strings.Contains(got, want) {
		b.t.Fatalf("%s does not say %q:\n%s", b.where(), want, got)
	}
}

// withoutScript turns off the scripts of pages.
func (b *tab) withoutScript() *tab {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return b
}

// speaks chooses the language of the visitor.
func (b *tab) speaks(language string) {
	b.t.Helper()
	call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": language}})
}

// back presses the back button.
func (b *tab) back() {
	b.t.Helper()
	b.do(chromedp.NavigateBack())
}

// history are the addresses that the tab goes back and forth between.
func (b *tab) history() []string {
	b.t.Helper()
	var out []string
	for _, e := range call(b, page.GetNavigationHistory, cdp.Empty{}).Entries {
		out = append(out, e.URL)
	}
	return out
}

// eventually waits for a condition.
func (b *tab) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("waiting for %s", what)
		}
		<-tick.C
	}
}
