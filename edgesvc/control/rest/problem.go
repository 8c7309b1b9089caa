package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// retryAfter is what a client is asked to wait when the store can't write, in
// seconds.
const retryAfter = "1"

// refusal is a problem document as huma writes it.
type refusal struct{ api.Problem }

// Error gives the detail.
func (p *refusal) Error() string { return p.Detail }

// GetStatus gives the status to huma.
func (p *refusal) GetStatus() int { return p.Status }

// ContentType gives the media type to huma.
func (p *refusal) ContentType(string) string { return "application/problem+json" }

// GetHeaders gives further headers to huma.
func (p *refusal) GetHeaders() http.Header {
	if p.Code == mezu.CodeUnavailable || p.Code == mezu.CodeRateLimited {
		return http.Header{"Retry-After": {retryAfter}}
	}
	return nil
}

// problem is the one translation of an error into an answer.
func problem(err error, requestID string) *refusal {
	var e *mezu.Error
	switch {
	case errors.As(err, &e):
	default:
		if e = record.StoreRefusal(err); e == nil {
			e = &mezu.Error{Code: mezu.CodeInternal, Detail: "something went wrong here; the log has it under the request id"}
		}
	}
	status := e.Code.Status()
	return &refusal{api.Problem{
		Title: http.StatusText(status), Status: status, Code: e.Code, Detail: shortened(e.Detail), Field: shortened(e.Field), Hint: e.Hint, RequestID: requestID,
	}}
}

// maxTold bounds the detail of an answer, which may repeat a part of the request.
const maxTold = 4 << 10

// shortened cuts a text to maxTold.
func shortened(text string) string {
	if len(text) <= maxTold {
		return text
	}
	return strings.ToValidUTF8(text[:maxTold], "") + "…"
}

// refuse makes the answer. It has a denial written down, and logs an error that is our own
// fault; the detail of any other refusal is told to the caller alone.
func (r *rest) refuse(ctx context.Context, req *request, err error) *refusal {
	p := problem(req.explained(req.named(err)), requestID(ctx))
	r.service.Denied(ctx, req.op, req.caller, req.path, err)
	switch {
	case ctx.Err() != nil:
	case p.Status >= 500:
		r.log.Error("operation failed", "operation", req.op.ID, "request_id", p.RequestID, "caller", req.caller.ID, "error", err)
	case p.Code == mezu.CodeUnauthenticated:
		r.log.Info("caller refused", "operation", req.op.ID, "request_id", p.RequestID, "address", req.caller.Address, "error", err)
	}
	return p
}

// explained says of an error of the store why, unless a stranger asks.
func (req *request) explained(err error) error {
	if req.caller.Kind == access.Anonymous || req.caller.Kind == "" {
		return err
	}
	if why := record.StoreReason(err); why != nil {
		return why
	}
	return err
}

// maxNamed bounds a name that is repeated in an answer. Names, ids and most addresses are shorter.
const maxNamed = 128

// named says in an error about what is not there how the caller named it, and in what it was
// looked for. It tells nothing that the caller has not said: what is hidden from them, and what
// is not there, are named alike.
func (req *request) named(err error) error {
	var e *mezu.Error
	var absent *record.Absent
	if !errors.As(err, &e) || !errors.As(err, &absent) {
		return err
	}
	param := strings.ReplaceAll(strings.ToLower(absent.Noun), " ", "_")
	in := ""
	for _, name := range req.op.Params() {
		value := req.ctx.Param(name)
		switch {
		case len(value) > maxNamed:
			return err
		case name == param:
			c := *e
			c.Detail = fmt.Sprintf("there is no %s %q", absent.Noun, value)
			if in != "" {
				c.Detail += " in " + in
			}
			return &c
		case name == "directory", name == "user":
			in = fmt.Sprintf("%s %s of %s", name, value, in)
		case in != "":
			in += "/" + value
		default:
			in = value
		}
	}
	return err
}

// refusalOf turns a refusal of huma's own into ours: what is wrong with a request
// is 400, whatever huma says.
func refusalOf(requestID string, status int, message string, errs []error) *refusal {
	if status >= 500 {
		return problem(errors.Join(errs...), requestID)
	}
	return problem(mezu.Errorf(mezu.CodeInvalid, "%s", message), requestID)
}

func writeProblem(w http.ResponseWriter, p *refusal) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	// The status is sent; a client that has gone misses the rest.
	_ = json.NewEncoder(w).Encode(p)
}
