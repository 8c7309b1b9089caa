//go:build unix

package rest_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/local"
)

// TestInspector_Refusals: each operation of the inspector refuses what it has not, by name.
func TestInspector_Refusals(t *testing.T) {
	w := newWorld(t, nil)
	octets := func(path string, length int) string {
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: mezu\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", path, length)
	}
	replay := func(text string) string { return body("POST", "/v1/requests/7f3a/replay", text) }
	for name, c := range map[string]struct {
		request string
		status  int
		field   string
		detail  string
	}{
		"no such request":         {get("/v1/requests/7f3a", ""), 404, "", `no request`},
		"no body of it":           {get("/v1/requests/7f3a/body/request", ""), 404, "", `no request`},
		"no curl of it":           {get("/v1/requests/7f3a/curl", ""), 404, "", `no request`},
		"no archive of it":        {get("/v1/requests/har?id=7f3a", ""), 404, "", `no request`},
		"no difference of it":     {get("/v1/requests/7f3a/diff/7f3b", ""), 404, "", `no request`},
		"another query":           {get("/v1/requests?filters=x", ""), 400, "filters", "the query has filter, page_size, page_token, changed_after, and nothing else"},
		"a query twice":           {get("/v1/requests?filter=x&filter=y", ""), 400, "filter", "once"},
		"a query of a replay":     {body("POST", "/v1/requests/7f3a/replay?times=2", "{}"), 400, "", "no query"},
		"a query of another":      {get("/v1/status?unmask=true", ""), 400, "", "no query"},
		"a malformed query":       {get("/v1/requests?%zz", ""), 400, "", "malformed"},
		"no page":                 {get("/v1/requests?page_size=0", ""), 400, "page_size", "1 to 1000"},
		"too large a page":        {get("/v1/requests?page_size=1001", ""), 400, "page_size", "1 to 1000"},
		"a token of its own":      {get("/v1/requests?page_token=x", ""), 400, "page_token", "none that an answer had"},
		"no revision":             {get("/v1/requests?changed_after=-1", ""), 400, "changed_after", "revision"},
		"a long filter":           {get("/v1/requests?filter="+strings.Repeat("x", local.MaxFilter+1), ""), 400, "filter", "at most 4096 bytes"},
		"no word of the language": {get("/v1/requests?filter=status:x", ""), 400, "filter", ""},
		"no word to clear":        {"DELETE /v1/requests?filter=status:x HTTP/1.1\r\nHost: mezu\r\n\r\n", 400, "filter", ""},
		"neither true nor false":  {get("/v1/requests/7f3a?unmask=1", ""), 400, "unmask", "true or false"},
		"no form":                 {get("/v1/requests/7f3a/body/request?form=html", ""), 400, "form", "raw, decoded, pretty or hex"},
		"no frame":                {get("/v1/requests/7f3a/frames/x", ""), 404, "", "has a number"},
		"frames before":           {get("/v1/requests/7f3a/frames?after=-1", ""), 400, "after", "from 0"},
		"an archive of both":      {get("/v1/requests/har?id=a&filter=b", ""), 400, "id", "in the place of a filter"},
		"an archive of many":      {get("/v1/requests/har?"+strings.Repeat("id=a&", local.MaxPage+1), ""), 400, "id", "at most 1000"},
		"pinned how":              {body("POST", "/v1/requests/7f3a/pin", `{"pin":true}`), 400, "pin", ""},
		"too many times":          {replay(`{"times":1001}`), 400, "times", "1 to 1000"},
		"no name":                 {replay(`{"set_header":[{"name":"a b","value":""}]}`), 400, "set_header[0].name", "no name"},
		"two lines":               {replay(`{"set_header":[{"name":"a","value":"b\r\nc: d"}]}`), 400, "set_header[0].value", "control character"},
		"too many fields":         {replay(`{"set_header":[` + strings.Repeat(`{"name":"a","value":"b"},`, 200) + `{"name":"a","value":"b"}]}`), 400, "set_header", "at most 200"},
		"no method":               {replay(`{"edited":{"method":"A B","target":"/","fields":[]}}`), 400, "edited.method", "no method"},
		"another host":            {replay(`{"edited":{"method":"GET","target":"http://x/","fields":[]}}`), 400, "edited.target", "begins with a slash"},
		"a line in a target":      {replay(`{"edited":{"method":"GET","target":"/ HTTP/1.1\r\nx: y","fields":[]}}`), 400, "edited.target", "is a path"},
		"a long target":           {replay(`{"edited":{"method":"GET","target":"/` + strings.Repeat("a", 16<<10) + `","fields":[]}}`), 400, "edited.target", "at most"},
		"a body and none":         {replay(`{"edited":{"method":"GET","target":"/","fields":[],"keep_body":true,"body":"YQ=="}}`), 400, "edited.body", "is kept"},
		"a large body":            {replay(`{"edited":{"method":"GET","target":"/","fields":[],"body":"` + strings.Repeat("YWFh", local.MaxReplayBody/3+1) + `"}}`), 413, "", "1048576 bytes"},
		"a larger one":            {fmt.Sprintf("POST /v1/requests/7f3a/replay HTTP/1.1\r\nHost: mezu\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", local.MaxReplayRequest+1), 413, "", "at most"},
		"descriptors of JSON":     {body("PUT", "/v1/inspector/descriptors", "{}"), 400, "Content-Type", "octet-stream"},
		"large descriptors":       {octets("/v1/inspector/descriptors", local.MaxDescriptors+1), 413, "", "at most 4194304"},
		"no page is served":       {"POST /v1/inspector HTTP/1.1\r\nHost: mezu\r\nContent-Length: 0\r\n\r\n", 404, "", "serves no page"},
		"D1: another host":        {"GET /v1/requests HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "", "has the host"},
		"D1: a page":              {get("/v1/requests", "Origin: http://127.0.0.1:3000\r\n"), 403, "", "pages have no access"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.dial()
			// The server may answer before it has read all.
			_, _ = io.WriteString(conn, c.request)
			isProblem(t, conn, c.request, c.status, c.field, c.detail)
		})
	}
}
