package waf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/mezusphere/mezu"
)

// maxSets bounds how many sets of rules are kept compiled: one for each list of exclusions, whatever
// routes have it. The first takes 20 MiB, each other one 1.7 MiB and all automata together 40 MiB at
// most, which is less than 256 MiB. The set that was not used for longest makes room for a new one,
// which takes ten milliseconds.
const maxSets = 96

// files are those of the Core Rule Set that judge requests, in their order. Left out are exceptions
// for a server that asks itself, and all that looks at responses.
var files = [...]string{
	"REQUEST-901-INITIALIZATION", "REQUEST-913-SCANNER-DETECTION", "REQUEST-920-PROTOCOL-ENFORCEMENT", "REQUEST-921-PROTOCOL-ATTACK",
	"REQUEST-922-MULTIPART-ATTACK", "REQUEST-930-APPLICATION-ATTACK-LFI", "REQUEST-931-APPLICATION-ATTACK-RFI", "REQUEST-932-APPLICATION-ATTACK-RCE",
	"REQUEST-933-APPLICATION-ATTACK-PHP", "REQUEST-934-APPLICATION-ATTACK-GENERIC", "REQUEST-941-APPLICATION-ATTACK-XSS", "REQUEST-942-APPLICATION-ATTACK-SQLI",
	"REQUEST-943-APPLICATION-ATTACK-SESSION-FIXATION", "REQUEST-944-APPLICATION-ATTACK-JAVA", "REQUEST-949-BLOCKING-EVALUATION",
}

// setup is before the rules. They only add up scores, since it is here that the threshold is looked
// at: so one set serves all paranoia levels, thresholds and modes. The file for methods is left out
// because the route has judged the method, and of the fields that are refused Content-Encoding,
// because what is compressed is inflated here.
const setup = `
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecAuditEngine Off
SecDefaultAction "phase:1,log,noauditlog,pass"
SecDefaultAction "phase:2,log,noauditlog,pass"
SecAction "id:900990,phase:1,pass,nolog,setvar:tx.crs_setup_version=4250"
SecAction "id:900991,phase:1,pass,nolog,setvar:'tx.restricted_headers_basic=/proxy/ /lock-token/ /content-range/ /if/ /x-http-method-override/ /x-http-method/ /x-method-override/ /x-middleware-subrequest/ /expect/'"
`

// unused are rules that are off for all routes. 920420 refuses each media type whose bodies the rules
// don't look at; here such a request is judged by its head.
const unused = "SecRuleRemoveById 920420\n"

// scores reports whether a rule looks for attacks. What has a smaller number sets the others up, and
// what has a higher one adds up.
func scores(id int) bool { return id >= 911_000 && id < 949_000 }

// set is rules as they run. They are compiled by whoever asks first.
type set struct {
	rules       func() (coraza.WAF, error)
	environment string // that asked first
	used        uint64
	failed      time.Time // when they could not be compiled; zero if they could, or nobody has tried
}

// compileAgain is how long rules that could not be compiled are left alone: the disk may have been
// full, and compiling costs a tenth of a second.
const compileAgain = 10 * time.Second

// errRules closes a route whose rules can't be compiled.
var errRules = &mezu.Error{Code: mezu.CodeRouteUnavailable, Detail: "the rules of the firewall could not be compiled with this route's exclusions"}

// set finds the rules with these exclusions for an environment, or compiles them. Meanwhile only
// those wait who need the same. A *mezu.Error says that they can't be compiled, and its cause
// why.
func (f *Firewall) set(environment, exclude string) (coraza.WAF, error) {
	f.mu.Lock()
	f.uses++
	s := f.sets[exclude]
	if s == nil || !s.failed.IsZero() && f.turns.now().Sub(s.failed) > compileAgain {
		f.makeRoom()
		s = &set{environment: environment, rules: sync.OnceValues(func() (coraza.WAF, error) { return f.compileSet(exclude) })}
		f.sets[exclude] = s
	}
	s.used = f.uses
	f.mu.Unlock()
	rules, err := s.rules()
	if err == nil {
		return rules, nil
	}
	f.mu.Lock()
	if s.failed.IsZero() {
		s.failed = f.turns.now()
	}
	f.mu.Unlock()
	closed := *errRules
	closed.Cause = err
	return nil, &closed
}

// compileSet compiles rules with exclusions, behind those without any, whose ids it needs.
func (f *Firewall) compileSet(exclude string) (coraza.WAF, error) {
	if exclude != "" {
		if _, err := f.set("", ""); err != nil {
			return nil, err
		}
		return f.compile(f.known(exclude), nil)
	}
	ids := map[int]bool{}
	rules, err := f.compile("", func(r types.RuleMetadata) { ids[r.ID()] = true })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.base = ids
	return rules, err
}

func (f *Firewall) compile(exclude string, observe func(types.RuleMetadata)) (coraza.WAF, error) {
	register()
	var b strings.Builder
	b.WriteString(setup)
	for _, name := range files {
		b.WriteString("Include @owasp_crs/" + name + ".conf\n")
	}
	b.WriteString(unused + exclude)
	cfg := coraza.NewWAFConfig().WithRootFS(ruleFiles{coreruleset.FS}).WithDirectives(b.String())
	if observe != nil {
		cfg = experimental.WAFConfigWithRuleObserver(cfg, observe)
	}
	return coraza.NewWAF(cfg)
}

// makeRoom drops a set if there is no room for another: of the environment that has most, the one
// that was not used for longest, so that none drives out the others'. The one without exclusions
// stays: what others have in common is its. The lock is held.
func (f *Firewall) makeRoom() {
	if len(f.sets) < maxSets {
		return
	}
	has, most := map[string]int{}, ""
	for key, s := range f.sets {
		if key == "" {
			continue
		}
		if has[s.environment]++; has[s.environment] > has[most] {
			most = s.environment
		}
	}
	oldest := ""
	for key, s := range f.sets {
		if key != "" && s.environment == most && (oldest == "" || s.used < f.sets[oldest].used) {
			oldest = key
		}
	}
	delete(f.sets, oldest)
}

// exclusions writes a route's exclusions as directives, in one order, so that equal ones are one
// text.
func exclusions(list []mezu.WAFExclusion) string {
	lines := make([]string, 0, len(list))
	for _, x := range list {
		if x.Target == "" {
			lines = append(lines, fmt.Sprintf("SecRuleRemoveById %d\n", x.Rule))
			continue
		}
		collection, name, named := strings.Cut(x.Target, ":")
		switch {
		case !named:
		case strings.ContainsRune(name, '*'):
			name = ":/^" + strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(name)), `\*`, ".*") + "$/"
		default:
			name = ":" + name
		}
		lines = append(lines, fmt.Sprintf("SecRuleUpdateTargetById %d \"!%s%s\"\n", x.Rule, collection, name))
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "")
}

// known drops exclusions of rules that there are not: another release may have them.
func (f *Firewall) known(exclude string) string {
	f.mu.Lock()
	base := f.base
	f.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(exclude) {
		var id int
		if _, rest, ok := strings.Cut(line, " "); ok {
			if n, _ := fmt.Sscan(rest, &id); n == 1 && base[id] {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}
