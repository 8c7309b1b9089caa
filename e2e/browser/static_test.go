package browser

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/edgesvc/identity/pages/pagestest"
	"github.com/mezusphere/mezu/testkit"
)

// look is how somebody looks at a page.
type look struct {
	page, scheme string
	width        int64
}

func (l look) String() string { return fmt.Sprintf("%s-%s-%d", l.page, l.scheme, l.width) }

// Widths of the narrowest telephones, of usual ones, and of a screen.
const (
	narrow    = 320
	telephone = 390
	screen    = 1280
)

// gallery are all pages in a language, each with what a person may have written.
func gallery(language string, all bool) map[string]pages.Page {
	w := pagestest.Usual()
	if all {
		return w.All(language)
	}
	return w.Plain(language)
}

// galleries serves the pages as edges do, at /LANGUAGE/NAME.
func galleries() http.Handler {
	render := map[string]func() map[string]pages.Page{}
	for _, language := range []string{"en", "de", "qps"} {
		render[language] = sync.OnceValue(func() map[string]pages.Page { return gallery(language, true) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		language, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/gallery/"), "/")
		of := render[language]
		if of == nil {
			http.NotFound(w, r)
			return
		}
		p, ok := of()[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		for _, h := range p.Header() {
			w.Header().Set(h[0], h[1])
		}
		w.WriteHeader(p.Status)
		w.Write(p.Body)
	})
}

// show has the tab show a page of the gallery.
func (b *tab) show(language string, l look) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 800, DeviceScaleFactor: 1, Mobile: l.width < 500})
	b.visit(b.foreign.URL + "/gallery/" + language + "/" + l.page)
}

// looks are all of the pages that are named, by each scheme and width.
func looks(named []string, widths ...int64) []look {
	var out []look
	for _, p := range named {
		for _, s := range []string{"light", "dark"} {
			for _, w := range widths {
				out = append(out, look{p, s, w})
			}
		}
	}
	return out
}

// sample is one look at each page, by turns: all of them under MEZU_SOAK.
func sample(all []look, each int) []look {
	if soak() {
		return all
	}
	var out []look
	for i := 0; i*each < len(all); i++ {
		out = append(out, all[i*each+i%each])
	}
	return out
}

// axe is the text of axe-core, which "npm ci" puts where the lock file of tools/axe says.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("../../tools/axe/node_modules/axe-core/axe.min.js")
	return string(text), err
})

// violation is what axe-core finds.
type violation struct {
	ID, Help string
	Nodes    []struct{ HTML, FailureSummary string }
}

// TestPages_AreAccessible: axe-core finds nothing on any page, in light and dark, on a narrow
// telephone and a wide screen, and no page is wider than its window.
func TestPages_AreAccessible(t *testing.T) {
	w := newWorld(t)
	source, err := axe()
	if err != nil {
		testkit.Missing(t, "axe-core")
	}
	t.Parallel()
	b := w.visitor(t)
	for _, l := range sample(looks(slices.Sorted(maps.Keys(gallery("en", soak()))), narrow, screen), 4) {
		b.show("en", l)
		b.do(chromedp.Evaluate[chromedp.Void](source))
		var found []violation
		text := eval[string](b, `(async () => JSON.stringify((await axe.run({resultTypes: ["violations"]})).violations))()`)
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		for _, v := range found {
			for _, n := range v.Nodes {
				t.Errorf("%s: %s (%s): %s\n%s", l, v.ID, v.Help, n.HTML, n.FailureSummary)
			}
		}
		if over := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%s is %v pixels wider than its window", l, over)
		}
	}
}

// outside is an expression for what the page shows that is not of the catalogue, which stands in
// brackets in the pseudo-language, and no data: addresses, names, times.
const outside = `(() => {
  const data = "title, bdi, dd, time, .initial, [dir=auto], script, style";
  const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  let depth = 0, out = "";
  for (let n; n = walk.nextNode();) {
    if (n.parentElement.closest(data)) continue;
    for (const c of n.data) {
      if (c === "[") depth++;
      else if (c === "]") depth--;
      else if (depth < 1 && !/[\s·]/.test(c)) out += c;
    }
  }
  for (const e of document.querySelectorAll("[aria-label], [placeholder], [title], [alt]"))
    for (const a of ["aria-label", "placeholder", "title"])
      if (e.hasAttribute(a) && !/^\[.*\]$/s.test(e.getAttribute(a))) out += " " + e.getAttribute(a);
  return out;
})()`

// TestPages_SpeakTheLanguageOfTheVisitor: all that a page says is of the catalogue, and words two
// fifths longer than those of English have room on a narrow telephone.
func TestPages_SpeakTheLanguageOfTheVisitor(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	for _, name := range slices.Sorted(maps.Keys(gallery("qps", soak()))) {
		l := look{name, "light", narrow}
		b.show("qps", l)
		if got := eval[string](b, outside); got != "" {
			t.Errorf("%s says %q in no language", l, got)
		}
		if over := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%s is %v pixels wider than its window", l, over)
		}
	}
	b.speaks("qps-ploc")
	b.visit("/my/")
	if got := eval[string](b, `document.querySelector("button").textContent`); !strings.HasPrefix(got, "[") {
		t.Errorf("the login page says %q to who speaks something else", got)
	}
}

// picturesVariable names the folder for pictures, as make pictures does.
const picturesVariable = "MEZU_PICTURES"

// TestPictures takes a picture of every page. It is no test of anything, and skipped unless
// somebody asks for them.
func TestPictures(t *testing.T) {
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		t.Skip("make pictures takes pictures")
	}
	b := newWorld(t).visitor(t)
	for _, l := range looks(slices.Sorted(maps.Keys(gallery("en", false))), telephone, screen) {
		b.show("en", l)
		b.picture(filepath.Join(dir, strings.ReplaceAll(l.String(), "/", "-")+".png"))
	}
}

// picture writes a picture of the whole page.
func (b *tab) picture(file string) {
	b.t.Helper()
	whole, fast := true, false
	shot := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &whole, OptimizeForSpeed: &fast})
	if err := os.WriteFile(file, shot.Data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}
