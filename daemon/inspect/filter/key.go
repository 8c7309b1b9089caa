package filter

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// test is what a word asks.
type test = func(now time.Time, s Subject, x *mezu.Exchange) bool

// key is what may stand before a colon.
type key struct {
	cost    cost
	example string
	// parse reads the values behind it. wrong says what is wrong with one.
	parse func(values [][]char) (ask test, wrong string)
}

// keys are all of them.
func keys() map[string]key {
	return map[string]key{
		"method": {example: "method:POST,PUT", parse: texts(func(x *mezu.Exchange) string { return x.Method })},
		"route":  {example: "route:api", parse: texts(func(x *mezu.Exchange) string { return x.Route })},
		"edge":   {example: "edge:fra-1", parse: texts(func(x *mezu.Exchange) string { return x.Edge })},
		"code": {example: "code:workload_refused", parse: texts(func(x *mezu.Exchange) string { return string(x.Code) },
			func(x *mezu.Exchange) string { return string(x.Cause) })},
		"tunnel": {example: "tunnel:shop/dev-ada", parse: texts(func(x *mezu.Exchange) string { return x.Tunnel },
			func(x *mezu.Exchange) string { return x.Tunnel[strings.LastIndexByte(x.Tunnel, '/')+1:] },
			func(x *mezu.Exchange) string { return x.TunnelID })},
		"user": {example: "user:ada", parse: texts(func(x *mezu.Exchange) string { return x.User },
			func(x *mezu.Exchange) string { before, _, _ := strings.Cut(x.User, "@"); return before })},
		"host":   {example: "host:shop.example.com or host:*.example.com", parse: parseHost},
		"path":   {example: "path:/hooks/*", parse: parsePath},
		"status": {example: "status:500, status:5xx or status:>=400", parse: each(parseStatus)},
		"ip":     {example: "ip:203.0.113.9 or ip:203.0.113.0/24", parse: each(parseIP)},
		"dur":    {example: "dur:>500ms", parse: each(parseDuration)},
		"age":    {example: "age:<5m", parse: each(parseAge)},
		"size":   {example: "size:>1k", parse: each(parseSize)},
		"is":     {example: "is:" + strings.Join(stateNames(), ", is:"), parse: each(parseState)},
		"header": {cost: ofHeads, example: "header:x-request-id or header:content-type=*json*", parse: each(parseHeader)},
		"text":   {cost: ofBodies, example: "text:refund", parse: parseText},
	}
}

func keyNames() []string { return slices.Sorted(maps.Keys(keys())) }

// texts are words about a text, of which the pattern has to be the whole. Several are alternatives.
func texts(of ...func(*mezu.Exchange) string) func([][]char) (test, string) {
	return func(values [][]char) (test, string) {
		list := make([]pattern, len(values))
		for i, v := range values {
			list[i] = newPattern(v, complete)
		}
		return func(_ time.Time, _ Subject, x *mezu.Exchange) bool {
			for _, get := range of {
				if matchAny(list, get(x)) {
					return true
				}
			}
			return false
		}, ""
	}
}

// each reads each value by itself. One has to match.
func each(parse func([]char) (test, string)) func([][]char) (test, string) {
	return func(values [][]char) (test, string) {
		list := make([]test, len(values))
		for i, v := range values {
			ask, wrong := parse(v)
			if wrong != "" {
				return nil, wrong
			}
			list[i] = ask
		}
		return func(now time.Time, s Subject, x *mezu.Exchange) bool {
			for _, ask := range list {
				if ask(now, s, x) {
					return true
				}
			}
			return false
		}, ""
	}
}

func hasStar(chars []char) bool {
	return slices.Contains(chars, char{'*', false})
}

func parseHost(values [][]char) (test, string) {
	list := make([]pattern, len(values))
	for i, v := range values {
		list[i] = newPattern(v, anywhere)
		if hasStar(v) {
			list[i] = newPattern(v, complete)
		}
	}
	return func(_ time.Time, _ Subject, x *mezu.Exchange) bool { return matchAny(list, x.Host) }, ""
}

func parsePath(values [][]char) (test, string) {
	list := make([]pattern, len(values))
	for i, v := range values {
		list[i] = newPattern(v, anywhere)
		if v[0].b == '/' || hasStar(v) {
			list[i] = newPattern(v, begin)
			list[i].head = list[i].head && v[0].b == '/'
		}
	}
	return onTarget(list), ""
}

// onTarget matches the path, with the query where a pattern asks for one. Patterns that may be
// anywhere are looked for in the query too.
func onTarget(list []pattern) test {
	return func(_ time.Time, _ Subject, x *mezu.Exchange) bool {
		for i := range list {
			p := &list[i]
			if p.target && x.Query != "" {
				if p.match(x.Path + x.Query) {
					return true
				}
				continue
			}
			if p.match(x.Path) || !p.head && !p.tail && !p.some && p.match(x.Query) {
				return true
			}
		}
		return false
	}
}

// comparison is an operator before a number.
type comparison int

const (
	equal comparison = iota
	more
	notLess
	less
	notMore
)

// compare reads the operator of a value, and what is behind it.
func compare(s string) (op comparison, given bool, rest string) {
	for _, o := range []struct {
		text string
		op   comparison
	}{{">=", notLess}, {"<=", notMore}, {">", more}, {"<", less}, {"=", equal}} {
		if rest, ok := strings.CutPrefix(s, o.text); ok {
			return o.op, true, rest
		}
	}
	return equal, false, s
}

func (op comparison) holds(a, b float64) bool {
	switch op {
	case more:
		return a > b
	case notLess:
		return a >= b
	case less:
		return a < b
	case notMore:
		return a <= b
	}
	return a == b
}

// Statuses of HTTP are three digits; those of gRPC are fewer.
const (
	leastStatus = 100
	mostStatus  = 999
)

func parseStatus(value []char) (test, string) {
	text := strings.ToLower(plain(value))
	op, given, rest := compare(text)
	if class, ok := strings.CutSuffix(rest, "xx"); ok && !given && len(class) == 1 && class[0] >= '1' && class[0] <= '9' {
		from := int(class[0]-'0') * leastStatus
		return func(_ time.Time, _ Subject, x *mezu.Exchange) bool {
			return x.Status >= from && x.Status < from+leastStatus
		}, ""
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 || n > mostStatus || rest[0] == '+' {
		return nil, fmt.Sprintf("has %q, which is no status", text)
	}
	return func(_ time.Time, _ Subject, x *mezu.Exchange) bool {
		if n >= leastStatus {
			return x.Status != 0 && op.holds(float64(x.Status), float64(n))
		}
		return x.GRPCStatus != nil && op.holds(float64(*x.GRPCStatus), float64(n))
	}, ""
}

func parseIP(value []char) (test, string) {
	if hasStar(value) {
		p := newPattern(value, complete)
		return func(_ time.Time, _ Subject, x *mezu.Exchange) bool { return p.match(x.Client) }, ""
	}
	text := plain(value)
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Sprintf("has %q, which is no address and no CIDR", text)
		}
		addr = addr.Unmap().WithZone("")
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	return func(_ time.Time, _ Subject, x *mezu.Exchange) bool {
		addr, err := netip.ParseAddr(x.Client)
		if err != nil {
			with, err := netip.ParseAddrPort(x.Client)
			if err != nil {
				return false
			}
			addr = with.Addr()
		}
		return prefix.Contains(addr.Unmap().WithZone(""))
	}, ""
}

// duration reads an operator and a duration.
func duration(value []char) (comparison, time.Duration, string) {
	text := strings.ToLower(plain(value))
	op, given, rest := compare(text)
	if !given {
		return 0, 0, fmt.Sprintf("doesn't say whether %q is to be exceeded", text)
	}
	d, err := mezu.ParseDuration(rest)
	if err != nil {
		return 0, 0, fmt.Sprintf("has %q, which is no number with ms, s, m, h, d or w behind it", rest)
	}
	return op, time.Duration(d), ""
}

func parseDuration(value []char) (test, string) {
	op, d, wrong := duration(value)
	bound := float64(d) / float64(time.Millisecond)
	return func(_ time.Time, _ Subject, x *mezu.Exchange) bool { return op.holds(x.DurationMS, bound) }, wrong
}

func parseAge(value []char) (test, string) {
	op, d, wrong := duration(value)
	return func(now time.Time, _ Subject, x *mezu.Exchange) bool {
		return op.holds(float64(now.Sub(x.StartedAt)), float64(d))
	}, wrong
}

// units are those of sizes, in lower case.
func units() []struct {
	suffix string
	bytes  float64
} {
	return []struct {
		suffix string
		bytes  float64
	}{{"ki", 1 << 10}, {"mi", 1 << 20}, {"gi", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}}
}

func parseSize(value []char) (test, string) {
	text := strings.ToLower(plain(value))
	op, given, rest := compare(text)
	number, unit := strings.TrimSuffix(rest, "b"), 1.0
	for _, u := range units() {
		if before, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = before, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.Trim(number, "0123456789.") != "" {
		return nil, fmt.Sprintf("has %q, which is no size", text)
	}
	if !given && n != 0 {
		return nil, fmt.Sprintf("doesn't say whether %q is to be exceeded", text)
	}
	return func(_ time.Time, _ Subject, x *mezu.Exchange) bool { return op.holds(float64(x.BytesOut), n*unit) }, ""
}

// states are what an exchange can be.
func states() map[string]func(*mezu.Exchange) bool {
	kind := func(k mezu.ExchangeKind) func(*mezu.Exchange) bool {
		return func(x *mezu.Exchange) bool { return x.Kind == k }
	}
	return map[string]func(*mezu.Exchange) bool{
		"ws":     kind(mezu.ExchangeWebSocket),
		"sse":    kind(mezu.ExchangeEvents),
		"grpc":   kind(mezu.ExchangeGRPC),
		"stream": kind(mezu.ExchangeStream),
		"open":   func(x *mezu.Exchange) bool { return x.Open },
		"replay": func(x *mezu.Exchange) bool { return x.ReplayOf != "" },
		"pinned": func(x *mezu.Exchange) bool { return x.Pinned },
		// It was answered with an error, ours or the workload's, or not to its end.
		"failed": func(x *mezu.Exchange) bool {
			return x.Status >= 400 || x.Code != "" || x.Cause != "" || x.GRPCStatus != nil && *x.GRPCStatus != 0
		},
		// Its answer had begun and didn't end properly.
		"cut": func(x *mezu.Exchange) bool { return x.Cause != "" && x.Code == "" },
	}
}

func stateNames() []string { return slices.Sorted(maps.Keys(states())) }

func parseState(value []char) (test, string) {
	name := strings.ToLower(plain(value))
	is, ok := states()[name]
	if !ok {
		return nil, fmt.Sprintf("has %q, which no request is", name)
	}
	return func(_ time.Time, _ Subject, x *mezu.Exchange) bool { return is(x) }, ""
}

func parseHeader(value []char) (test, string) {
	eq := slices.Index(value, char{'=', false})
	name := value
	var p pattern
	if eq >= 0 {
		name = value[:eq]
		p = newPattern(value[eq+1:], complete)
		if eq == len(value)-1 {
			return nil, "has nothing behind its equals sign"
		}
	}
	text := strings.ToLower(plain(name))
	if text == "" || strings.ContainsAny(text, "*:\" ") {
		return nil, fmt.Sprintf("has %q, which is no name of a field", text)
	}
	return func(_ time.Time, s Subject, _ *mezu.Exchange) bool {
		found := false
		s.Header(text, func(v string) bool {
			found = eq < 0 || p.match(v)
			return !found
		})
		return found
	}, ""
}

func parseText(values [][]char) (test, string) {
	list := make([]pattern, len(values))
	for i, v := range values {
		list[i] = newPattern(v, anywhere)
	}
	return func(_ time.Time, s Subject, _ *mezu.Exchange) bool {
		found := false
		s.Texts(func(text []byte) bool {
			for i := range list {
				found = found || list[i].contains(text)
			}
			return !found
		})
		return found
	}, ""
}
