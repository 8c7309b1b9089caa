package policy

import "strconv"

// Step is one look at a candidate, in the order in which they were taken.
type Step struct {
	// Route is the label of the route, empty if the step is about none.
	Route  string `json:"route,omitempty"`
	Result string `json:"result"`
}

// maxSteps bounds the candidates of an explanation: nobody reads more, and an
// environment may have 10,000 patterns.
const maxSteps = 200

// Explain judges a request as Decide does and says how it came to that: each
// candidate that was passed over and why, up to maxSteps of them, then the
// verdict.
func (t *Table) Explain(r *Request) (Decision, []Step) {
	var tr trace
	d := t.decide(r, &tr)
	if tr.left > 0 {
		tr.steps = append(tr.steps, Step{Result: strconv.Itoa(tr.left) + " more candidates were passed over"})
	}
	verdict := Step{Result: "allowed"}
	if d.Route != nil {
		verdict.Route = d.Route.Label()
	}
	switch {
	case d.Answer != nil:
		verdict.Result = "answered with " + strconv.Itoa(d.Answer.Status)
	case !d.Allowed():
		verdict.Result = string(d.Code) + ": " + d.Detail
		if missing := d.Missing.String(); missing != "" {
			verdict.Result += ": " + missing
		}
	}
	return d, append(tr.steps, verdict)
}

// trace collects the candidates that one decision passed over. A nil trace
// collects nothing.
type trace struct {
	steps []Step
	left  int // beyond maxSteps
}

func (t *trace) pass(r *Route, why string) {
	switch {
	case t == nil:
	case len(t.steps) == maxSteps:
		t.left++
	default:
		t.steps = append(t.steps, Step{r.Label(), why})
	}
}
