package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// impostor listens where an edge should and shows a certificate that is not that
// edge's.
type impostor struct {
	edge  *peer
	why   []string // in the Warpgate's log
	heard atomic.Int64
	tried atomic.Int64
}

// TestAttackT5Impostors: a Warpgate tells nothing to who is not the edge that it
// was told to dial.
func TestAttackT5Impostors(t *testing.T) {
	t.Parallel()
	a := &target{world: newWorld(t, 1, attackRoutes()...), rec: newRecorder(t), books: map[string]delivery{}}
	a.edge = a.edges[0]
	now := time.Now()
	hour := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	gate := a.enrolWarpgate(t, "production")
	kinds := map[string]func(own *peer) (*tls.Certificate, []string){
		"foreign": func(own *peer) (*tls.Certificate, []string) {
			return foreign(t).issue(own.URI(), hour(-1), hour(1)), []string{own.String(), "not signed by this installation"}
		},
		"expired": func(own *peer) (*tls.Certificate, []string) {
			return a.offlineRoot(t).issue(own.URI(), hour(-48), hour(-1)), []string{own.String(), "expired"}
		},
		"warpgate": func(*peer) (*tls.Certificate, []string) {
			return gate.cert, []string{gate.String(), `role "warpgate"`}
		},
		"another": func(own *peer) (*tls.Certificate, []string) {
			other := a.enrolEdge(t, "real-other", "127.0.0.1:1")
			return other.cert, []string{other.String(), own.ID}
		},
		"public": func(*peer) (*tls.Certificate, []string) {
			return a.publicCertificate(t), []string{"extended key usages"}
		},
	}
	var impostors []*impostor
	for name, show := range kinds {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		i := &impostor{edge: a.enrolEdge(t, "impostor-"+name, l.Addr().String())}
		cert, why := show(i.edge)
		i.why = why
		impostors = append(impostors, i)
		go i.accept(l, &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert, NextProtos: []string{mezu.ProtocolControl, mezu.ProtocolData}})
	}
	a.gate = a.addGate("gate", a.rec.addr(), "--json")
	for _, i := range impostors {
		eventually(t, "the Warpgate's word on "+i.edge.ID, func() error {
			for l := range strings.Lines(a.gate.log.String()) {
				if !strings.Contains(l, "edge="+i.edge.ID) {
					continue
				}
				for _, why := range i.why {
					if !strings.Contains(strings.ReplaceAll(l, `\"`, `"`), why) {
						return fmt.Errorf("the log says %q, without %q", l, why)
					}
				}
				return nil
			}
			return fmt.Errorf("the log says nothing")
		})
		if i.tried.Load() == 0 || i.heard.Load() > 0 {
			t.Errorf("%v was told %d bytes in %d handshakes", i.why, i.heard.Load(), i.tried.Load())
		}
	}
	a.alive(t)
	a.settle(t)
}

// accept shakes hands and counts what it is told afterwards.
func (i *impostor) accept(l net.Listener, cfg *tls.Config) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		conn := tls.Server(raw, cfg)
		conn.SetDeadline(time.Now().Add(patience))
		conn.Handshake()
		i.tried.Add(1)
		n, _ := conn.Read(make([]byte, 100))
		i.heard.Add(int64(n))
		conn.Close()
	}
}

// publicCertificate is one of the internal authority for a public name.
func (a *target) publicCertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	key, csr := newKey(t)
	edge := a.enrolEdge(t, "asks-for-names", "127.0.0.1:1")
	got := a.serverCertificate(t, edge, csr)
	cert, err := tls.X509KeyPair([]byte(got), key)
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}
