package waf

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza-coreruleset/v4/tests"
)

// patterns are those of the rules.
func patterns(t testing.TB) (out []string) {
	t.Helper()
	for _, f := range files {
		b, err := fs.ReadFile(ruleFiles{coreruleset.FS}, "@owasp_crs/"+f+".conf")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"!?@`+operator+` (.*)" \\`).FindAllStringSubmatch(string(b), -1) {
			out = append(out, "(?sm)"+strings.ReplaceAll(m[1], `\"`, `"`))
		}
	}
	if len(out) < 200 {
		t.Fatalf("%d patterns only", len(out))
	}
	return out
}

// texts are what the rules' own tests send, and what random pieces of it make.
func texts(t testing.TB, random int) (out []string) {
	t.Helper()
	words := regexp.MustCompile(`[A-Za-z]+|[0-9]+|\s+|.`)
	var pieces []string
	err := fs.WalkDir(tests.FS, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		b, err := fs.ReadFile(tests.FS, path)
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "uri:") || strings.HasPrefix(line, "data:") {
				out = append(out, line, unescape(line))
				pieces = append(pieces, words.FindAllString(unescape(line), -1)...)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	odd := []string{"\n", "\r\n", "\x00", "\xff", "é", "ſ", "K", "\u2028", " ", "_", "", "日本"}
	for range random {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(pieces[r.IntN(len(pieces))])
			if r.IntN(4) == 0 {
				b.WriteString(odd[r.IntN(len(odd))])
			}
		}
		out = append(out, b.String())
	}
	return out
}

// The automaton of each rule's pattern says what package regexp says, about what the rules' tests
// send and about pieces of that in any order.
func TestAutomaton_AgreesWithRegexp(t *testing.T) {
	all, some := texts(t, 2000), 15
	if os.Getenv("MEZU_SOAK") != "" {
		some = 2000
	}
	sampled := append(all[:some:some], all[len(all)-some:]...)
	given := 0
	for _, p := range patterns(t) {
		re := regexp.MustCompile(p)
		a, err := newAutomaton(p)
		if err != nil {
			t.Fatal(err)
		}
		if a == nil {
			t.Errorf("%.80s has no automaton", p)
			continue
		}
		for _, s := range sampled {
			end, sure := a.match(s)
			if got := end >= 0; !sure {
				given++
			} else if got != re.MatchString(s) {
				t.Errorf("%.100s on %.200q: ends at %d", p, s, end)
				break
			}
		}
	}
	if given > len(sampled) {
		t.Errorf("%d searches were given up", given)
	}
}

func TestAutomaton_Assertions(t *testing.T) {
	for _, p := range []string{`^a`, `(?m)^a`, `a$`, `(?m)a$`, `\ba\b`, `\Ba`, `\Aa\z`, `^$`, `(?m)^$`, `a|^`, `(?i)k`, `(?i)s+é`, `[^a]`, `.`, `(?s).`, `\x{10FFFF}`, `a{2,4}b`, `(?:)`, `(a|b)*c`, `[[:^alpha:]]x`, `\bfoo\s*(?:\(|$)`} {
		a, err := newAutomaton(p)
		if err != nil {
			t.Fatal(err)
		}
		re := regexp.MustCompile(p)
		for _, s := range []string{"", "a", "b", "ab", "ba", "a\n", "\na", "b\na\nb", "\n", "\n\n", "K", "ſÉ", "sé", "\xff", "\xffa", "\U0010FFFF", "aab", "aaaaab", "a b", "é", "日", "1x", "_x", "foo", "foo (", "xfoo(", "foo\n("} {
			if end, sure := a.match(s); !sure || end >= 0 != re.MatchString(s) {
				t.Errorf("%s on %q: %v, %v", p, s, end, sure)
			}
		}
	}
}

// A text that leads to ever new states is given up, and costs a bounded number of them. Others go on
// meanwhile.
func TestAutomaton_StatesAreBounded(t *testing.T) {
	a, err := newAutomaton(`(?:a|b)*a(?:a|b){16}c`)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = "ab"[r.IntN(2)]
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				a.match(string(b))
				if end, sure := a.match("ba" + strings.Repeat("b", 16) + "c"); sure && end < 0 {
					t.Error("no match")
				}
			}
		})
	}
	wg.Wait()
	if _, sure := a.match(string(b)); sure {
		t.Error("it was not given up")
	}
	if len(a.states) > maxStates {
		t.Errorf("%d states", len(a.states))
	}
}

func FuzzAutomaton(f *testing.F) {
	f.Add(`(?i)a+\b|^x$`, "aA\nx")
	f.Add(`[^\s]{1,3}(?:é|ſ)`, "abé")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		re, err := regexp.Compile(pattern)
		if err != nil || len(pattern) > 200 {
			return
		}
		a, err := newAutomaton(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if a == nil {
			return
		}
		if end, sure := a.match(text); sure && end >= 0 != re.MatchString(text) {
			t.Errorf("%q on %q: %v", pattern, text, end)
		}
	})
}
