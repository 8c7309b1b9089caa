package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers with a handler over TLS.
func serve(t *testing.T, handler http.HandlerFunc) *api.Client {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c, err := api.NewClient(api.ClientConfig{BaseURL: server.URL, Token: func() (string, error) { return "mezu_token", nil }, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func problem(w http.ResponseWriter, p api.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Code.Status())
	json.NewEncoder(w).Encode(p)
}

func TestClient_Call(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "PATCH" || r.URL.EscapedPath() != "/v1/organizations/a%2Fb/projects/shop" || r.Header.Get("If-Match") != "7" ||
			r.Header.Get("Authorization") != "Bearer mezu_token" || r.Header.Get("Content-Type") != "application/merge-patch+json" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		io.Copy(w, r.Body)
	})
	var out mezu.Project
	err := c.Do(t.Context(), api.Call{Operation: api.OpUpdateProject, Params: []string{"a/b", "shop"}, Body: map[string]string{"display_name": "Shop"}, IfMatch: 7}, &out)
	if err != nil || out.DisplayName != "Shop" {
		t.Fatalf("%v %+v", err, out)
	}
}

func TestClient_Problem(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		problem(w, api.Problem{Code: mezu.CodeConflict, Detail: "taken\x1b[2J", Field: "name", Hint: "choose another", RequestID: "req_1"})
	})
	_, err := api.Invoke[any](t.Context(), c, api.OpSelf, nil)
	var e *mezu.Error
	var cause *api.ResponseError
	if !errors.As(err, &e) || e.Code != mezu.CodeConflict || e.Field != "name" || e.Hint != "choose another" || e.Detail != "taken[2J" {
		t.Fatalf("%#v", err)
	}
	if !errors.As(err, &cause) || cause.Status != 409 || cause.RequestID != "req_1" {
		t.Fatalf("%#v", e.Cause)
	}
}

// Answers that no control plane sends are told by their status, and a redirect is
// not followed with the token.
func TestClient_StrangeAnswers(t *testing.T) {
	for status, code := range map[int]mezu.Code{301: mezu.CodeInternal, 404: mezu.CodeInternal, 429: mezu.CodeRateLimited, 502: mezu.CodeUnavailable} {
		var calls atomic.Int32
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			fmt.Fprint(w, "<html>proxy</html>")
		})
		err := c.Do(t.Context(), api.Call{Operation: api.OpUpdateProject, Params: []string{"a", "b"}, Body: 1}, nil)
		if mezu.CodeOf(err) != code || calls.Load() != 1 {
			t.Errorf("%d: %v after %d calls", status, err, calls.Load())
		}
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "not JSON") })
	if _, err := api.Invoke[api.Self](t.Context(), c, api.OpSelf, nil); mezu.CodeOf(err) != mezu.CodeInternal {
		t.Errorf("an answer that is not JSON: %v", err)
	}
	c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 1<<20)
		for range api.MaxResponse>>20 + 1 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	if _, err := api.Invoke[api.Self](t.Context(), c, api.OpSelf, nil); mezu.CodeOf(err) != mezu.CodeInternal || !strings.Contains(err.Error(), "over") {
		t.Errorf("an endless answer: %v", err)
	}
}

// A creation is repeated under one key; a change without one is not repeated.
func TestClient_Retries(t *testing.T) {
	var mu sync.Mutex
	keys := map[string]int{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		keys[r.Header.Get("Idempotency-Key")]++
		if len(keys) == 1 && keys[r.Header.Get("Idempotency-Key")] == 2 {
			fmt.Fprint(w, `{}`)
			return
		}
		problem(w, api.Problem{Code: mezu.CodeUnavailable})
	})
	if _, err := api.Invoke[any](t.Context(), c, api.OpCreateProject, map[string]string{"name": "x"}, "acme"); err != nil {
		t.Fatal(err)
	}
	if len(keys) != 1 {
		t.Fatalf("keys %v", keys)
	}
	for key := range keys {
		if len(key) != 32 {
			t.Errorf("key %q", key)
		}
	}
	clear(keys)
	err := c.Do(t.Context(), api.Call{Operation: api.OpDeleteProject, Params: []string{"acme", "x"}}, nil)
	if mezu.CodeOf(err) != mezu.CodeUnavailable || keys[""] != 1 {
		t.Errorf("%v after %v", err, keys)
	}
}

func TestClient_Unreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdle()
	_, err = api.Invoke[any](t.Context(), c, api.OpRenewEdge, nil)
	var unreachable *api.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("%v", err)
	}
	for _, bad := range []string{"http://a", "https://", "a:1", "https://a/path", "https://u@a", "https://a?x"} {
		if _, err := api.NewClient(api.ClientConfig{BaseURL: bad}); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestClient_Dialler(t *testing.T) {
	var dialled atomic.Value
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://control.example", DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled.Store(address)
		return nil, errors.New("no way")
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.Invoke[any](t.Context(), c, api.OpRenewEdge, nil)
	var unreachable *api.UnreachableError
	if !errors.As(err, &unreachable) || dialled.Load() != "control.example:443" {
		t.Fatalf("%v, dialled %v", err, dialled.Load())
	}
}

func TestClient_All(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page_token") == "" {
			fmt.Fprint(w, `{"items":[{"name":"a"},{"name":"b"}],"next_page_token":"t"}`)
			return
		}
		problem(w, api.Problem{Code: mezu.CodeForbidden})
	})
	var names []string
	var last error
	for p, err := range api.All[mezu.Project](t.Context(), c, api.OpListProjects, "acme") {
		if err != nil {
			last = err
			continue
		}
		names = append(names, p.Name)
	}
	if len(names) != 2 || mezu.CodeOf(last) != mezu.CodeForbidden {
		t.Fatalf("%v %v", names, last)
	}
}

func TestStream_Events(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-ID") != "1.7" {
			t.Errorf("Last-Event-ID %q", r.Header.Get("Last-Event-ID"))
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, ":\n\n")
		fmt.Fprintf(w, "event: bundle\nid: 1.8\ndata: {\"signed\":{\"purpose\":\"bundle\",\"key_id\":%q}}\n\n", large)
		fmt.Fprint(w, ":\r\n\r\nevent: synced\r\nid: 1.9\r\ndata: {}\r\n\r\n")
	})
	s, err := c.Stream(t.Context(), mezu.Position{Epoch: 1, Revision: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e, err := s.Next()
	if err != nil || e.Kind != api.StreamBundle || e.Position != (mezu.Position{Epoch: 1, Revision: 8}) || e.Signed.KeyID != large {
		t.Fatalf("%v %+v", err, e.Position)
	}
	if e, err = s.Next(); err != nil || e.Kind != api.StreamSynced {
		t.Fatalf("%v %+v", err, e)
	}
	_, err = s.Next()
	var unreachable *api.UnreachableError
	if !errors.As(err, &unreachable) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("the end: %v", err)
	}
}

func TestStream_Refuses(t *testing.T) {
	for name, text := range map[string]string{
		"an id that is none":   "event: bundle\nid: x\ndata: {}\n\n",
		"data that is no JSON": "event: bundle\nid: 1.1\ndata: {\n\n",
		"an endless line":      "data: " + strings.Repeat("x", api.MaxStreamEvent+1),
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
		s, err := c.Stream(t.Context(), mezu.Position{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Next()
		var unreachable *api.UnreachableError
		if !errors.As(err, &unreachable) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		problem(w, api.Problem{Code: mezu.CodeUnauthenticated, Hint: "enrol"})
	})
	if _, err := c.Stream(t.Context(), mezu.Position{}); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("a refusal: %v", err)
	}
}

// Close wakes a reader that waits.
func TestStream_Close(t *testing.T) {
	release := make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	s, err := c.Stream(t.Context(), mezu.Position{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Next()
		ended <- err
	}()
	s.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an event came from nowhere")
		}
	case <-time.After(10 * time.Second):
		t.Error("Next did not wake")
	}
	close(release)
}

func TestOperations(t *testing.T) {
	ids, calls := map[string]bool{}, map[string]bool{}
	for _, op := range api.Operations() {
		if ids[op.ID] || calls[op.Method+" "+op.Path] || op.Summary == "" {
			t.Errorf("%+v is there twice or says nothing", op)
		}
		ids[op.ID], calls[op.Method+" "+op.Path] = true, true
		values := make([]string, len(op.Params()))
		for i := range values {
			values[i] = "a/b c"
		}
		if path := op.Expand(values...); strings.ContainsAny(path, "{} ") || strings.Count(path, "a%2Fb%20c") != len(values) {
			t.Errorf("%s expands to %s", op.ID, path)
		}
	}
	if n := countOperations(t); n != len(ids) {
		t.Errorf("%d operations are declared, Operations lists %d", n, len(ids))
	}
}

// countOperations counts the declarations in the source, so that one that
// Operations forgets is found.
func countOperations(t *testing.T) int {
	t.Helper()
	source, err := os.ReadFile("operations.go")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(source), "= Operation{")
}

// Of several control planes one that answers is called; one that doesn't, or can't, is
// left at once, and its silence costs a call nothing but the try.
func TestClient_SeveralBases(t *testing.T) {
	var calls [2]atomic.Int32
	var away atomic.Bool
	servers := make([]*httptest.Server, 2)
	roots := x509.NewCertPool()
	for i := range servers {
		servers[i] = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls[i].Add(1)
			if i == 0 && away.Load() {
				problem(w, api.Problem{Code: mezu.CodeUnavailable})
				return
			}
			io.WriteString(w, "{}")
		}))
		t.Cleanup(servers[i].Close)
		roots.AddCert(servers[i].Certificate())
	}
	dead := httptest.NewUnstartedServer(nil)
	dead.Close()
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + dead.Listener.Addr().String() + ", " + servers[0].URL + "," + servers[1].URL, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	ask := func(op api.Operation, params ...string) error {
		_, err := api.Invoke[any](t.Context(), c, op, nil, params...)
		return err
	}
	if err := ask(api.OpSelf); err != nil || calls[0].Load() != 1 || c.BaseURL() != servers[0].URL {
		t.Fatalf("past one that is dead: %v, %d calls, now at %s", err, calls[0].Load(), c.BaseURL())
	}
	away.Store(true)
	// What must not be sent twice fails, and the next call goes elsewhere.
	if err := ask(api.OpDeleteEdge, "edge-1"); mezu.CodeOf(err) != mezu.CodeUnavailable || calls[0].Load() != 2 || calls[1].Load() != 0 {
		t.Errorf("a call that may not be repeated: %v, %d and %d calls", err, calls[0].Load(), calls[1].Load())
	}
	if err := ask(api.OpDeleteEdge, "edge-1"); err != nil || calls[1].Load() != 1 {
		t.Errorf("the next call: %v, %d calls", err, calls[1].Load())
	}
	for text, want := range map[string]string{
		"https://a:1,http://b:1":                         "http://b:1",
		"https://a:1,":                                   `""`,
		strings.Repeat("https://a:1,", 16) + "x":         `"x"`,
		strings.Repeat("https://a:1,", 16) + "https://a": "17",
	} {
		if _, err := api.ParseBaseURLs("control", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
