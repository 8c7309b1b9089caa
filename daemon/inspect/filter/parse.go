package filter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// Limits of a filter.
const (
	// maxWords is how many words it has: more than anybody types.
	maxWords = 64
	// maxTexts is how many of them search bodies, each of which reads all that is kept.
	maxTexts = 8
)

// char is a byte of a word. One in quotes has no meaning of its own.
type char struct {
	b      byte
	quoted bool
}

// token is a word as it stands in a filter.
type token struct {
	at      int // its place, counted in characters from one
	source  string
	negated bool
	chars   []char
}

// Parse reads a filter. The empty one matches everything. Its error is a *mezu.Error, which
// names the word, its place and what to write instead.
func Parse(text string) (*Filter, error) {
	if len(text) > local.MaxFilter {
		return nil, mezu.Invalid("filter", "it has %d bytes, %d at most", len(text), local.MaxFilter)
	}
	if !utf8.ValidString(text) {
		return nil, mezu.Invalid("filter", "it is not UTF-8")
	}
	tokens, err := split(text)
	if err != nil {
		return nil, err
	}
	f := &Filter{}
	texts := 0
	for _, t := range tokens {
		w, err := t.word()
		if err != nil {
			return nil, err
		}
		if w.cost == ofBodies {
			texts++
		}
		if len(f.words) == maxWords || texts > maxTexts {
			return nil, t.refuse(fmt.Sprintf("is one too many: %d words, %d of them text:, are enough", maxWords, maxTexts), "leave some out")
		}
		f.words = append(f.words, w)
	}
	slices.SortStableFunc(f.words, func(a, b word) int { return cmp.Compare(a.cost, b.cost) })
	return f, nil
}

// refuse is the error about a word.
func (t token) refuse(detail, hint string) *mezu.Error {
	return &mezu.Error{Code: mezu.CodeInvalid, Field: "filter", Detail: fmt.Sprintf("%q at character %d %s", t.source, t.at, detail), Hint: hint}
}

// split gives the words of a filter.
func split(text string) ([]token, error) {
	var out []token
	for at := 0; at < len(text); {
		if isBlank(text[at]) {
			at++
			continue
		}
		t := token{at: utf8.RuneCountInString(text[:at]) + 1}
		begin, open := at, false
		if text[at] == '-' {
			t.negated = true
			at++
		}
		for ; at < len(text) && (open || !isBlank(text[at])); at++ {
			switch c := text[at]; {
			case c == '"':
				open = !open
			case open && c == '\\' && at+1 < len(text):
				at++
				t.chars = append(t.chars, char{text[at], true})
			default:
				t.chars = append(t.chars, char{c, open})
			}
		}
		t.source = text[begin:at]
		switch {
		case open:
			return nil, t.refuse("has a quote that nothing closes", `write " at its end, or \" within quotes for the character itself`)
		case len(t.chars) == 0:
			return nil, t.refuse("says nothing", `write what to look for behind it, as in -status:200`)
		}
		out = append(out, t)
	}
	return out, nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// key is what is before the colon, empty if the word has none. A key has letters only, so that
// paths such as /v1/items:batch have none.
func (t token) key() (key string, values []char) {
	for i, c := range t.chars {
		switch {
		case c.quoted:
			return "", t.chars
		case c.b == ':' && i > 0:
			return strings.ToLower(plain(t.chars[:i])), t.chars[i+1:]
		case (c.b < 'a' || c.b > 'z') && (c.b < 'A' || c.b > 'Z'):
			return "", t.chars
		}
	}
	return "", t.chars
}

// plain is the text of characters.
func plain(chars []char) string {
	out := make([]byte, len(chars))
	for i, c := range chars {
		out[i] = c.b
	}
	return string(out)
}

// word is what a token means.
func (t token) word() (word, error) {
	key, rest := t.key()
	if key == "" {
		p := newPattern(t.chars, anywhere)
		return word{negated: t.negated, test: onTarget([]pattern{p})}, nil
	}
	k, ok := keys()[key]
	if !ok {
		return word{}, t.refuse("begins with no word of a filter", t.suggest(key))
	}
	var values [][]char
	for {
		i := slices.IndexFunc(rest, func(c char) bool { return c.b == ',' && !c.quoted })
		one := rest
		if i >= 0 {
			one = rest[:i]
		}
		if len(one) == 0 {
			return word{}, t.refuse("has nothing behind "+key+":, or between commas", "write "+k.example)
		}
		values = append(values, one)
		if i < 0 {
			break
		}
		rest = rest[i+1:]
	}
	test, wrong := k.parse(values)
	if wrong != "" {
		return word{}, t.refuse(wrong, "write "+k.example)
	}
	return word{cost: k.cost, negated: t.negated, test: test}, nil
}

// suggest says what to write instead of a key that there is not.
func (t token) suggest(key string) string {
	quoted := fmt.Sprintf(`"%s" in quotes looks for it in the path`, strings.TrimPrefix(t.source, "-"))
	others := map[string]string{"duration": "dur", "time": "dur", "took": "dur", "url": "path", "uri": "path", "client": "ip", "addr": "ip", "address": "ip",
		"body": "text", "content": "text", "verb": "method", "cause": "code", "error": "code", "bytes": "size", "since": "age", "kind": "is", "type": "is"}
	if better := others[key]; better != "" {
		return fmt.Sprintf("write %s:; %s", better, quoted)
	}
	all := slices.DeleteFunc(keyNames(), func(name string) bool {
		return !strings.HasPrefix(name, key) && !strings.HasPrefix(key, name)
	})
	if len(all) == 1 {
		return fmt.Sprintf("write %s:; %s", all[0], quoted)
	}
	return fmt.Sprintf("words are %s:; %s", strings.Join(keyNames(), ":, "), quoted)
}
