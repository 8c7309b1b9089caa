package rest

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/strictjson"
)

// bare is the input of an operation. What came with the call is in the request that
// admitted leaves in the context; bodies are read by us, not by huma.
type bare struct{}

type answer[Out any] struct {
	ETag string `header:"ETag"`
	Body Out
}

type empty struct{}

// read binds an operation that has an answer and no body.
func read[Out any](r *rest, op api.Operation, do func(context.Context, *request) (Out, error)) {
	r.bound[op.ID] = true
	huma.Register(r.huma, r.description(op), func(ctx context.Context, _ *bare) (*answer[Out], error) {
		return serve(ctx, r, 0, do)
	})
}

// remove binds an operation without body and answer.
func remove(r *rest, op api.Operation, do func(context.Context, *request) error) {
	r.bound[op.ID] = true
	doc := r.description(op)
	doc.DefaultStatus = http.StatusNoContent
	huma.Register(r.huma, doc, func(ctx context.Context, _ *bare) (*empty, error) {
		_, err := serve(ctx, r, 0, func(ctx context.Context, req *request) (empty, error) {
			return empty{}, do(ctx, req)
		})
		return &empty{}, err
	})
}

// write binds an operation with a body of type In.
func write[In, Out any](r *rest, op api.Operation, limit int64, do func(context.Context, *request, In) (Out, error)) {
	r.bound[op.ID] = true
	doc := r.description(op)
	if op.Creates() {
		doc.DefaultStatus = http.StatusCreated
	}
	huma.Register(r.huma, doc, func(ctx context.Context, _ *bare) (*answer[Out], error) {
		return serve(ctx, r, limit, func(ctx context.Context, req *request) (Out, error) {
			var body In
			if err := req.decode(ctx, &body); err != nil {
				var zero Out
				return zero, err
			}
			return do(ctx, req, body)
		})
	})
	r.describe(op, reflect.TypeFor[In]())
}

// create binds an operation that makes a record and has no body, or an empty one.
func create[Out any](r *rest, op api.Operation, do func(context.Context, *request) (Out, error)) {
	r.bound[op.ID] = true
	doc := r.description(op)
	doc.DefaultStatus = http.StatusCreated
	huma.Register(r.huma, doc, func(ctx context.Context, _ *bare) (*answer[Out], error) {
		return serve(ctx, r, 0, do)
	})
}

// patch binds a merge patch of an entity.
func patch[T, Out any](r *rest, op api.Operation, do func(ctx context.Context, req *request, ifMatch uint64, with func(*T) error) (Out, error)) {
	r.bound[op.ID] = true
	huma.Register(r.huma, r.description(op), func(ctx context.Context, _ *bare) (*answer[Out], error) {
		return serve(ctx, r, api.MaxBody, func(ctx context.Context, req *request) (Out, error) {
			var zero Out
			data, err := req.patch(ctx, new(T))
			if err != nil {
				return zero, err
			}
			ifMatch, err := req.ifMatch()
			if err != nil {
				return zero, err
			}
			return do(ctx, req, ifMatch, func(v *T) error { return strictjson.Patch(data, v) })
		})
	})
	r.describe(op, reflect.TypeFor[T]())
}

// serve runs an operation and turns what it returns into an answer. limit is that of
// its body; zero of an operation without one.
func serve[Out any](ctx context.Context, r *rest, limit int64, do func(context.Context, *request) (Out, error)) (*answer[Out], error) {
	begin := time.Now()
	req := requestOf(ctx)
	var out Out
	var err error
	if limit > 0 {
		if err = r.open(ctx, req, limit); err == nil {
			defer req.body.done()
		}
	}
	if err == nil {
		out, err = do(ctx, req)
	}
	if err != nil {
		p := r.refuse(ctx, req, err)
		r.observe(req.op.ID, p.Status, time.Since(begin))
		return nil, p
	}
	r.observe(req.op.ID, http.StatusOK, time.Since(begin))
	a := &answer[Out]{Body: out}
	if m := metaOf(any(out)); m != nil {
		a.ETag = strconv.Quote(strconv.FormatUint(m.Revision, 10))
	}
	return a, nil
}

// metaOf is the meta of an entity, or nil.
func metaOf(v any) *mezu.Meta {
	switch e := v.(type) {
	case mezu.Organization:
		return &e.Meta
	case mezu.Project:
		return &e.Meta
	case mezu.Environment:
		return &e.Meta
	case mezu.Directory:
		return &e.Meta
	case api.DirectoryWritten:
		return &e.Meta
	case mezu.User:
		return &e.Meta
	case mezu.Route:
		return &e.Meta
	case api.RouteWritten:
		return &e.Meta
	case api.EnvironmentWritten:
		return &e.Meta
	case mezu.Webhook:
		return &e.Meta
	case mezu.ServiceAccount:
		return &e.Meta
	case mezu.Member:
		return &e.Meta
	case mezu.Invitation:
		return &e.Meta
	case mezu.Operator:
		return &e.Meta
	case mezu.Token:
		return &e.Meta
	case api.TokenCreated:
		return &e.Meta
	case mezu.Warpgate:
		return &e.Meta
	case api.InvitationCreated:
		return &e.Meta
	case api.ServiceAccountCreated:
		return &e.Meta
	case api.RoutesState:
		return &mezu.Meta{Revision: e.Revision}
	}
	return nil
}

// kinds names the entities whose fields mezu.ServerField knows.
var kinds = map[reflect.Type]string{
	reflect.TypeFor[mezu.Organization]():   "organization",
	reflect.TypeFor[mezu.Project]():        "project",
	reflect.TypeFor[mezu.Environment]():    "environment",
	reflect.TypeFor[mezu.Directory]():      "directory",
	reflect.TypeFor[mezu.Brand]():          "brand",
	reflect.TypeFor[mezu.User]():           "user",
	reflect.TypeFor[api.UserCreate]():      "user",
	reflect.TypeFor[mezu.Route]():          "route",
	reflect.TypeFor[mezu.Webhook]():        "webhook",
	reflect.TypeFor[mezu.ServiceAccount](): "service_account",
	reflect.TypeFor[mezu.Member]():         "member",
	reflect.TypeFor[mezu.Invitation]():     "invitation",
	reflect.TypeFor[mezu.Token]():          "token",
}

func serverField(t reflect.Type, field string) bool {
	kind, ok := kinds[t]
	return ok && mezu.ServerField(kind, field)
}

// ifMatch reads the If-Match header: one revision, bare or quoted, or "*".
func (req *request) ifMatch() (uint64, error) {
	header := strings.TrimSpace(req.ctx.Header("If-Match"))
	if header == "" || header == "*" {
		return 0, nil
	}
	text := header
	if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, mezu.Invalid("If-Match", "is the revision of the record as its last answer had it")
	}
	return n, nil
}

func (req *request) paging() (record.Paging, error) {
	p := record.Paging{Token: req.ctx.Query("page_token")}
	if size := req.ctx.Query("page_size"); size != "" {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 || n > api.MaxPageSize {
			return p, mezu.Invalid("page_size", "is between 1 and %d", api.MaxPageSize)
		}
		p.Size = n
	}
	return p, nil
}

// fixedField reports whether a field is fixed once the record was created: the names of those
// that others are addressed by.
func fixedField(t reflect.Type, field string) bool {
	switch kinds[t] {
	case "organization", "project", "environment", "directory", "service_account":
		return field == "name"
	}
	return false
}
