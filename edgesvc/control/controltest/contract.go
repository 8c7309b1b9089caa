package controltest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu/api"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract holds answers of the API against its own OpenAPI document (3.1, whose
// schemas are JSON Schema 2020-12), by a validator that knows nothing of the server.
type contract struct {
	document map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema // by JSON pointer
}

// read is the contract of this process, once it was read.
var read struct {
	sync.Mutex
	contract *contract
}

// processContract is what any installation of this process says of itself: the document
// depends on the program alone. Writing, reading and compiling it for each of them took a
// tenth of the tests' time.
func processContract(in *Installation) (*contract, error) {
	read.Lock()
	defer read.Unlock()
	if read.contract != nil {
		return read.contract, nil
	}
	c, err := newContract(in)
	if err == nil {
		read.contract = c
	}
	return c, err
}

// newContract reads an installation's document.
func newContract(in *Installation) (*contract, error) {
	status, _, text := in.Raw("GET", "/openapi.json", "", "", "")
	if status != http.StatusOK {
		return nil, fmt.Errorf("/openapi.json answers %d", status)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	document, ok := value.(map[string]any)
	if !ok || !strings.HasPrefix(fmt.Sprint(document["openapi"]), "3.1.") {
		return nil, fmt.Errorf("it is no OpenAPI 3.1 document: %.100s", text)
	}
	exact(document["components"])
	c := &contract{document: document, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	return c, c.compiler.AddResource("openapi.json", value)
}

// exact has schemas refuse fields that they don't name. The document lets answers have more,
// since later versions may add some; this one sends what it says.
func exact(schema any) {
	switch v := schema.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, below := range v {
			exact(below)
		}
	case []any:
		for _, below := range v {
			exact(below)
		}
	}
}

// operation finds the operation of a request: of several that fit, the one with the
// fewest parameters, as the server does.
func operation(req *http.Request) (best api.Operation, known bool) {
	parts := strings.Split(req.URL.EscapedPath(), "/")
	for _, op := range api.Operations() {
		template := strings.Split(op.Path, "/")
		if op.Method != req.Method || len(template) != len(parts) {
			continue
		}
		fits := true
		for i, part := range template {
			fits = fits && (part == parts[i] || strings.HasPrefix(part, "{"))
		}
		if fits && (!known || len(op.Params()) < len(best.Params())) {
			best, known = op, true
		}
	}
	return best, known
}

// check holds an answer against the document.
func (c *contract) check(op api.Operation, status int, header http.Header, body []byte) error {
	item, _ := c.document["paths"].(map[string]any)[op.Path].(map[string]any)
	described, ok := item[strings.ToLower(op.Method)].(map[string]any)
	if !ok {
		return fmt.Errorf("%s is not in the document", op.ID)
	}
	code := strconv.Itoa(status)
	response, ok := described["responses"].(map[string]any)[code].(map[string]any)
	if !ok {
		return fmt.Errorf("%s answers %d, which the document doesn't say", op.ID, status)
	}
	at := fmt.Sprintf("/paths/%s/%s/responses/%s", pointer(op.Path), strings.ToLower(op.Method), code)
	if ref, _ := response["$ref"].(string); ref != "" {
		at = strings.TrimPrefix(ref, "#")
		all, _ := c.document["components"].(map[string]any)["responses"].(map[string]any)
		response, _ = all[path.Base(ref)].(map[string]any)
	}
	content, _ := response["content"].(map[string]any)
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if len(content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%s answers %d with a body of which the document says nothing", op.ID, status)
		}
		return nil
	}
	if content[kind] == nil {
		return fmt.Errorf("%s answers %d as %q, which the document doesn't say", op.ID, status, kind)
	}
	if kind == "text/event-stream" || kind == api.BackupType || kind == api.LogoType {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s answers %d: %w", op.ID, status, err)
	}
	schema, err := c.schema("openapi.json#" + at + "/content/" + pointer(kind) + "/schema")
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s answers %d otherwise than the document says: %w\n%s", op.ID, status, err, body)
	}
	return nil
}

// pointer escapes one part of a JSON pointer in a URL (RFC 6901, 6).
func pointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "+", "%2B").Replace(s)
}

func (c *contract) schema(at string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.schemas[at]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile(at)
	if err == nil {
		c.schemas[at] = s
	}
	return s, err
}

// witness is a carrier of calls that holds every answer against the document.
type witness struct {
	http.RoundTripper
	t        *testing.T
	contract *contract
}

// RoundTrip implements http.RoundTripper.
func (w *witness) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	op, known := operation(req)
	if !known {
		return resp, nil
	}
	var body []byte
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := w.contract.check(op, resp.StatusCode, resp.Header, body); err != nil {
		w.t.Error(err)
	}
	return resp, nil
}

// CloseIdleConnections lets a client close what it no longer needs.
func (w *witness) CloseIdleConnections() {
	w.RoundTripper.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}
