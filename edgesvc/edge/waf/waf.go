// Package waf is the web application firewall: it judges requests by the OWASP Core Rule Set,
// which the engine Coraza runs.
//
// What lives here: the rules and what a route takes off them, what of a request they see, the
// bounds on that, and whose turn it is to have a request judged. What may not: which route a
// request has and what a refusal looks like (packages policy and filter), and how a body comes
// (package web). Package filter and web import it.
//
// The bounds come first. Every look costs time in proportion to how many values there are and how
// long they are, so what is over a bound is never shown to the rules. Patterns run in linear time
// (RE2). Nothing is written to a disk: bodies are taken apart here, since Coraza would put the
// files of a form into temporary ones.
package waf

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

// Bounds on what the rules see of one request.
const (
	// MaxValues bounds the values of query, cookies and body together. Each costs some hundred
	// patterns a fifth of a millisecond, so that all take a tenth of a second at most.
	MaxValues = 256
	// MaxDepth bounds how deep a body nests. It is far above what programs write.
	MaxDepth = 32
	// maxHeadBytes bounds the bytes of query and cookies together, since they cost as much as those
	// of a body. Browsers and servers agree on 8 KiB for each.
	maxHeadBytes = 16 << 10
	// maxBytes bounds the bytes of all values and of their names. In JSON a name is the whole path,
	// so that a short body could have a megabyte of them. So much takes two tenths of a second at
	// most. From paranoia 2 on there are twice as many rules, and half as many bytes.
	maxBytes = 64 << 10
	// maxRules bounds the rules that a verdict names. More than a hundred look for nothing else than
	// these.
	maxRules = 100
)

// Result is what comes of a look at a request.
type Result uint8

// Results.
const (
	Passes     Result = iota
	Attack            // its score reaches the threshold
	Exceeds           // more than a bound
	Unreadable        // its body is not what it says to be, or can be read in two ways
)

// Verdict is what the firewall says of a request, for the decision and for the log. It has no value
// of the request.
type Verdict struct {
	Result Result
	// Score is the anomaly score, and Rules are the rules that gave it, maxRules of them at most.
	Score int
	Rules []int
	// Partial names the bound over which the request is, or why its body is unreadable: it was not
	// looked at as a whole. It is empty if it was.
	Partial string
	// Took is how long the rules took.
	Took time.Duration
	// Wait is how long nothing more is judged of the address, beside the error that says so.
	Wait time.Duration
}

// Inspection is what was said of which request.
type Inspection struct {
	Verdict
	// Detect says that the request passes all the same.
	Detect bool
}

// Code is that of the refusal in block mode, empty if the request passes.
func (v *Verdict) Code() mezu.Code {
	switch v.Result {
	case Attack, Unreadable:
		return mezu.CodeForbidden
	case Exceeds:
		return mezu.CodeBodyTooLarge
	}
	return ""
}

// Settings are how strict a route is, with defaults filled in.
type Settings struct {
	Paranoia, Threshold int
	// Body bounds what is looked at of a body.
	Body    int
	bytes   int    // bounds all that is looked at
	exclude string // as directives, and as the key of its rules
}

// NewSettings takes the settings of a route, nil for the defaults.
func NewSettings(s *mezu.WAFSettings) *Settings {
	if s == nil {
		s = &mezu.WAFSettings{}
	}
	out := &Settings{Paranoia: max(s.Paranoia, 1), Threshold: s.Threshold, Body: int(s.Body), exclude: exclusions(s.Exclude)}
	if out.Threshold == 0 {
		out.Threshold = mezu.DefaultWAFThreshold
	}
	if out.Body == 0 {
		out.Body = int(mezu.DefaultWAFBody)
	}
	if out.bytes = maxBytes; out.Paranoia > 1 {
		out.bytes = maxBytes / 2
	}
	out.Body = min(out.Body, out.bytes)
	return out
}

// Most is the longest body of a kind that is looked at.
func (s *Settings) Most(k Kind) int { return s.Body + overhead(k) }

// Firewall judges requests. The rules are compiled when they are first used. Its methods may be
// called from many goroutines. Make it with New.
type Firewall struct {
	turns *turns
	free  func(netip.Addr) bool

	mu   sync.Mutex
	sets map[string]*set
	base map[int]bool // ids of the rules without exclusions, once these are compiled
	uses uint64       // ever, to tell which set was used last
}

// New makes a firewall that may use so many cores. free says whose share of its time is not
// bounded.
func New(cores int, free func(netip.Addr) bool) *Firewall {
	return &Firewall{turns: newTurns(cores, time.Now), free: free, sets: map[string]*set{}}
}

// Busy is how many requests are judged at this moment.
func (f *Firewall) Busy() int { return f.turns.taken() }

// Who sends a request, and to which environment.
type Who struct {
	Environment string
	Client      netip.Addr
}

// inTurn judges so many values when it is who's turn.
func (f *Firewall) inTurn(w Who, s *Settings, values, bytes int, head, body func(*look)) (Verdict, error) {
	heavy := values > lightValues || bytes > lightBytes
	done, wait, err := f.turns.take(w.Environment, tunnel.AddressOf(w.Client), heavy, f.free(w.Client))
	if err != nil {
		return Verdict{Wait: wait}, err
	}
	defer done()
	return f.judge(w.Environment, s, head, body)
}

// Head judges a request of whose body nothing is looked at. An error that is a *mezu.Error is for
// the client.
func (f *Firewall) Head(w Who, s *Settings, r *relay.Request) (Verdict, error) {
	return f.Body(w, s, r, None, nil)
}

// Body judges a request whose body is here as a whole. Its head has not been judged.
func (f *Firewall) Body(w Who, s *Settings, r *relay.Request, kind Kind, body []byte) (Verdict, error) {
	if len(body) == 0 {
		kind = None // nothing, whatever it says to be
	}
	values, bytes := headValues(r)
	p := &parsed{look: look{s: s, values: values, head: bytes, exceeded: headExceeds(r)}}
	var why string
	if p.exceeded == "" {
		why = p.read(kind, r, body)
	}
	if v, known := p.known(why); known {
		return v, nil
	}
	return f.inTurn(w, s, p.values, bytes+p.names+p.bytes+longHead(r), func(l *look) { l.showHead(r, w.Client) }, p.show)
}

// known is the verdict on a request that is not shown to the rules, because it is over a bound or
// can't be read.
func (p *parsed) known(why string) (Verdict, bool) {
	switch {
	case p.exceeded != "":
		return Verdict{Result: Exceeds, Partial: p.exceeded}, true
	case why != "":
		return Verdict{Result: Unreadable, Partial: why}, true
	}
	return Verdict{}, false
}

// look is one request as the rules see it.
type look struct {
	s        *Settings
	tx       types.Transaction
	vars     plugintypes.TransactionVariables
	values   int    // so far, of query, cookies and body
	head     int    // bytes of query and cookies
	names    int    // bytes of the body's names
	bytes    int    // bytes of the body's values
	exceeded string // the bound that is
}

// value counts one value of a body, and reports whether it is within the bounds.
func (l *look) value(name, value int) bool {
	l.values++
	l.names += name
	l.bytes += value
	switch {
	case l.exceeded != "":
	case l.values > MaxValues:
		l.exceeded = "values"
	case l.head+l.names+l.bytes > l.s.bytes:
		l.exceeded = "bytes"
	case l.bytes > l.s.Body:
		l.exceeded = "body"
	}
	return l.exceeded == ""
}

// headExceeds names the bound over which the head of a request is, empty if it is over none.
func headExceeds(r *relay.Request) string {
	values, bytes := headValues(r)
	switch {
	case values > MaxValues:
		return "values"
	case bytes > maxHeadBytes:
		return "head"
	}
	return ""
}

// judge runs the rules over what head and body show them. A panic in the rules
// goes up: whoever judges nothing lets nothing pass. Its transaction is not used again.
func (f *Firewall) judge(environment string, s *Settings, head, body func(*look)) (v Verdict, err error) {
	rules, err := f.set(environment, s.exclude)
	if err != nil {
		return v, err
	}
	began := time.Now()
	tx := rules.NewTransaction()
	l := &look{s: s, tx: tx, vars: tx.(plugintypes.TransactionState).Variables()}
	l.vars.TX().Set("blocking_paranoia_level", []string{strconv.Itoa(s.Paranoia)})
	head(l)
	tx.ProcessRequestHeaders()
	body(l)
	if _, err = tx.ProcessRequestBody(); err != nil {
		return v, err
	}
	if score := l.vars.TX().Get("blocking_inbound_anomaly_score"); len(score) > 0 {
		if v.Score, err = strconv.Atoi(score[0]); err != nil {
			return v, err
		}
	}
	for _, m := range tx.MatchedRules() {
		if id := m.Rule().ID(); scores(id) && m.Message() != "" && len(v.Rules) < maxRules && !slices.Contains(v.Rules, id) {
			v.Rules = append(v.Rules, id)
		}
	}
	if v.Score >= s.Threshold {
		v.Result = Attack
	}
	v.Took = time.Since(began)
	return v, tx.Close()
}
