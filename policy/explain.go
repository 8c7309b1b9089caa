package policy

import "strconv"

// Candidate is a route that was looked at, in the order in which they were.
type Candidate struct {
	// Route is the label of the route, empty if this is about none.
	Route  string `json:"route,omitempty"`
	Result string `json:"result"`
}

// maxCandidates bounds the candidates of an explanation: nobody reads more, and an
// environment may have 10,000 patterns.
const maxCandidates = 200

// Explain judges a request as Decide does and says how it came to that: each
// candidate that was passed over and why, up to maxCandidates of them, then the
// verdict.
func (t *Table) Explain(r *Request) (Decision, []Candidate) {
	var tr trace
	d := t.decide(r, &tr)
	if tr.left > 0 {
		tr.seen = append(tr.seen, Candidate{Result: strconv.Itoa(tr.left) + " more candidates were passed over"})
	}
	verdict := Candidate{Result: "allowed"}
	if d.Route != nil {
		verdict.Route = d.Route.Label()
	}
	if !d.Allowed() {
		verdict.Result = string(d.Code) + ": " + d.Detail
		if missing := d.Missing.String(); missing != "" {
			verdict.Result += ": " + missing
		}
	}
	return d, append(tr.seen, verdict)
}

// trace collects the candidates that one decision passed over. A nil trace
// collects nothing.
type trace struct {
	seen []Candidate
	left int // beyond maxCandidates
}

func (t *trace) pass(r *Route, why string) {
	switch {
	case t == nil:
	case len(t.seen) == maxCandidates:
		t.left++
	default:
		t.seen = append(t.seen, Candidate{r.Label(), why})
	}
}
