package trial

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
)

// Judged is what one step of policy.Order makes of the request.
type Judged struct {
	// Step is its name, as metrics and logs have it.
	Step   string `json:"step"`
	Result Result `json:"result"`
	// Detail is why, or by what it is judged.
	Detail string `json:"detail,omitempty"`

	code   mezu.Code
	status int
}

// Result is what a step makes of a request.
type Result string

// Results. A step that refuses or answers is the last one.
const (
	Passed   Result = "passed"
	Refused  Result = "refused"
	Answered Result = "answered"
	// Unknown: it depends on what isn't known here, such as how many requests there were.
	Unknown Result = "not judged here"
)

// steps judges the request step by step, by what the routes decide and what the edge adds to it.
func (t *trial) steps(d *policy.Decision, ask *policy.Request) (out []Judged) {
	for _, rule := range policy.Order() {
		j := Judged{Result: Passed}
		if rule.Step == d.Step {
			j = refusedFor(d.Code, d.Detail)
		} else if d.Route != nil || rule.Step == policy.StepLoad {
			j = t.step(rule.Step, d, ask)
		}
		j.Step, j.Result = rule.Name, cmp.Or(j.Result, Passed)
		out = append(out, j)
		if j.Result == Refused || j.Result == Answered {
			break
		}
	}
	return out
}

func refusedFor(code mezu.Code, detail string) Judged {
	return Judged{Result: Refused, Detail: detail, code: code, status: code.Status()}
}

// step judges what the edge adds at one step.
func (t *trial) step(s policy.Step, d *policy.Decision, ask *policy.Request) Judged {
	r := d.Route
	switch s {
	case policy.StepRoute:
		if d.Behind != nil {
			sent, _ := r.Cut(ask.Path.Path)
			return Judged{Detail: "and " + d.Behind.Label() + ", which has to let " + sent + " pass, too"}
		}
	case policy.StepLoad:
		return Judged{Result: Unknown, Detail: "how much there is, and how much of this address"}
	case policy.StepPreflight:
		if d.Preflight {
			return t.preflight(r, ask)
		}
	case policy.StepSize:
		return t.size(d)
	case policy.StepAddressLimit, policy.StepUserLimit:
		if r.Limit != nil && r.Limit.Step() == s {
			return limited(r.RateLimit, t.counted(d))
		}
	case policy.StepAuth:
		if d.Grant != nil && !t.ownPage() && !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, t.q.Method) && !(t.named(r) && r.CORS.Credentials) {
			return refusedFor(mezu.CodeForbidden, "the request comes from a page of another site")
		}
	case policy.StepAnswer:
		return answered(r)
	case policy.StepHead:
		return t.firewall(r, "the head")
	case policy.StepBody:
		if name := r.Webhook(); name != "" {
			return Judged{Result: Unknown, Detail: "the signature of webhook " + name + " over the body"}
		}
		return t.firewall(r, "forms, JSON and XML")
	case policy.StepRewrite:
		return Judged{Detail: strings.Join(rewritten(r, ask), "; ")}
	case policy.StepResponse:
		return Judged{Detail: strings.Join(t.responded(r), "; ")}
	}
	return Judged{}
}

// header is the value of a field of the request, empty if it has none; once is false for several.
func (t *trial) header(lower string) (value string, once bool) {
	lines := t.q.Header[lower]
	if len(lines) == 0 {
		return "", true
	}
	return lines[0], len(lines) == 1
}

func (t *trial) ownPage() bool {
	origin, one := t.header("origin")
	site, other := t.header("sec-fetch-site")
	return one && other && policy.OwnPage(strings.TrimPrefix(t.env.URL, "https://"), origin, site)
}

// named reports whether the route's cors names the request's origin.
func (t *trial) named(r *policy.Route) bool {
	origin, once := t.header("origin")
	return r.CORS != nil && origin != "" && once && !r.CORS.AnyOrigin && r.CORS.Readable(origin)
}

// asksFor is what the request asks for if it may be a preflight, else nil.
func (t *trial) asksFor() *policy.Preflight {
	method, once := t.header("access-control-request-method")
	if origin, _ := t.header("origin"); t.q.Method != "OPTIONS" || origin == "" || !once || mezu.ValidateMethod(method) != nil {
		return nil
	}
	var fields []string
	for _, line := range t.q.Header["access-control-request-headers"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				fields = append(fields, strings.ToLower(name))
			}
		}
	}
	return &policy.Preflight{Method: method, Fields: slices.Values(fields)}
}

func (t *trial) preflight(r *policy.Route, ask *policy.Request) Judged {
	origin, once := t.header("origin")
	if why := r.CORS.Refuses(ask.Preflight, r.CORS.Readable(origin) && (once || r.CORS.AnyOrigin)); why != "" {
		return refusedFor(mezu.CodeForbidden, why)
	}
	return Judged{Result: Answered, Detail: "the edge answers the preflight", status: 204}
}

func (t *trial) size(d *policy.Decision) Judged {
	r := d.Route
	upgrade, _ := t.header("upgrade")
	length, _ := t.header("content-length")
	switch n, err := strconv.ParseInt(length, 10, 64); {
	case err == nil && r.MaxBody > 0 && n > r.MaxBody:
		return refusedFor(mezu.CodeBodyTooLarge, "the route takes bodies up to "+strconv.FormatInt(r.MaxBody, 10)+" bytes")
	case !strings.EqualFold(upgrade, "websocket"):
		return Judged{}
	case !r.WebSocket:
		return Judged{Detail: "the upgrade is left out: the route has websocket: false"}
	case !d.AdmitsUpgrade(t.ownPage(), t.named(r)):
		return refusedFor(mezu.CodeForbidden, "the request comes from a page of another site")
	}
	return Judged{}
}

// counted is whose requests the route's limit counts together with this one.
func (t *trial) counted(d *policy.Decision) string {
	by, address := d.Route.Limit.By, "the client's address"
	if t.q.Client.IsValid() {
		if address = "the address " + t.q.Client.String(); t.q.Client.Is6() {
			address = "the addresses " + gcra.Client(t.q.Client).String()
		}
	}
	switch {
	case by == mezu.LimitByUser && d.Grant != nil:
		return strings.TrimSpace("the user " + t.q.As)
	case by == mezu.LimitByUser && d.Route.AsksWho():
		return address + ", since nobody is logged in"
	case by == mezu.LimitByUser:
		return address + ", since the route does not ask who its users are"
	case by == mezu.LimitByKey:
		return address + ", since no program has a credential of its own yet"
	}
	return address
}

// limited says by what a limit counts.
func limited(l *mezu.RateLimit, whose string) Judged {
	return Judged{Result: Unknown, Detail: fmt.Sprintf("%d requests per %s, %d at once, of %s, at each edge", l.Requests, l.Per, cmp.Or(l.Burst, l.Requests), whose)}
}

// answered is the answer that a route gives itself.
func answered(r *policy.Route) Judged {
	switch {
	case r.Redirect != nil:
		return Judged{Result: Answered, Detail: "to " + r.Redirect.To, status: cmp.Or(r.Redirect.Status, 302)}
	case r.Respond != nil:
		return Judged{Result: Answered, Detail: "with the body of the route", status: cmp.Or(r.Respond.Status, 200)}
	}
	return Judged{}
}

// firewall says by which settings the firewall looks at a part of the request.
func (t *trial) firewall(r *policy.Route, part string) Judged {
	mode := cmp.Or(r.WAF, t.env.WAF)
	if mode == "" || mode == mezu.WAFOff {
		return Judged{}
	}
	s := cmp.Or(r.WAFSettings, t.env.WAFSettings)
	if s == nil {
		s = &mezu.WAFSettings{}
	}
	return Judged{Result: Unknown, Detail: fmt.Sprintf("waf: %s looks at %s: paranoia %d, threshold %d, %d exclusions", mode, part, cmp.Or(s.Paranoia, 1), cmp.Or(s.Threshold, mezu.DefaultWAFThreshold), len(s.Exclude))}
}

// rewritten says what the workload sees in place of what the client sends.
func rewritten(r *policy.Route, ask *policy.Request) (out []string) {
	if sent, cut := r.Cut(ask.Path.Path); cut != "" {
		out = append(out, "the path "+sent+", X-Forwarded-Prefix: "+cut)
	}
	if r.HostHeader != "" {
		out = append(out, "Host: "+r.HostHeader)
	}
	return append(out, edits(r.RequestHeaders)...)
}

// responded says what the client sees in place of what the workload sends.
func (t *trial) responded(r *policy.Route) (out []string) {
	if origin, once := t.header("origin"); r.CORS != nil {
		who := "no page of another site may read the answer"
		switch {
		case r.CORS.AnyOrigin:
			who = "pages of all sites may read the answer"
		case origin != "" && once && r.CORS.Readable(origin):
			who = "pages of " + origin + " may read the answer"
		}
		out = append(out, who)
	}
	return append(out, edits(r.ResponseHeaders)...)
}

// edits says which fields are changed, and not to what: a value may be a secret.
func edits(e *mezu.HeaderEdits) (out []string) {
	if e == nil {
		return nil
	}
	if len(e.Remove) > 0 {
		out = append(out, "removes "+strings.Join(e.Remove, ", "))
	}
	if len(e.Set) > 0 {
		out = append(out, "sets "+strings.Join(slices.Sorted(maps.Keys(e.Set)), ", "))
	}
	return out
}
