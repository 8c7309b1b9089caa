package inspect_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
)

// serve is a workload that speaks HTTP/1.1 and, without TLS, HTTP/2.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols = protocols
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// Both heads as they came and went, bodies, trailers, 1xx, timing and who it was, by TLS too.
func TestRecord(t *testing.T) {
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", "</style.css>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		body, _ := io.ReadAll(r.Body)
		rw.Header().Set("Trailer", "Checksum")
		rw.Header().Set("Set-Cookie", "theme=dark; Domain=edge.example")
		rw.WriteHeader(http.StatusCreated)
		fmt.Fprintf(rw, "took %s", body)
		rw.Header().Set("Checksum", "42")
	})
	secure := httptest.NewUnstartedServer(s.Config.Handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, url := range map[string]string{"http": s.URL, "h2c": "h2c" + strings.TrimPrefix(s.URL, "http"), "https": secure.URL} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, url, inspect.New(inspect.Config{}), nil)
			if status, text := w.do(http.MethodPost, "/orders?id=7", strings.NewReader("an order")); status != 201 || text != "took an order" {
				t.Fatal(status, text)
			}
			r := w.last()
			if r.RequestID != "id-1" || r.Tunnel != "shop/dev" || r.TunnelID != "tun_1" || r.Warpgate != "wgt_1" || r.Edge != "fra-1" || r.Client != client.String() ||
				r.Method != "POST" || r.Host != "shop-acme.edge.example" || r.Path != "/orders" || r.Query != "?id=7" || r.Status != 201 || r.Code != "" || r.Cause != "" ||
				r.Kind != mezu.ExchangeHTTP || r.Depth != mezu.DepthAll || r.Open || r.Pinned || r.Route == "" || r.Upstream == "" || len(r.ID) != 12 || r.Sequence != 1 {
				t.Errorf("%+v", r)
			}
			if got := r.Request.Line(); got != "POST /orders?id=7 HTTP/1.1" || r.Request.Field("content-length") != "8" || r.Request.Field("x-forwarded-for") != "" {
				t.Errorf("came as %q", r.Request.Head)
			}
			if r.Sent.Field("x-forwarded-for") != client.String() || r.Sent.Field("X-Request-Id") != "id-1" || r.Sent.Line() != r.Request.Line() {
				t.Errorf("sent as %q", r.Sent.Head)
			}
			if r.Response.Line() != "HTTP/1.1 201 Created" || !strings.Contains(r.Response.Field("set-cookie"), "edge.example") {
				t.Errorf("answered by %q", r.Response.Head)
			}
			if r.Returned.Line() != "HTTP/1.1 201 Created" || strings.Contains(r.Returned.Field("set-cookie"), "edge.example") {
				t.Errorf("returned as %q", r.Returned.Head)
			}
			if string(r.RequestBody.Bytes()) != "an order" || string(r.ResponseBody.Bytes()) != "took an order" || r.BytesIn != 8 || r.BytesOut != 13 {
				t.Errorf("bodies %q, %q", r.RequestBody.Bytes(), r.ResponseBody.Bytes())
			}
			if got := string(r.Response.Trailers); got != "Checksum: 42\r\n" {
				t.Errorf("trailers %q", got)
			}
			if len(r.Interims) != 1 || r.Interims[0].Field("link") == "" {
				t.Errorf("interims %+v", r.Interims)
			}
			if tm := r.Timing; tm.ConnectMS <= 0 || tm.SentMS <= 0 || tm.UploadedMS < tm.SentMS || tm.FirstByteMS <= 0 || tm.EndMS < tm.FirstByteMS || tm.Reused {
				t.Errorf("%+v", tm)
			}
		})
	}
}
