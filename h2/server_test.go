package h2_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu/gather"
	"github.com/mezusphere/mezu/h2"
	"github.com/mezusphere/mezu/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate is one for example.com that clients of these tests trust.
func certificate() (tls.Certificate, *x509.CertPool) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.TLS.Certificates[0], roots
}

// serve serves HTTP/2 on loopback until the test ends.
func serve(t testing.TB, handle func(*h2.Stream)) (addr string, s *h2.Server, roots *x509.CertPool) {
	t.Helper()
	cert, roots := certificate()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = h2.NewServer(h2.ServerConfig{Serve: handle})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer raw.Close()
				conn := tls.Server(gather.New(raw), &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true})
				if conn.Handshake() == nil {
					s.ServeConn(conn, nil, nil)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.Close()
		wg.Wait()
	})
	return l.Addr().String(), s, roots
}

// echo answers with the request's body.
func echo(s *h2.Stream) {
	var req relay.Request
	var names relay.Names
	if err := s.Request(&req, &names); err != nil {
		return
	}
	var k h2.Block
	k.Status(200)
	k.FieldText("x-path", req.Path.Path)
	if s.SendBlock(&k, false, true) != nil {
		return
	}
	for {
		p, err := s.Next()
		if err == io.EOF {
			s.Send(nil, true, false)
			return
		}
		if err != nil || s.Send(p, false, false) != nil {
			return
		}
	}
}

func client(t testing.TB, addr string, roots *x509.CertPool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, Protocols: p, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

func TestServer_Echoes(t *testing.T) {
	addr, _, roots := serve(t, echo)
	c := client(t, addr, roots)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			size := i * i * i * 100
			body := bytes.Repeat([]byte{byte(i)}, size)
			resp, err := c.Post("https://example.com/echo", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(got, body) || resp.Header.Get("X-Path") != "/echo" {
				t.Errorf("%d: got %d bytes of %d, %v, %v", i, len(got), size, err, resp.Header)
			}
		})
	}
	wg.Wait()
	resp, err := c.Get("https://example.com/" + strings.Repeat("x", 3000))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(err, resp)
	}
	resp.Body.Close()
}

// A body begins anew while no more than one piece of it was read, or if all of it was here when
// reading began.
func TestStream_Rewind(t *testing.T) {
	long := strings.Repeat("0123456789", 3<<10) // of several pieces
	for name, c := range map[string]struct {
		first, later string // later comes when a piece was read; without it the stream ends with first
		reads        int
		again        bool
	}{
		"untouched":       {"hello", " you", 0, true},
		"one piece":       {"hello", " you", 1, true},
		"two pieces":      {"hello", " you", 2, false},
		"complete":        {long, "", 99, true},
		"not all of much": {long, " you", 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			begin, read, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			client, _ := dialRaw(t, func(s *h2.Stream) {
				defer close(ended)
				<-begin
				for i := range c.reads {
					if _, err := s.Next(); err != nil {
						break
					}
					if i == 0 {
						close(read)
					}
				}
				if got := s.Rewind(); got != c.again {
					t.Errorf("Rewind says %t", got)
				}
				if c.reads == 0 {
					close(read)
				}
				if !c.again {
					return
				}
				var again strings.Builder
				for {
					p, err := s.Next()
					if err != nil {
						break
					}
					again.Write(p)
				}
				if again.String() != c.first+c.later {
					t.Errorf("%d bytes the second time: %.20q", again.Len(), again.String())
				}
			})
			client.ask(1, false)
			for rest := c.first; rest != ""; {
				n := min(len(rest), 10<<10)
				client.f.WriteData(1, c.later == "" && n == len(rest), []byte(rest[:n]))
				rest = rest[n:]
			}
			client.f.WritePing(false, [8]byte{})
			client.until("an answer to PING, which comes behind all that was sent", func(f http2.Frame) bool {
				p, ok := f.(*http2.PingFrame)
				return ok && p.IsAck()
			})
			close(begin)
			if c.later != "" {
				<-read
				client.f.WriteData(1, true, []byte(c.later))
			}
			<-ended
		})
	}
}
