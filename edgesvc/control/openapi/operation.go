package openapi

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// Conditional reports whether an operation takes If-Match.
func Conditional(op api.Operation) bool {
	return op.Method == http.MethodPatch || op.Method == http.MethodPut || op.Method == http.MethodDelete
}

// Operation describes an operation, except its body and answer.
func (d *Document) Operation(op api.Operation) huma.Operation {
	who, security := access.Needs(op)
	out := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary, Tags: []string{noun(op)},
		Description: strings.TrimSpace(prose(op) + "\n\n" + who), Responses: d.refusals(op), Security: []map[string][]string{},
	}
	for _, s := range security {
		requirement := map[string][]string{}
		if s != access.NoCredential {
			requirement[map[access.Credential]string{access.BearerCredential: bearer, access.PeerCredential: peer}[s]] = []string{}
		}
		out.Security = append(out.Security, requirement)
	}
	for _, name := range op.Params() {
		out.Parameters = append(out.Parameters, d.parameter("path", name))
	}
	if op.Lists() {
		out.Parameters = append(out.Parameters, d.parameter("query", "page_size"), d.parameter("query", "page_token"))
	}
	for _, name := range op.Parameters() {
		out.Parameters = append(out.Parameters, d.parameter("query", name))
	}
	if op.Creates() {
		out.Parameters = append(out.Parameters, d.parameter("header", "Idempotency-Key"))
	}
	if Conditional(op) {
		out.Parameters = append(out.Parameters, d.parameter("header", "If-Match"))
	}
	return out
}

// Stream says of an operation that it answers with events.
func (d *Document) Stream(out *huma.Operation) {
	out.Parameters = append(out.Parameters, d.parameter("header", "Last-Event-ID"))
	out.Responses["200"] = &huma.Response{Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString, Description: "Server-sent events, whose data is JSON."}}}}
}

// File says of an operation that it answers with a file.
func (d *Document) File(out *huma.Operation, kind string) {
	out.Responses["200"] = &huma.Response{Content: map[string]*huma.MediaType{kind: {Schema: binary()}}}
}

func binary() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }

// Takes enters the body of an operation that is registered already. If it were there before,
// huma would read the body itself.
func (d *Document) Takes(op api.Operation, t reflect.Type) {
	kind, form := "application/json", body
	if op.Method == http.MethodPatch {
		kind, form = "application/merge-patch+json", patch
	}
	media := &huma.MediaType{Schema: d.schemas.schema(t, form), Example: bodyExample(op)}
	d.At(op).RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{kind: media}}
}

// TakesFile enters a body that is a file of one of the kinds.
func (d *Document) TakesFile(op api.Operation, kinds ...string) {
	media := map[string]*huma.MediaType{}
	for _, kind := range kinds {
		media[kind] = &huma.MediaType{Schema: binary()}
	}
	d.At(op).RequestBody = &huma.RequestBody{Required: true, Content: media}
}

// parameter describes a parameter: of one name, each operation has the same.
func (d *Document) parameter(in, name string) *huma.Param {
	out := &huma.Param{Name: name, In: in, Required: in == "path", Schema: text(), Description: parameters()[name]}
	one, most := 1, record.MaxIdempotencyKey
	switch name {
	case "page_size":
		out.Schema = &huma.Schema{Type: huma.TypeInteger, Minimum: number(1), Maximum: number(api.MaxPageSize), Default: api.DefaultPageSize}
	case "since", "until":
		out.Schema.Format = "date-time"
	case "outcome":
		out.Schema = d.schemas.schema(typeOf[mezu.AuditOutcome](), answer)
	case "order":
		out.Schema = d.schemas.schema(typeOf[access.AuditOrder](), answer)
	case "filter":
		filter := mezu.MaxFilter
		out.Schema.MaxLength = &filter
	case "Idempotency-Key":
		least := record.MinIdempotencyKey
		out.Schema.MinLength, out.Schema.MaxLength = &least, &most
	default:
		if in == "path" {
			out.Schema.MinLength = &one
		}
	}
	return out
}

func parameters() map[string]string {
	named := func(noun, prefix string) string { return "The " + noun + ", by name or id (`" + prefix + "_…`)." }
	byID := func(noun, prefix string) string { return "The " + noun + ", by id (`" + prefix + "_…`)." }
	return map[string]string{
		"organization":    named("organization", mezu.PrefixOrganization),
		"project":         named("project", mezu.PrefixProject),
		"environment":     named("environment", mezu.PrefixEnvironment),
		"directory":       named("directory", mezu.PrefixDirectory),
		"route":           named("route", mezu.PrefixRoute),
		"webhook":         named("webhook", mezu.PrefixWebhook),
		"service_account": named("service account", mezu.PrefixServiceAccount),
		"edge":            named("edge", mezu.PrefixEdge),
		"warpgate":        byID("Warpgate", mezu.PrefixWarpgate),
		"user":            byID("user", mezu.PrefixUser),
		"session":         byID("session", mezu.PrefixSession),
		"token":           byID("token", mezu.PrefixToken),
		"invitation":      byID("invitation", mezu.PrefixInvitation),
		"member":          "The member: their id (`" + mezu.PrefixMember + "_…`), the person's id (`" + mezu.PrefixPerson + "_…`, the same in every organization) or address.",
		"person":          "The person, by id (`" + mezu.PrefixPerson + "_…`) or address.",
		"operator":        "The operator, by the person's id (`" + mezu.PrefixPerson + "_…`) or address.",
		"page_size":       "How many records a page has at most.",
		"page_token":      "The `next_page_token` of the page before; without it, the first page. A token is valid for its own list and filter only.",
		"filter":          "Conditions that all must hold, with commas between them: `email=ADDRESS`, `status=STATUS`, `role=PROJECT/ROLE`, each at most once.",
		"actor":           "Only what this actor did: an id, or a kind such as `service_account`.",
		"operation":       "Only this operation, by its id, such as `create-project`.",
		"target":          "Only what was done to this: an id, a name, or a kind such as `route`.",
		"outcome":         "Only what ended so.",
		"since":           "Only from this time on (RFC 3339), which is included.",
		"until":           "Only up to this time (RFC 3339), which is excluded.",
		"order":           "Which records come first; unless given, the newest.",
		"Idempotency-Key": "A text of your own, such as a UUID, by which the creation can be repeated for 24 hours (an answer with a secret for ten minutes): the repetition makes nothing, and has the same answer. Visible ASCII characters.",
		"If-Match":        "The revision that the record must have, with or without quotes; `*` or nothing for any.",
		"Last-Event-ID":   "The id of the last event that was received: the stream goes on after it. Without it the stream begins from the start.",
	}
}

// answerOf says what an answer is.
func answerOf(op api.Operation, status string) string {
	verb, _, _ := strings.Cut(op.ID, "-")
	switch {
	case status == "204":
		return "It is done; there is nothing to say of it."
	case strings.HasSuffix(op.Path, "/watch") || op.ID == api.OpEdgeStream.ID:
		return "The events, until one of the two ends the stream."
	case op.ID == api.OpBackup.ID:
		return "The file. One that ends with the connection is no backup."
	case strings.HasSuffix(op.Path, "/logo") && verb == "get":
		return "The image."
	case op.Lists():
		return "One page of the list."
	case op.Creates():
		return "What was made."
	case verb == "update" || verb == "set" || verb == "replace":
		return "What it is now."
	}
	return "The answer."
}

// noun is what an operation is about, its tag: the last collection of its path, which is its
// last part that is neither a parameter nor something that is done to one record or to all.
func noun(op api.Operation) string {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(op.Path, "/v1/"), "/watch"), "/")
	noun := parts[0]
	for i, part := range parts {
		if strings.HasPrefix(part, "{") && i > 0 {
			noun = parts[i-1]
		}
	}
	if last := parts[len(parts)-1]; strings.HasSuffix(last, "s") || last == "audit" {
		noun = last
	}
	return strings.ReplaceAll(noun, "-", " ")
}

// tagNames are the tags that operations have, in order.
func tagNames() []string {
	used := map[string]bool{}
	for _, op := range api.Operations() {
		used[noun(op)] = true
	}
	return slices.Sorted(maps.Keys(used))
}
