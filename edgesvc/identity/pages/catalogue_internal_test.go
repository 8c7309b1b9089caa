package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// placeholder is what stands in a message for something else.
var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// TestCatalogue_LanguagesSayTheSame: each has all messages, with the same placeholders.
func TestCatalogue_LanguagesSayTheSame(t *testing.T) {
	for m := range messages {
		want := placeholder.FindAllString(englishTexts[m], -1)
		got := placeholder.FindAllString(germanTexts[m], -1)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q has other placeholders than %q", germanTexts[m], englishTexts[m])
		}
		for _, s := range []string{englishTexts[m], germanTexts[m]} {
			if strings.TrimSpace(s) != s || s == "" || strings.Count(s, "{") != len(want) || strings.ContainsAny(s, "<>\n") {
				t.Errorf("message %d is %q", m, s)
			}
		}
	}
}

// TestCatalogue_HasNothingThatNobodySays: each message is used by a page or a mail.
func TestCatalogue_HasNothingThatNobodySays(t *testing.T) {
	fset := token.NewFileSet()
	declared, used := map[string]bool{}, map[string]bool{}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || name == "english.go" || name == "german.go" {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && strings.HasPrefix(id.Name, "msg") {
				map[bool]map[string]bool{true: declared, false: used}[name == "catalogue.go"][id.Name] = true
			}
			return true
		})
	}
	if len(declared) != int(messages) {
		t.Errorf("%d messages are declared, not %d", len(declared), messages)
	}
	for name := range declared {
		if !used[name] {
			t.Errorf("nobody says %s", name)
		}
	}
}

// TestCatalogue_LayoutsHaveNoWords of their own.
func TestCatalogue_LayoutsHaveNoWords(t *testing.T) {
	actions, styles, tags := regexp.MustCompile(`\{\{.*?\}\}`), regexp.MustCompile(`(?s)<style>.*?</style>`), regexp.MustCompile(`(?s)<[^>]*>`)
	spoken := regexp.MustCompile(`(aria-label|alt|title|placeholder)="[^"]*[A-Za-z]`)
	for name, source := range map[string]string{"layout.html": layoutSource, "mail.html": mailSource} {
		source = actions.ReplaceAllString(source, "")
		if found := spoken.FindString(source); found != "" {
			t.Errorf("%s says %q", name, found)
		}
		rest := tags.ReplaceAllString(styles.ReplaceAllString(source, ""), "")
		if words := regexp.MustCompile(`\pL+`).FindAllString(rest, -1); len(words) > 0 {
			t.Errorf("%s has the words %q", name, words)
		}
	}
	if found := regexp.MustCompile(`(textContent|innerHTML|alert\() *=? *["']`).FindString(scriptSource); found != "" {
		t.Errorf("the script says something: %q", found)
	}
}

// TestCatalogue_PlaceholdersAreFilled: no message is said with one of its placeholders
// missing.
func TestCatalogue_PlaceholdersAreFilled(t *testing.T) {
	got := english.say(msgTeamMailIntro, data("inviter", "Ann"), data("organization", "{brand}"), data("brand", "Acme"))
	if got.String() != "Ann invites you to the organization {brand} at Acme:" {
		t.Errorf("the text is %q", got)
	}
	if parts := len(got); parts != 6 || !got[0].Data || got[1].Data {
		t.Errorf("its parts are %v", got)
	}
	if got := pseudo.say(msgLoginHeading, data("brand", "Acme")).String(); got != "[Lög ïñ tö Acme~~~~]" {
		t.Errorf("in disguise it is %q", got)
	}
}

func TestLanguage(t *testing.T) {
	for accept, want := range map[string]string{
		"": "en", "*": "en", "de": "de", "DE-at": "de", "fr, de;q=0.5": "de", "en, de": "en", "de;q=0.4, en-GB;q=0.9": "en", "de , en;q=0.8": "de",
		"fr-FR,fr;q=0.9": "en", "de;q=0": "en", "de;q=NaN": "en", "de;q=2": "en", "de;q=x, en;q=0.1": "en", "qps-ploc": "qps", "qps": "en", "qps-plocm": "en",
		"de;Q=1": "de", "deutsch": "en", "de; q = 0.7, en;q=0.6": "de", strings.Repeat("fr,", 2000) + "de": "en", ",,,;;==de": "en",
	} {
		if got := Language(accept); got != want {
			t.Errorf("%.40q gives %q, not %q", accept, got, want)
		}
	}
}

func TestDevice(t *testing.T) {
	v := View{}
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                         "Firefox · Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0":                  "Edge · Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15":                          "Safari · macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.7204.53 Mobile/15E148 Safari/604.1": "Chrome · iPhone",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36":            "Samsung Internet · Android",
		"curl/8.14.1": "curl", "Go-http-client/2.0": "Go-http-client", "": "Unknown device", "Mozilla/5.0": "Unknown device",
		"<b>x</b>": "Unknown device", strings.Repeat("x", 100): "Unknown device", "Linux": "Linux",
	} {
		if got := v.device(agent); got != want {
			t.Errorf("%q is shown as %q, not %q", agent, got, want)
		}
	}
}
