package relay_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mezusphere/mezu/testkit"
)

// TestStoppedReader: of a response whose client has stopped reading no more than 64 KiB waits here:
// the buffer of the data connection, a piece on its way to the client, and what TLS has read ahead.
func TestStoppedReader(t *testing.T) {
	const most, taken, quiet = 64 << 10, 4 << 20, 200 * time.Millisecond
	pki := httptest.NewUnstartedServer(nil)
	pki.StartTLS()
	pki.Close()
	cfg := &tls.Config{Certificates: pki.TLS.Certificates, MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}
	client, down := net.Pipe() // between whose ends nothing waits
	near, far := pair(t)
	read, upstream := &testkit.Counted{Conn: near}, tls.Client(far, cfg)
	r := newRig(t)
	go r.serve(down, tls.Server(read, cfg))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := http.ReadRequest(bufio.NewReader(upstream)); err != nil {
			t.Error(err)
			return
		}
		io.WriteString(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
		for p := make([]byte, 64<<10); ; {
			if _, err := upstream.Write(p); err != nil {
				return
			}
		}
	}()
	io.WriteString(client, get)
	if _, err := io.CopyN(io.Discard, client, taken); err != nil {
		t.Fatal(err)
	}
	// Until nothing moves any more.
	tick := time.NewTicker(quiet)
	for before := int64(-1); read.Bytes.Load() != before; <-tick.C {
		before = read.Bytes.Load()
	}
	tick.Stop()
	// A record of TLS has 16 KiB and 22 bytes; the handshake is small.
	if n := read.Bytes.Load()*(16<<10)/(16<<10+22) - taken; n > most || n <= 0 {
		t.Errorf("%d bytes wait", n)
	}
	client.Close()
	r.end(t)
	near.Close()
	far.Close()
	<-ended
}
