package waf

import (
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// operator is the name of the operator that stands for the engine's own @rx. That one costs fifty
// nanoseconds a character and pattern, of which there are some hundred. With its prefilter it
// costs less, and misses attacks: "2.2250738585072011e-308" of rule 942220 is one.
const operator = "automaton"

// ruleFiles are the rules, whose patterns are those of the operator.
type ruleFiles struct{ fs.FS }

var (
	rxOperator = regexp.MustCompile(`"(!?)@rx (.*)"`)
	// anyBytes is a pattern that means bytes, not characters. The engine has another @rx for those.
	anyBytes = regexp.MustCompile(`\\x\{?[89a-fA-F][0-9a-fA-F]`)
)

// ReadFile reads one.
func (f ruleFiles) ReadFile(name string) ([]byte, error) {
	b, err := fs.ReadFile(f.FS, name)
	if err != nil {
		return nil, err
	}
	return rxOperator.ReplaceAllFunc(b, func(line []byte) []byte {
		if anyBytes.Match(line) {
			return line
		}
		return []byte(strings.Replace(string(line), "@rx ", "@"+operator+" ", 1))
	}), nil
}

// register makes the operator known to the engine, which has one table of them for the process. Equal
// patterns share an automaton, whatever sets of rules have them.
var register = sync.OnceFunc(func() {
	var mu sync.Mutex
	known := map[string]*pattern{}
	plugins.RegisterOperator(operator, func(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
		mu.Lock()
		defer mu.Unlock()
		if p := known[o.Arguments]; p != nil {
			return p, nil
		}
		p, err := newPattern(o.Arguments)
		if err != nil {
			return nil, err
		}
		known[o.Arguments] = p
		return p, nil
	})
})

// pattern is one of a rule.
type pattern struct {
	re   *regexp.Regexp
	auto *automaton // nil if it has none
}

func newPattern(source string) (*pattern, error) {
	source = "(?sm)" + source // as @rx has it
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, err
	}
	auto, err := newAutomaton(source)
	return &pattern{re, auto}, err
}

// Evaluate reports whether the pattern matches, and says what its groups are to a rule that asks.
func (p *pattern) Evaluate(tx plugintypes.TransactionState, value string) bool {
	end, sure := -1, false
	if p.auto != nil {
		end, sure = p.auto.match(value)
	}
	switch {
	case sure && end < 0:
		return false
	case !tx.Capturing():
		return sure || p.re.MatchString(value)
	case sure && len(value) > 2*groupWindow:
		value = near(value, end, p.re)
	}
	groups := p.re.FindStringSubmatchIndex(value)
	for i := 0; i < len(groups)/2 && i < maxGroups; i++ {
		text := ""
		if groups[2*i] >= 0 {
			text = value[groups[2*i]:groups[2*i+1]]
		}
		tx.CaptureField(i, text)
	}
	return groups != nil
}

// near is the part of a long text around the end of a match, unless the pattern only matches more of
// it.
func near(value string, end int, re *regexp.Regexp) string {
	from, to := max(0, end-groupWindow), min(len(value), end+groupWindow)
	for from > 0 && !utf8.RuneStart(value[from]) {
		from--
	}
	for to < len(value) && !utf8.RuneStart(value[to]) {
		to++
	}
	if part := value[from:to]; re.MatchString(part) {
		return part
	}
	return value
}

const (
	// maxGroups is how many groups a rule sees.
	maxGroups = 9
	// groupWindow is how far around the end of a match its groups are looked for, in a text that is
	// much longer: that takes package regexp, and its time.
	groupWindow = 1 << 10
)
