package api_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// A stream on which keep-alives come lives; one on which nothing comes is given
// up after StreamIdle.
func TestStream_Idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"control.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(leaf)
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				t.Errorf("reading the request: %v", err)
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
			for range 20 {
				<-time.After(api.StreamKeepAlive)
				io.WriteString(conn, ":\n\n")
			}
			io.Copy(io.Discard, conn) // silent until the client gives up
		}()
		c, err := api.NewClient(api.ClientConfig{BaseURL: "https://control.example", TLS: &tls.Config{RootCAs: roots}, DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		s, err := c.Stream(t.Context(), mezu.Position{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Next()
		if took := time.Since(begin); !errors.Is(err, api.ErrStreamIdle) || took != 20*api.StreamKeepAlive+api.StreamIdle {
			t.Errorf("after %s: %v", took, err)
		}
		s.Close()
		c.CloseIdle()
		<-done
	})
}
