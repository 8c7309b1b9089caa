//go:build unix

package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// serve has a program answer each connection to a new socket, and gives a client of it.
func serve(t *testing.T, answer func(c net.Conn)) *local.Client {
	t.Helper()
	path := folder(t)
	l := listen(t, path)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// One after the other: a test makes one call at a time.
			answer(c)
			c.Close()
		}
	}()
	client := local.New(path, "1.2.3")
	t.Cleanup(func() {
		client.Close()
		l.Close()
		<-ended
	})
	return client
}

// answering answers each request with a text.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, text)
		}
	}
}

const own = "Mezu-Version: 9.9.9\r\nMezu-Local-API: v1\r\n"

// TestForeignProcess: whatever else listens on the socket gets no further than its first answer,
// and the error says what is the matter.
func TestForeignProcess(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(net.Conn)
		want   error
		detail string
	}{
		"another protocol": {func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
			_, _ = io.Copy(io.Discard, c)
		}, local.ErrForeign, "does not answer as a daemon of mezu does"},
		"garbage":      {answering(strings.Repeat("\x00\xff\n", 1000)), local.ErrForeign, "does not answer as"},
		"a web server": {answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), local.ErrForeign, "does not answer as"},
		"a daemon of no API": {answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nMezu-Version: 0.1\r\n\r\n"),
			local.ErrGeneration, "(version 0.1) speaks an unknown generation"},
		"a daemon of /v2": {answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nMezu-Version: 3.0.0\r\nMezu-Local-API: v2\r\n\r\n"),
			local.ErrGeneration, "(version 3.0.0) speaks v2 of the local API, and this program v1"},
		"a daemon of /v2 that redirects": {answering("HTTP/1.1 308 Permanent Redirect\r\nLocation: /v2/status\r\nContent-Length: 0\r\nMezu-Version: 3.0.0\r\nMezu-Local-API: v2\r\n\r\n"), local.ErrGeneration, "speaks v2"},
		"a redirect":                     {answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n" + own + "\r\n"), local.ErrForeign, "does not answer as"},
		"a refusal of no known code":     {answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\n" + own + "\r\n{\"code\":\"x\"}"), local.ErrForeign, "does not answer as"},
		"an answer that is no JSON":      {answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + own + "\r\nhi"), local.ErrForeign, "does not answer as"},
		"an answer of nothing":           {answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + own + "\r\n"), local.ErrForeign, "does not answer as"},
		"no content":                     {answering("HTTP/1.1 204 No Content\r\n" + own + "\r\n"), local.ErrForeign, "does not answer as"},
		"an answer of another type":      {answering("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n" + own + "\r\n{\"pid\":\"a\"}"), local.ErrForeign, "does not answer as"},
		"an endless head":                {answering("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), local.ErrForeign, "does not answer as"},
		"an answer without end": {func(c net.Conn) {
			answering("HTTP/1.1 200 OK\r\n" + own + "\r\n{")(c)
			_, _ = io.CopyN(c, spaces{}, 2*local.MaxAnswer)
		}, local.ErrForeign, "does not answer as"},
		"an answer that is cut": {answering("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n" + own + "\r\n{"), local.ErrSilent, "closed the connection"},
		"no answer":             {func(net.Conn) {}, local.ErrSilent, "closed the connection without an answer"},
		"silence":               {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, local.ErrSilent, "does not answer"},
		"silence in the middle": {func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+own)
			_, _ = io.Copy(io.Discard, c)
		}, local.ErrSilent, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, c.answer)
			if c.detail == "does not answer" { // the others end by themselves, on a busy machine later
				client.Hurry(300*time.Millisecond, time.Minute)
			}
			_, err := client.Status(t.Context())
			var e *mezu.Error
			if !errors.Is(err, c.want) || !errors.As(err, &e) || e.Code != mezu.CodeUnavailable || e.Hint == "" || !strings.Contains(e.Detail, c.detail) {
				t.Errorf("%v", err)
			}
			if _, err := client.Events(t.Context(), ""); !errors.Is(err, c.want) && !errors.Is(err, local.ErrForeign) {
				t.Errorf("a stream: %v", err)
			}
		})
	}
}

// spaces reads as white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestClient_TakesWhatIsNew: an answer of a newer daemon has fields that this client does not
// know. What a refusal says does not steer the terminal.
func TestClient_TakesWhatIsNew(t *testing.T) {
	client := serve(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 33\r\n"+own+"\r\n{\"pid\":7,\"moon\":{\"phase\":\"full\"}}"))
	if st, err := client.Status(t.Context()); err != nil || st.PID != 7 || client.DaemonVersion() != "9.9.9" {
		t.Errorf("%+v, %v, version %q", st, err, client.DaemonVersion())
	}
	problem := `{"code":"conflict","detail":"taken\u001b[2J","field":"api","hint":"mezu tunnel list","moon":1}`
	client = serve(t, answering(fmt.Sprintf("HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n%s\r\n%s", len(problem), own, problem)))
	_, err := client.Tunnel(t.Context(), "tun_x")
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != mezu.CodeConflict || e.Detail != "taken[2J" || e.Field != "api" || e.Hint != "mezu tunnel list" {
		t.Errorf("%#v", e)
	}
	// An older daemon does not know a field of this program.
	problem = `{"code":"invalid","detail":"is not a field that this version knows","field":"moon"}`
	client = serve(t, answering(fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n%s\r\n%s", len(problem), own, problem)))
	if _, err = client.Open(t.Context(), local.Open{}); !errors.As(err, &e) || e.Field != "moon" || !strings.Contains(e.Hint, "the daemon is 9.9.9 and this program 1.2.3; mezu daemon restart") {
		t.Errorf("%#v", e)
	}
}

// TestClient_OlderDaemon: a daemon of before the inspector is told from an exchange that is not
// there.
func TestClient_OlderDaemon(t *testing.T) {
	refusing := func(detail string) *local.Client {
		problem := fmt.Sprintf(`{"code":"not_found","detail":%q}`, detail)
		return serve(t, answering(fmt.Sprintf("HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n%s\r\n%s", len(problem), own, problem)))
	}
	client := refusing("there is no such operation of the local API v1")
	calls := map[string]error{}
	_, calls["requests"] = client.Requests(t.Context(), local.RequestsQuery{Filter: "is:ws"})
	_, calls["curl"] = client.Curl(t.Context(), "7f", true)
	_, calls["body"] = client.Body(t.Context(), "7f", local.SideRequest, local.FormPretty, false)
	calls["har"] = client.HAR(t.Context(), io.Discard, local.HARQuery{IDs: []string{"7f"}})
	calls["descriptors"] = client.Descriptors(t.Context(), []byte{1})
	for name, err := range calls {
		var e *mezu.Error
		if !errors.Is(err, local.ErrOlder) || !errors.As(err, &e) || e.Hint != "mezu daemon restart" || !strings.Contains(e.Detail, "is 9.9.9, and doesn't know this operation of 1.2.3") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := refusing("there is no request \"7f\"").Exchange(t.Context(), "7f", false); mezu.CodeOf(err) != mezu.CodeNotFound || errors.Is(err, local.ErrOlder) {
		t.Error(err)
	}
}

// TestClient_HAR: an archive that is cut is no archive.
func TestClient_HAR(t *testing.T) {
	var got strings.Builder
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + own + "\r\n"
	client := serve(t, answering(head+chunk(`{"log":`)+chunk("{}}")+"0\r\n\r\n"))
	if err := client.HAR(t.Context(), &got, local.HARQuery{}); err != nil || got.String() != `{"log":{}}` {
		t.Errorf("%s, %v", &got, err)
	}
	client = serve(t, answering(head+chunk(`{"log":`)))
	if err := client.HAR(t.Context(), io.Discard, local.HARQuery{}); !errors.Is(err, local.ErrSilent) {
		t.Error(err)
	}
}

// TestClient_EndsWithItsContext: who gives up is told so, and not that the daemon is gone.
func TestClient_EndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	client := serve(t, func(c net.Conn) {
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := client.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

const begun = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n" + own + "\r\n"

// chunk is a part of a body.
func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// TestStream_Ends: each way in which a stream can end has an error of its own.
func TestStream_Ends(t *testing.T) {
	const good = "event: tunnel\nid: r-7\ndata: {\"event\":\"tunnel\",\"time\":\"2026-01-02T03:04:05Z\",\"tunnel\":\"a/b\",\"moon\":1}\n\n"
	for name, c := range map[string]struct {
		rest   string
		silent bool
		want   error
	}{
		"by the daemon":    {chunk(": bye\n\n") + "0\r\n\r\n", false, io.EOF},
		"cut":              {"", false, local.ErrSilent},
		"cut in an event":  {chunk("event: tunnel\n"), false, local.ErrSilent},
		"ended in one":     {chunk("event: tunnel\n") + "0\r\n\r\n", false, local.ErrSilent},
		"silent":           {chunk(": still here\n\n"), true, local.ErrSilent},
		"no JSON":          {chunk("event: link\ndata: {\n\n"), false, local.ErrForeign},
		"garbage":          {"zz\r\n", false, local.ErrSilent},
		"an event too big": {chunk("data: " + strings.Repeat("x", local.MaxEvent) + "\n\n"), false, local.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(conn net.Conn) {
				answering(begun + chunk(good) + c.rest)(conn)
				if c.silent {
					_, _ = io.Copy(io.Discard, conn)
				}
			})
			idle := time.Minute
			if c.silent {
				idle = 300 * time.Millisecond
			}
			client.Hurry(time.Minute, idle)
			s, err := client.Attach(t.Context(), "tun_x", "r-6")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			e, err := s.Next()
			if err != nil || e.Event.Event != local.EventTunnel || e.Cursor != "r-7" || e.Tunnel != "a/b" {
				t.Errorf("%+v, %v", e, err)
			}
			if _, err := s.Next(); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
