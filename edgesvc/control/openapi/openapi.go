// Package openapi makes the OpenAPI document of the REST API, and the page at /docs, out of the
// Go types that serve: their fields, their constants and their comments.
//
// What may not live here: an operation, the reading of a call, a decision about who may do
// what. Only edgesvc/control/rest imports it.
package openapi

import (
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Document is the OpenAPI document while operations are entered into it.
type Document struct {
	*huma.OpenAPI
	schemas *Schemas
}

// New begins the document of a program of this version.
func New(version string, rules Rules) (*Document, error) {
	about, err := readComments()
	if err != nil {
		return nil, err
	}
	schemas := newSchemas(rules, about)
	d := &Document{schemas: schemas, OpenAPI: &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Mezusphere", Version: version, Description: introduction,
			License: &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{
			{URL: "/", Description: "The control plane that serves this document."},
			{URL: "https://{host}", Description: "Any control plane.", Variables: map[string]*huma.ServerVariable{
				"host": {Default: "127.0.0.1:7443", Description: "Name or address and port of its API; the default is that of `mezu dev`."},
			}},
		},
		Components: &huma.Components{
			Schemas: schemas,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				bearer: {Type: "http", Scheme: "bearer", Description: "`Authorization: Bearer TOKEN`: a person's bearer token, the key of a service account, or where an operation says so a token for one use."},
				peer:   {Type: "mutualTLS", Description: "The client certificate that an edge or a Warpgate got when it enrolled or registered."},
			},
			Headers: map[string]*huma.Header{
				requestID:    {Description: "The id of this call, which the log of the control plane has too. A problem repeats it as `request_id`.", Schema: text()},
				"ETag":       {Description: "The revision of the record, in quotes: what `If-Match` takes.", Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{`"7"`}}},
				"RetryAfter": {Description: "How long to wait before the next try, in seconds.", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: number(0)}},
			},
			Responses: map[string]*huma.Response{},
		},
	}}
	for _, p := range problems() {
		d.Components.Responses[p.name] = d.problem(p)
	}
	for _, name := range tagNames() {
		d.Tags = append(d.Tags, &huma.Tag{Name: name, Description: tags()[name]})
	}
	return d, nil
}

// Finish ends the document, in which all operations are.
func (d *Document) Finish() {
	d.schemas.finish()
	for _, op := range api.Operations() {
		if described := d.At(op); described != nil {
			d.finishAnswers(op, described)
		}
	}
}

// Schemas are those of the document.
func (d *Document) Schemas() *Schemas { return d.schemas }

// At is the description of an operation, nil if it has none.
func (d *Document) At(op api.Operation) *huma.Operation {
	item := d.Paths[op.Path]
	if item == nil {
		return nil
	}
	return map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete}[op.Method]
}

// problemKind is one kind of refusal that many operations share.
type problemKind struct {
	name  string
	code  mezu.Code
	about string
	// example is a detail as somebody may meet it.
	field, detail, hint string
}

func problems() []problemKind {
	return []problemKind{
		{"Invalid", mezu.CodeInvalid, "The call can't be understood, or asks for something that can't be: `field` names what of it. Nothing was changed.", "name", "is missing", ""},
		{"Unauthenticated", mezu.CodeUnauthenticated, "The call has no credential, or one that is mistyped, unknown, revoked or expired.", "", "a token or a key is needed", "set MEZU_TOKEN, or run `mezu dev`, whose profile has one"},
		{"Forbidden", mezu.CodeForbidden, "The caller may not do this.", "", "this token lacks the permission projects.write", "ask an owner of the organization for it"},
		{"NotFound", mezu.CodeNotFound, "There is no such record, or it belongs to another tenant: the two are not told apart.", "", `there is no project "shop" in acme`, "list them with `mezu projects list`"},
		{"Conflict", mezu.CodeConflict, "What is there stands against it: a name that is taken, something that is still in use, an Idempotency-Key that was used for another call.", "name", "there is a project named shop already", "choose another name"},
		{"PreconditionFailed", mezu.CodePreconditionFailed, "The record has another revision than `If-Match` says. Nothing was changed: read it again.", "", "the record has revision 8 now, not 7", "read it again and repeat the change on what it is now"},
		{"RateLimited", mezu.CodeRateLimited, "The caller calls too often, or sends too much at once.", "", "too many calls in a short time", "wait as Retry-After says, and call less often; watch instead of asking again and again"},
		{"Internal", mezu.CodeInternal, "Something went wrong in the control plane, whose log has it under the `request_id`.", "", "something went wrong here; the log has it under the request id", ""},
		{"Unavailable", mezu.CodeUnavailable, "The control plane can't read or write its store now, or has no room for the call. Nothing was changed: try again.", "", "the store can't be reached or written now", "try again in a moment"},
	}
}

// problem is the answer of a refusal.
func (d *Document) problem(p problemKind) *huma.Response {
	status := p.code.Status()
	example := map[string]any{"title": http.StatusText(status), "status": status, "code": p.code, "detail": p.detail, "request_id": "req_06h26kh6kmnrhmzmsjng20d7zg"}
	for name, value := range map[string]string{"field": p.field, "hint": p.hint} {
		if value != "" {
			example[name] = value
		}
	}
	out := &huma.Response{
		Description: p.about, Headers: map[string]*huma.Param{"X-Request-Id": {Ref: headersPrefix + requestID}},
		Content: map[string]*huma.MediaType{"application/problem+json": {Schema: d.schemas.schema(typeOf[api.Problem](), answer), Example: example}},
	}
	if p.code == mezu.CodeRateLimited || p.code == mezu.CodeUnavailable {
		out.Headers["Retry-After"] = &huma.Param{Ref: headersPrefix + "RetryAfter"}
	}
	return out
}

// refusals are the answers by which an operation may refuse a call, by their statuses.
func (d *Document) refusals(op api.Operation) map[string]*huma.Response {
	out := map[string]*huma.Response{}
	for _, p := range problems() {
		if p.code == mezu.CodePreconditionFailed && !Conditional(op) && op.ID != api.OpEdgeStream.ID || p.code == mezu.CodeConflict && op.Method == http.MethodGet {
			continue
		}
		out[strconv.Itoa(p.code.Status())] = &huma.Response{Ref: "#/components/responses/" + p.name}
	}
	return out
}

// finishAnswers says of an operation's answers what huma can't know.
func (d *Document) finishAnswers(op api.Operation, described *huma.Operation) {
	for status, response := range described.Responses {
		if status[0] != '2' {
			continue
		}
		response.Description = answerOf(op, status)
		_, versioned := response.Headers["ETag"]
		response.Headers = map[string]*huma.Param{"X-Request-Id": {Ref: headersPrefix + requestID}}
		if versioned && d.versioned(response) {
			response.Headers["ETag"] = &huma.Param{Ref: headersPrefix + "ETag"}
		}
	}
}

// versioned reports whether an answer is a record with a revision.
func (d *Document) versioned(response *huma.Response) bool {
	media := response.Content["application/json"]
	if media == nil || media.Schema == nil {
		return false
	}
	of := d.schemas.SchemaFromRef(media.Schema.Ref)
	return of != nil && of.Properties["revision"] != nil
}

const (
	bearer        = "bearer"
	peer          = "peer"
	requestID     = "RequestID"
	headersPrefix = "#/components/headers/"
)

func text() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// introduction is what a reader needs before the first call.
const introduction = `Everything that ` + "`mezu`" + ` does, it does by this API.

**Calls.** JSON in and out, over TLS. Send ` + "`Authorization: Bearer TOKEN`" + ` with a person's token (` + "`mezu login`" + `) or the key of a service account. What a
body has that this document doesn't name is refused, as is what the server alone sets; of an answer, take no notice of fields that you don't know, since later versions may add some.

**Records.** Each has an ` + "`id`" + `, which never changes and is never used again, and most have a name, which is unique in what they belong to. A path takes either.
` + "`revision`" + ` rises with each write. ` + "`If-Match`" + ` with the revision that you have read makes a change conditional: of two who change a record at once, the second is told (412).

**Changes.** ` + "`PATCH`" + ` takes a JSON merge patch (RFC 7396): what it doesn't name stays, null takes away, a list is replaced as a whole.
A creation with an ` + "`Idempotency-Key`" + ` can be repeated without making a second record.

**Lists** come page by page: go on with ` + "`page_token`" + ` as long as the answer has a ` + "`next_page_token`" + `.

**Watches** answer with server-sent events (` + "`text/event-stream`" + `): ` + "`put`" + ` for each record as it is, ` + "`synced`" + `, and then ` + "`put` and `delete`" + ` as things change.
Send the last event's id as ` + "`Last-Event-ID`" + ` to go on after it.

**Refusals** are problem documents (RFC 9457, ` + "`application/problem+json`" + `): act on ` + "`code`" + `, show ` + "`detail`" + ` and ` + "`hint`" + `.
`
