package browser

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused is an expression for what has the focus: what it is, and whether that can be seen.
const focused = `(() => {
  const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
  return e === document.body ? "nothing" : [e.localName, e.name || e.getAttribute("href") || e.textContent.trim()].join(" ") +
    (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 && r.width > 0 && r.height > 0 && r.top > -1 && r.bottom < innerHeight + 1 ? "" : " unseen");
})()`

// keys types on the keyboard.
func (b *tab) keys(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// Somebody without a mouse logs in: typing begins in the first field, the tabulator goes on in
// the order of reading, and Enter sends.
func TestKeyboard_LogsIn(t *testing.T) {
	each(t, func(b *tab, script bool) {
		email := b.member(b.t)
		begins := func() bool { return eval[string](b, focused) == "input email" }
		b.visit("/my/orders")
		b.eventually("the focus to be in the first field", begins)
		var seen []string
		for range 6 {
			seen = append(seen, eval[string](b, focused))
			b.keys(kb.Tab)
		}
		want := []string{"input email", "input password", "button Show", "a /.mezu/reset", "button Log in", "a /.mezu/signup"}
		if !script {
			want = slices.Delete(want, 2, 3)
		}
		for i, w := range want {
			if !strings.HasPrefix(seen[i], w) || strings.HasSuffix(seen[i], " unseen") {
				b.t.Errorf("the focus goes over %q and not over %q", seen, want)
				break
			}
		}
		b.visit("/my/orders")
		b.eventually("the focus to be in the first field", begins)
		b.keys(email + kb.Tab + password)
		if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
			b.t.Fatal(err)
		}
		b.isAt("/my/orders")
		b.knows(email)
	})
}

// On every page the tabulator reaches all that can be used, in order, where it can be seen.
func TestPages_WorkByKeyboard(t *testing.T) {
	w := newWorld(t)
	t.Parallel()
	b := w.visitor(t)
	for _, l := range sample(looks(slices.Sorted(maps.Keys(gallery("en", soak()))), narrow, screen), 4) {
		b.show("en", l)
		n := eval[int](b, `(() => {
  document.activeElement.blur();
  window.usable = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")].filter((e) => e.checkVisibility());
  return usable.length;
})()`)
		// The focus begins at the top, wherever the page had put it.
		eval[chromedp.Void](b, `(() => { const top = document.createElement("span"); top.tabIndex = -1; document.body.prepend(top); top.focus(); })()`)
		for i := range n {
			b.keys(kb.Tab)
			if at := eval[string](b, focused); strings.HasSuffix(at, " unseen") {
				t.Errorf("%s: the focus is at %s", l, at)
			}
			if at := eval[int](b, `usable.indexOf(document.activeElement)`); at != i {
				t.Errorf("%s: the focus is at number %d and not at %d of what can be used: %s", l, at, i, eval[string](b, focused))
				break
			}
		}
	}
}
