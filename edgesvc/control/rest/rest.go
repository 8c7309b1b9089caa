// Package rest serves the operations of the REST API over package service: paths,
// strict bodies, problem documents and the event stream. Package openapi describes what
// serves here.
//
// What may not live here: a decision about who may do what (service has them all),
// the store, listeners. Only control imports it.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/openapi"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/strictjson"
)

// Deadlines of one call.
const (
	// callTime bounds an operation from its head to the end of its answer; a
	// stream has a deadline for each event instead.
	callTime = 30 * time.Second
	// eventTime bounds the writing of one event: the largest one over a slow line. A caller
	// who loses the right to the stream is cut off sooner.
	eventTime = 30 * time.Second
)

// Config is what the API serves with.
type Config struct {
	Service *service.Service
	Log     *slog.Logger
	Version string
	// Observe is told of each answer; if nil, nobody is.
	Observe func(operation string, status int, took time.Duration)
	// CallRate is how many calls a second one caller may make; if zero,
	// DefaultCallRate.
	CallRate int
	// Done ends open streams; it must be closed before the server is shut
	// down, which does not wait for them.
	Done <-chan struct{}
}

// rest is the API while it is put together.
type rest struct {
	service *service.Service
	log     *slog.Logger
	observe func(string, int, time.Duration)
	done    <-chan struct{}
	limits  *limits
	bodies  *bodies
	huma    huma.API
	doc     *openapi.Document
	bound   map[string]bool
	// unbounded has the types of bodies that have no bound.
	unbounded error
	// operations are their ids by the pattern of the mux.
	operations map[string]string
}

// replaceErrors makes every refusal of huma's own one of ours. huma.NewError is a
// variable of the process, which is why it is set once.
var replaceErrors = sync.OnceFunc(func() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return refusalOf("", status, message, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		return refusalOf(requestID(ctx.Context()), status, message, errs)
	}
})

// New makes the handler of the API. It fails when an operation has no
// implementation or no rule of authority, or a body whose type doesn't bound it.
func New(cfg Config) (http.Handler, error) {
	mux := http.NewServeMux()
	r, err := bind(cfg, mux)
	if err != nil {
		return nil, err
	}
	return r.outer(mux), nil
}

// bind enters every operation into the mux and into the document.
func bind(cfg Config, mux *http.ServeMux) (*rest, error) {
	replaceErrors()
	doc, err := openapi.New(cfg.Version, openapi.Rules{ServerField: serverField, FixedField: fixedField})
	if err != nil {
		return nil, err
	}
	config := huma.DefaultConfig("Mezusphere", cfg.Version)
	config.OpenAPI = doc.OpenAPI
	config.CreateHooks = nil // they would add "$schema" to bodies
	config.DocsPath = ""     // huma's page loads scripts from elsewhere
	config.OpenAPIPath = ""  // and its OpenAPI 3.0 would not be valid
	config.SchemasPath = ""
	r := &rest{doc: doc, service: cfg.Service, log: cfg.Log, observe: cfg.Observe, done: cfg.Done, limits: newLimits(cfg.CallRate), bodies: &bodies{by: map[string]int{}}, bound: map[string]bool{}, operations: map[string]string{}}
	if r.observe == nil {
		r.observe = func(string, int, time.Duration) {}
	}
	r.huma = humago.New(mux, config)
	r.bindTenancy()
	r.bindRoutes()
	r.bindUsers()
	r.bindLogos()
	r.bindMachines()
	r.bindAudit()
	r.bindKeys()
	r.bindWatches()
	for _, op := range api.Operations() {
		if !r.bound[op.ID] {
			return nil, fmt.Errorf("binding the API: operation %s has no implementation", op.ID)
		}
		r.operations[op.Method+" "+op.Path] = op.ID
	}
	if r.unbounded != nil {
		return nil, r.unbounded
	}
	doc.Finish()
	mux.HandleFunc("GET /openapi.json", written("application/vnd.oai.openapi+json", doc.MarshalJSON, r.log))
	mux.HandleFunc("GET /openapi.yaml", written("application/vnd.oai.openapi", doc.YAML, r.log))
	mux.HandleFunc("GET /docs", doc.Page(r.log))
	return r, nil
}

// written serves what is the same as long as the process runs, and is made when somebody asks.
func written(kind string, text func() ([]byte, error), log *slog.Logger) http.HandlerFunc {
	made := sync.OnceValues(text)
	return func(w http.ResponseWriter, _ *http.Request) {
		data, err := made()
		if err != nil {
			log.Error("writing the OpenAPI document", "error", err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind)
		// A reader who has gone misses the rest.
		_, _ = w.Write(data)
	}
}

// outer is what every request passes: a request id, deadlines, and our own answer
// where the mux has none.
func (r *rest) outer(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id := mezu.NewID("req", time.Now())
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		control := http.NewResponseController(w)
		deadline := time.Now().Add(callTime)
		// The servers of net/http support both.
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline)
		req = req.WithContext(context.WithValue(req.Context(), requestIDKey{}, id))
		_, pattern := mux.Handler(req)
		// The mux would redirect a path that is not clean; callers get none.
		if pattern == "" || path.Clean(req.URL.Path) != req.URL.Path {
			r.unknown(w, req, mux)
			return
		}
		if by := credentialOf(req); r.operations[pattern] != "" {
			if !visitors(r.operations[pattern]) && r.tooLoud(req, by) {
				r.observe(r.operations[pattern], errTooOften.Code.Status(), 0)
				writeProblem(w, problem(errTooOften, id))
				return
			}
			req = req.WithContext(context.WithValue(req.Context(), credentialKey{}, by))
		}
		mux.ServeHTTP(w, req)
	})
}

// unknown answers a request that is no operation: its path is unknown, or has no such
// method.
func (r *rest) unknown(w http.ResponseWriter, req *http.Request, mux *http.ServeMux) {
	e := &mezu.Error{Code: mezu.CodeNotFound, Detail: "the API has no such path", Hint: "see /openapi.json"}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := req.Clone(req.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			w.Header().Add("Allow", method)
			e = mezu.Errorf(mezu.CodeMethodNotAllowed, "this path does not take %s", printableMethod(req.Method))
		}
	}
	writeProblem(w, problem(e, requestID(req.Context())))
}

func printableMethod(m string) string {
	if mezu.ValidateMethod(m) != nil {
		return "this method"
	}
	return m
}

type (
	requestIDKey  struct{}
	credentialKey struct{}
)

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// request is one call as handlers see it.
type request struct {
	ctx    huma.Context
	caller access.Caller
	op     api.Operation
	path   access.Path
	body   *body // nil of an operation without one
}

// description makes huma's description of an operation.
func (r *rest) description(op api.Operation) huma.Operation {
	out := r.doc.Operation(op)
	out.SkipValidateBody, out.SkipValidateParams = true, true
	out.Middlewares = huma.Middlewares{r.admitted(op)}
	return out
}

// describe adds the body to the description of an operation that is registered already.
func (r *rest) describe(op api.Operation, body reflect.Type) {
	r.unbounded = errors.Join(r.unbounded, strictjson.CheckType(body))
	r.doc.Takes(op, body)
}

// caller finds out who calls.
func (r *rest) caller(ctx huma.Context) (access.Caller, error) {
	p := access.Presented{TLS: ctx.TLS(), RequestID: requestID(ctx.Context()), Address: addressOf(ctx.RemoteAddr())}
	if header := ctx.Header("Authorization"); header != "" {
		scheme, token, ok := strings.Cut(header, " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
			return access.Caller{}, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the Authorization header is not «Bearer» and a token", Hint: "send Authorization: Bearer TOKEN"}
		}
		p.Bearer = token
	}
	return r.service.Authenticate(ctx.Context(), p)
}

// singleHeaders decide what a call means. A call that has one of them twice is refused: this
// process and a proxy before it might choose different ones.
var singleHeaders = []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-Id"}

type requestKey struct{}

// requestOf is the request that admitted left in the context of a handler.
func requestOf(ctx context.Context) *request {
	req, _ := ctx.Value(requestKey{}).(*request)
	return req
}

// admitted refuses, before the body is read, a caller who may not call the operation at
// all, or who calls too often: what strangers send must not fill the memory.
func (r *rest) admitted(op api.Operation) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		begin := time.Now()
		req := &request{ctx: ctx, op: op}
		if err := r.prepare(req); err != nil {
			p := r.refuse(ctx.Context(), req, err)
			r.observe(op.ID, p.Status, time.Since(begin))
			_, w := humago.Unwrap(ctx)
			writeProblem(w, p)
			return
		}
		if end := req.caller.EndsAt; !end.IsZero() && end.Sub(r.service.Now()) < mezu.EndNotice {
			ctx.SetHeader(api.HeaderCredentialEnds, end.UTC().Format(time.RFC3339))
		}
		next(huma.WithValue(ctx, requestKey{}, req))
	}
}

// prepare checks what all operations have in common and fills the request.
func (r *rest) prepare(req *request) (err error) {
	ctx := req.ctx
	allowed := map[string]bool{"page_size": req.op.Lists(), "page_token": req.op.Lists()}
	for _, name := range req.op.Parameters() {
		allowed[name] = true
	}
	httpReq, _ := humago.Unwrap(ctx)
	for _, name := range singleHeaders {
		if len(httpReq.Header.Values(name)) > 1 {
			return mezu.Invalid(name, "is given twice")
		}
	}
	u := ctx.URL()
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return mezu.Invalid("query", "is malformed: a '%%' is followed by two hexadecimal digits, and parameters are separated by '&'")
	}
	for name, values := range query {
		if !allowed[name] {
			return mezu.Invalid(name, "is not a parameter of this operation")
		}
		if len(values) > 1 {
			return mezu.Invalid(name, "is given twice")
		}
	}
	for _, name := range req.op.Params() {
		value := ctx.Param(name)
		switch name {
		case "organization":
			req.path.Organization = value
		case "project":
			req.path.Project = value
		case "environment":
			req.path.Environment = value
		case "directory":
			req.path.Directory = value
		case "session":
			req.path.Session = value
		default:
			req.path.Item = value
		}
	}
	if req.caller, err = r.caller(ctx); err != nil {
		return err
	}
	by, _ := ctx.Context().Value(credentialKey{}).(credential)
	if !visitors(req.op.ID) {
		if err := r.limits.call(req.caller, by); err != nil {
			return err
		}
	}
	return r.service.Admit(req.op, req.caller)
}
