package browser

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/mezusphere/mezu/api"
)

// TestDocsPage: the page of the API shows every body, the links from a field to its type open
// it without a script, and axe-core finds nothing, on a narrow telephone and on a screen.
func TestDocsPage(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	for _, l := range []look{{"docs", "light", screen}, {"docs", "dark", narrow}} {
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}})
		call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 800, DeviceScaleFactor: 1, Mobile: l.width < 500})
		b.visit(w.site + "/docs?" + l.scheme + "#type-ProjectInput") // another address, or it would stay
		if shown := eval[bool](b, `document.querySelector("#type-ProjectInput table").checkVisibility({contentVisibilityAuto: true})`); !shown {
			t.Errorf("%s: the link to a type does not open it", l)
		}
		// As a reader opens them.
		operations := eval[float64](b, `(() => { const all = [...document.querySelectorAll("details[id]:not([id^=type-])")]; for (const id of ["create-project", "update-route", "set-logo"]) document.getElementById(id).open = true; return all.length; })()`)
		if int(operations) != len(api.Operations()) {
			t.Errorf("%s: it shows %v of %d operations", l, operations, len(api.Operations()))
		}
		b.accessible(l.String())
	}
}
