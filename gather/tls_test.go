package gather

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// secure makes TLS 1.3 of both ends of a connection.
func secure(t testing.TB, conn, peer net.Conn) (server, client *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server = tls.Server(conn, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13,
		DynamicRecordSizingDisabled: true,
	})
	client = tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
	gone := make(chan error, 1)
	go func() { gone <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	return server, client
}

// Four records of TLS go out by one system call. The last record and the end of what is sent
// follow.
func TestTLS(t *testing.T) {
	conn, peer := pair(t)
	count := &counted{TCPConn: conn}
	c := New(count)
	server, client := secure(t, c, peer)
	if Of(server) != c {
		t.Fatal("it is not found below TLS")
	}
	c.Gather()
	count.calls.Store(0)
	var s stream
	if _, err := server.Write(s.next(64 << 10)); err != nil {
		t.Fatal(err)
	}
	if n := c.Pending(); n <= 64<<10 || n > 65<<10 || count.calls.Load() != 0 {
		t.Errorf("%d bytes wait, after %d calls", n, count.calls.Load())
	}
	if left, err := c.Flush(); err != nil || c.raw != nil && left > 0 && count.calls.Load() != 1 {
		t.Errorf("%d left, %d calls, %v", left, count.calls.Load(), err)
	}
	gone := make(chan error, 1)
	drain := func() {
		c.SetWriteDeadline(time.Time{})
		gone <- c.Drain(time.Minute)
	}
	go drain()
	check(t, client, 64<<10)
	if err := <-gone; err != nil {
		t.Error(err)
	}
	if err := server.CloseWrite(); err != nil {
		t.Error(err)
	}
	go drain()
	if n, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client reads %d bytes, %v", n, err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

// TLS's reading side has an alert to send while others write: what was written before it
// arrives, and it is the last.
func TestTLS_Alert(t *testing.T) {
	conn, peer := pair(t)
	c := New(conn)
	server, client := secure(t, c, peer)
	c.Gather()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		server.Read(make([]byte, 1)) // a record that nobody can open
		c.Drain(time.Minute)
		server.Close()
	})
	begun := make(chan struct{})
	for i := range 4 {
		wg.Go(func() {
			for k := 0; ; k++ {
				if _, err := server.Write(make([]byte, 5000)); err != nil {
					return
				}
				if left, _ := c.Flush(); left > 0 {
					c.Drain(time.Minute)
				}
				if i == 0 && k == 10 {
					close(begun)
				}
			}
		})
	}
	wg.Go(func() {
		<-begun
		peer.Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
	})
	n, err := io.Copy(io.Discard, client)
	if n < 10*5000 || err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("the client reads %d bytes, %v", n, err)
	}
}

// BenchmarkTLS is four records, as TLS writes them and by one system call.
func BenchmarkTLS(b *testing.B) {
	for name, gather := range map[string]bool{"direct": false, "gathered": true} {
		b.Run(name, func(b *testing.B) {
			conn, peer := pair(b)
			c := New(conn)
			server, _ := secure(b, c, peer)
			if gather {
				c.Gather()
			}
			go io.Copy(io.Discard, peer)
			p := make([]byte, 64<<10)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := server.Write(p); err != nil {
					b.Fatal(err)
				}
				if left, err := c.Flush(); err != nil || left > 0 && c.Drain(time.Minute) != nil {
					b.Fatal(err)
				}
			}
			peer.Close()
		})
	}
}
