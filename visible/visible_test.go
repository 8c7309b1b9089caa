package visible_test

import (
	"testing"

	"github.com/mezusphere/mezu/visible"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain, Zürich, 花": "plain, Zürich, 花",
		"\x1b[2Jgone":      `\x1b[2Jgone`,
		"a\r\nb\tc":        `a\r\nb\tc`,
		"\u202eabc\u2066":  `\u202eabc\u2066`,
		"\u2028\u2029":     `\u2028\u2029`,
		"bad\xffbytes\xc3": `bad\xffbytes\xc3`,
		"\ufffd":           `\ufffd`,
		"\u009b31m":        `\u009b31m`,
	} {
		if got := visible.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}
