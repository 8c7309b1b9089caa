package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// TestAttackTunnel attacks the tunnel's ends, with certificates and with frames.
func TestAttackTunnel(t *testing.T) {
	t.Parallel()
	a := newTarget(t, attackRoutes()...)
	t.Run("TLS at the edge", func(t *testing.T) { strangersAtTheEdge(t, a, a.edge, a.edge.https) })
	t.Run("TLS at a port of its own", func(t *testing.T) {
		tunnel := freeAddr(t)
		e := a.addEdge("separate", "--tunnel-addr", tunnel)
		strangersAtTheEdge(t, a, e, tunnel)
		portsApart(t, a, e, tunnel)
	})
	t.Run("control plane", func(t *testing.T) { certificatesAtControl(t, a) })
	t.Run("T6 frames", func(t *testing.T) { rawFrames(t, a) })
	t.Run("T8 nonsense towards the edge", func(t *testing.T) { nonsenseToEdge(t, a) })
	a.alive(t)
	a.settle(t)
}

// stranger is somebody who wants a tunnel and must not have it.
type stranger struct {
	name string
	cfg  *tls.Config
	why  []string // in the edge's log
}

func strangersAtTheEdge(t *testing.T, a *target, e *edgeNode, addr string) {
	gate, edge := a.enrolWarpgate(t, "production"), a.enrolEdge(t, "spare-"+e.name, "127.0.0.1:1")
	now := time.Now()
	config := func(cert *tls.Certificate, protocols ...string) *tls.Config {
		c := &tls.Config{ServerName: mezu.TunnelServerName, InsecureSkipVerify: true, NextProtos: protocols}
		if cert != nil {
			c.Certificates = []tls.Certificate{*cert}
		}
		return c
	}
	old := func(c *tls.Config) *tls.Config { c.MaxVersion = tls.VersionTLS12; return c }
	named := func(c *tls.Config, name string) *tls.Config { c.ServerName = name; return c }
	for _, protocol := range []string{mezu.ProtocolControl, mezu.ProtocolData} {
		for _, s := range []stranger{
			{"TLS 1.2", old(config(gate.cert, protocol)), []string{"TLS 1.3"}},
			{"no certificate", config(nil, protocol), []string{"didn't provide a certificate"}},
			{"foreign authority", config(foreign(t).issue(gate.URI(), now.Add(-time.Hour), now.Add(time.Hour)), protocol), []string{gate.String(), "not signed by this installation"}},
			{"an edge's certificate", config(edge.cert, protocol), []string{edge.String(), `role "edge"`, "warpgate"}},
			{"expired certificate", config(a.offlineRoot(t).issue(gate.URI(), now.Add(-48*time.Hour), now.Add(-time.Hour)), protocol), []string{gate.String(), "expired"}},
			{"certificate of tomorrow", config(a.offlineRoot(t).issue(gate.URI(), now.Add(24*time.Hour), now.Add(48*time.Hour)), protocol), []string{gate.String(), "not valid before"}},
			{"wrong server name", named(config(gate.cert, protocol), a.host), []string{mezu.TunnelServerName}},
			{"both protocols", config(gate.cert, protocol, mezu.ProtocolControl, mezu.ProtocolData), []string{"one protocol"}},
			{"beside h2", config(gate.cert, "h2", protocol), []string{"one protocol"}},
			{"beside HTTP/1.1", config(gate.cert, protocol, "http/1.1"), []string{"one protocol"}},
		} {
			t.Run(protocol+" "+s.name, func(t *testing.T) { s.refused(t, e, addr) })
		}
	}
	// The same calls with the true certificate are a tunnel: the refusals above
	// are about what they name.
	c := a.register(t, addr, gate, 1)
	if kind, _ := c.frame(); kind != frameWelcome {
		t.Errorf("the true Warpgate is answered with frame %#x", kind)
	}
	c.Close()
}

// refused checks that the edge talks to nobody, and that its log says why.
func (s stranger) refused(t *testing.T, e *edgeNode, addr string) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, s.cfg)
	if err := conn.Handshake(); err == nil {
		// In TLS 1.3 a client learns of its refusal from what it reads.
		conn.Write(registerFrame(1))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("the edge talks to a stranger")
		}
	}
	eventually(t, "the edge's log of it", func() error {
		for l := range strings.Lines(e.log.String()) {
			missing := slices.ContainsFunc(append(s.why, "level=WARN"), func(why string) bool { return !strings.Contains(strings.ReplaceAll(l, `\"`, `"`), why) })
			// A line that says what one before said is counted there.
			switch mine := strings.Contains(l, "peer="+raw.LocalAddr().String()+" "); {
			case !missing:
				return nil
			case mine:
				return fmt.Errorf("it says %q, without one of %q", l, s.why)
			}
		}
		return errors.New("it says nothing")
	})
}

// portsApart: with a port of their own, tunnels are nowhere else and the public
// not there.
func portsApart(t *testing.T, a *target, e *edgeNode, addr string) {
	public, err := tls.Dial("tcp", addr, &tls.Config{ServerName: a.host, InsecureSkipVerify: true})
	if err == nil {
		fmt.Fprintf(public, "GET /public/x HTTP/1.1\r\nHost: %s\r\nX-Request-Id: refused-port\r\n\r\n", a.host)
		if got, _ := io.ReadAll(public); len(got) > 0 {
			t.Errorf("the port for tunnels answers the public: %q", got)
		}
		public.Close()
	}
	gate := a.enrolWarpgate(t, "production")
	c := a.register(t, e.https, gate, 1)
	if kind, _ := c.frame(); kind != 0 {
		t.Errorf("the public port answers a Warpgate with frame %#x", kind)
	}
}

// certificatesAtControl: a certificate opens the calls of its role and no other.
func certificatesAtControl(t *testing.T, a *target) {
	gate, edge := a.enrolWarpgate(t, "production"), a.enrolEdge(t, "caller", "127.0.0.1:1")
	_, csr := newKey(t)
	bodies := map[string]any{
		api.OpRenewWarpgate.ID: api.RenewRequest{CSR: csr}, api.OpRenewEdge.ID: api.RenewRequest{CSR: csr}, api.OpPublicCertificate.ID: api.PublicCertificateRequest{CSR: csr, Hosts: []string{a.host}},
		api.OpEdgeReport.ID: api.EdgeReport{Full: true}, api.OpRegisterWarpgate.ID: api.RegisterRequest{CSR: csr}, api.OpEnrolEdge.ID: api.EnrolRequest{CSR: csr, Name: "x", TunnelAddress: "127.0.0.1:1"},
		api.OpReplaceRoutes.ID:   api.RoutesReplace{Routes: []mezu.Route{open}},
		api.OpEdgeRevocations.ID: api.EdgeRevocations{Revocations: []mezu.Signed{{KeyID: "none", Payload: []byte("{}"), Signature: []byte("x")}}}, // counted as refused
	}
	params := map[string]string{"organization": "acme", "project": "shop", "environment": "production", "route": "public", "service_account": "gate", "warpgate": gate.ID, "edge": edge.ID}
	// What an edge asks for visitors is let in, and then judged by what it says of them.
	visitors := map[string]mezu.Code{api.OpEdgePage.ID: mezu.CodeInvalid, api.OpEdgeRefresh.ID: mezu.CodeUnauthenticated}
	for role, own := range map[*peer]map[string]bool{
		gate: {api.OpRenewWarpgate.ID: true, api.OpWarpgateTargets.ID: true},
		edge: {api.OpRenewEdge.ID: true, api.OpPublicCertificate.ID: true, api.OpEdgeReport.ID: true, api.OpEdgeStream.ID: true, api.OpEdgeRevocations.ID: true, api.OpEdgeLogout.ID: true},
	} {
		client := a.calls(t, role)
		for _, op := range api.Operations() {
			call := api.Call{Operation: op, Body: bodies[op.ID]}
			for _, p := range op.Params() {
				call.Params = append(call.Params, cmp.Or(params[p], "nobody"))
			}
			if call.Body == nil && (op.Method == "POST" || op.Method == "PUT" || op.Method == "PATCH") {
				call.Body = map[string]any{}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			var err error
			if op.ID == api.OpEdgeStream.ID {
				var s *api.Stream
				if s, err = client.Stream(ctx, mezu.Position{}); err == nil {
					s.Close()
				}
			} else {
				err = client.Do(ctx, call, nil)
			}
			cancel()
			switch code := mezu.CodeOf(err); {
			case role == edge && visitors[op.ID] != "":
				if code != visitors[op.ID] {
					t.Errorf("%s by the %s: %v", op.ID, role.Role, err)
				}
			case own[op.ID] && err != nil:
				t.Errorf("%s by the %s: %v", op.ID, role.Role, err)
			case !own[op.ID] && code != mezu.CodeUnauthenticated && code != mezu.CodeForbidden && code != mezu.CodeNotFound && op.ID != api.OpBootstrap.ID:
				t.Errorf("%s by the %s: %v", op.ID, role.Role, err)
			case op.ID == api.OpBootstrap.ID && err == nil:
				t.Errorf("bootstrap by the %s", role.Role)
			}
		}
	}
}

// Frames of tunnel/spec.md, by their bytes.
const (
	frameRegister  = 0x01
	frameWelcome   = 0x02
	frameRefused   = 0x03
	frameHeartbeat = 0x04
	frameWant      = 0x05
	frameMissed    = 0x06
	frameClosed    = 0x08
	frameAck       = 0x0c
	frameHello     = 0x0d
)

func frameOf(kind byte, payload []byte) []byte {
	n := len(payload)
	return append([]byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}, payload...)
}

func registerFrame(epoch uint64) []byte {
	return frameOf(frameRegister, fmt.Appendf(nil, `{"protocol":1,"version":"test","epoch":%d}`, epoch))
}

// rawTunnel is a tunnel connection on which any bytes can be sent.
type rawTunnel struct{ *tls.Conn }

func (a *target) dialTunnel(t *testing.T, addr string, p *peer, protocol string) *rawTunnel {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, p.anchor.EdgeTLS(p.certificate, "", protocol))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &rawTunnel{conn}
}

// register makes a control connection and sends REGISTER.
func (a *target) register(t *testing.T, addr string, p *peer, epoch uint64) *rawTunnel {
	t.Helper()
	c := a.dialTunnel(t, addr, p, mezu.ProtocolControl)
	c.Write(registerFrame(epoch))
	return c
}

// frame reads a frame; its kind is 0 at the connection's end.
func (c *rawTunnel) frame() (byte, []byte) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, nil
	}
	payload := make([]byte, int(head[1])<<16|int(head[2])<<8|int(head[3]))
	if _, err := io.ReadFull(c, payload); err != nil {
		return 0, nil
	}
	return head[0], payload
}

// until reads frames up to one of this kind, or the end.
func (c *rawTunnel) until(kind byte) []byte {
	for {
		if got, payload := c.frame(); got == kind || got == 0 {
			return payload
		}
	}
}

// welcomed registers and gives the session's token.
func (a *target) welcomed(t *testing.T, p *peer, epoch uint64) (*rawTunnel, []byte) {
	t.Helper()
	c := a.register(t, a.edge.https, p, epoch)
	var w struct {
		Token []byte `json:"token"`
	}
	if err := json.Unmarshal(c.until(frameWelcome), &w); err != nil || len(w.Token) != 16 {
		t.Fatalf("WELCOME has the token %x, %v", w.Token, err)
	}
	return c, w.Token
}

func helloFrame(token []byte, number uint64) []byte {
	return frameOf(frameHello, binary.BigEndian.AppendUint64(bytes.Clone(token), number))
}

// rawFrames: what breaks the protocol ends the connection on which it came, and
// nothing else. The Warpgates that send it are of an environment of their own, so
// that they get no exchanges of the other.
func rawFrames(t *testing.T, a *target) {
	invoke[mezu.Environment](a.world, a.client, api.OpCreateEnvironment, mezu.Environment{Name: "frames"}, "acme", "shop")
	p, other := a.enrolWarpgate(t, "frames"), a.enrolWarpgate(t, "frames")
	epoch := uint64(0)
	next := func() uint64 { epoch++; return epoch }
	for name, first := range map[string][]byte{
		"unknown type": {0x7f, 0, 0, 0}, "zero": {0, 0, 0, 0}, "wrong side": frameOf(frameWelcome, []byte("{}")), "heartbeat first": {frameHeartbeat, 0, 0, 0}, "hello": helloFrame(make([]byte, 16), 1),
		"2^24 bytes": {frameRegister, 0xff, 0xff, 0xff}, "no JSON": frameOf(frameRegister, []byte("not JSON")), "wrong types": frameOf(frameRegister, []byte(`{"protocol":"x","epoch":-1}`)),
		"terminal codes": frameOf(frameRegister, []byte(`{"protocol":1,"version":"\u001b[31m","epoch":1}`)), "HTTP": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "old protocol": frameOf(frameRegister, []byte(`{"protocol":0,"version":"x","epoch":1}`)),
	} {
		t.Run("first "+name, func(t *testing.T) {
			c := a.dialTunnel(t, a.edge.https, p, mezu.ProtocolControl)
			c.Write(first)
			if kind, payload := c.frame(); kind != 0 && kind != frameRefused {
				t.Errorf("it is answered with frame %#x %q", kind, payload)
			}
			c.until(0)
		})
	}
	for name, later := range map[string][]byte{
		"unknown type": {0x7f, 0, 0, 0}, "second REGISTER": registerFrame(99), "WANT": frameOf(frameWant, []byte{0, 0, 0, 1}), "heartbeat with a payload": frameOf(frameHeartbeat, []byte("x")),
		"short ACK": frameOf(frameAck, make([]byte, 15)), "2^24 bytes": {frameAck, 0xff, 0xff, 0xff}, "HELLO": helloFrame(make([]byte, 16), 1), "a million MISSED": bytes.Repeat(frameOf(frameMissed, []byte{0xff, 0xff, 0xff, 0xff}), 100_000),
		"a flood": bytes.Repeat([]byte{frameHeartbeat, 0, 0, 0}, 100_000),
	} {
		t.Run("later "+name, func(t *testing.T) {
			c, _ := a.welcomed(t, p, next())
			go c.Write(later)
			c.until(0)
			a.alive(t)
		})
	}
	t.Run("harmless", func(t *testing.T) {
		c, _ := a.welcomed(t, p, next())
		c.Write(frameOf(frameClosed, make([]byte, 8)))
		c.Write(frameOf(frameMissed, []byte{0xff, 0xff, 0xff, 0xff}))
		c.Write(frameOf(frameAck, bytes.Repeat([]byte{0xff}, 16)))
		if c.until(frameHeartbeat); c.Conn.ConnectionState().HandshakeComplete && c.dead() {
			t.Error("the session ended")
		}
	})
	t.Run("epochs", func(t *testing.T) {
		old, _ := a.welcomed(t, p, next())
		second := a.register(t, a.edge.https, p, epoch)
		if kind, payload := second.frame(); kind != frameRefused || !bytes.Contains(payload, []byte("conflict")) {
			t.Errorf("the same epoch is answered with frame %#x %s", kind, payload)
		}
		a.welcomed(t, p, next())
		if payload := old.until(frameRefused); !bytes.Contains(payload, []byte("conflict")) {
			t.Errorf("the fenced session was told %q", payload)
		}
	})
	t.Run("data", func(t *testing.T) {
		session, mine := a.welcomed(t, p, next())
		go session.beat()
		_, theirs := a.welcomed(t, other, 1)
		hello := func(from *peer, first []byte) *rawTunnel {
			c := a.dialTunnel(t, a.edge.https, from, mezu.ProtocolData)
			c.Write(first)
			return c
		}
		// The edge says nothing to a HELLO that it takes. Of two with one number it ends
		// the one that it reads last.
		good, twin := hello(p, helloFrame(mine, 7)), hello(p, helloFrame(mine, 7))
		for start := time.Now(); !twin.dead(); good, twin = twin, good {
			if time.Since(start) > patience {
				t.Fatal("the edge takes two connections of one number")
			}
		}
		for name, first := range map[string][]byte{
			"unknown token": helloFrame(make([]byte, 16), 1), "another's token": helloFrame(theirs, 1), "a number in use again": helloFrame(mine, 7), "no HELLO": {frameHeartbeat, 0, 0, 0}, "long": {frameHello, 0xff, 0xff, 0xff}, "REGISTER": registerFrame(1000), "HTTP": []byte("HTTP/1.1 200 OK\r\n\r\n"),
		} {
			t.Run(name, func(t *testing.T) {
				if _, err := hello(p, first).Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the edge goes on: %v", err)
				}
			})
		}
		if good.dead() {
			t.Error("the good connection was closed, too")
		}
	})
	t.Run("half a frame", func(t *testing.T) {
		// Half a REGISTER and then silence holds the connection for the time-out
		// only; the others are served meanwhile.
		c := a.dialTunnel(t, a.edge.https, p, mezu.ProtocolControl)
		c.Write(registerFrame(1000)[:10])
		start := time.Now()
		a.alive(t)
		c.until(0)
		if waited := time.Since(start); waited < 5*time.Second {
			t.Errorf("it was cut after %v already", waited)
		}
	})
	a.alive(t)
}

// dead reports whether the other end has closed; nothing else is expected.
func (c *rawTunnel) dead() bool {
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && (!errors.As(err, &timeout) || !timeout.Timeout())
}

// nonsenseToEdge: a Warpgate that answers with what it should not.
func nonsenseToEdge(t *testing.T, a *target) {
	env := invoke[mezu.Environment](a.world, a.client, api.OpCreateEnvironment, mezu.Environment{Name: "liar"}, "acme", "shop")
	invoke[api.RoutesState](a.world, a.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{open}}, "acme", "shop", "liar")
	host := env.Endpoint + ".localhost"
	a.routed(t, host, "/x")
	p := a.enrolWarpgate(t, "liar")
	control, token := a.welcomed(t, p, 1)
	defer control.Close()
	go control.beat()
	number := uint64(0)
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for name, lie := range map[string]struct {
		answer string
		status int
	}{
		"a request's head":       {"\x01\x00\x00\x1a\x04\x7f\x00\x00\x01\x02id" + strings.Repeat("\x00", 18) + "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 502},
		"unknown kind":           {"\x63\x00\x00\x00" + ok, 502},
		"alive":                  {"\x05\x00\x00\x00", 502},
		"response with payload":  {"\x02\x00\x00\x03abc" + ok, 0},
		"huge":                   {"\x02\xff\xff\xff" + ok, 502},
		"no typed head":          {ok, 502},
		"failure without a code": {"\x03\x00\x00\x00", 502},
		"failure of own words":   {"\x03\x00\x00\x0a\x00\x04evildetail"[:14], 502},
		"failure with line ends": {"\x03\x00\x00\x0f\x00\x08no_routea\r\nb:c"[:4+15], 502},
		"malformed response":     {"\x02\x00\x00\x00HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", 502},
		"a hundred 1xx":          {strings.Repeat("\x02\x00\x00\x00HTTP/1.1 103 Early Hints\r\n\r\n", 100), 502},
		"nothing":                {"", 502},
		"forged id":              {"\x02\x00\x00\x00HTTP/1.1 200 OK\r\nX-Request-Id: forged\r\nContent-Length: 2\r\n\r\nok", 200},
		"two responses":          {"\x02\x00\x00\x00" + ok + "\x02\x00\x00\x00" + strings.Replace(ok, "ok", "no", 1), 200},
	} {
		t.Run(name, func(t *testing.T) {
			number++
			data := a.dialTunnel(t, a.edge.https, p, mezu.ProtocolData)
			data.Write(helloFrame(token, number))
			answered := make(chan struct{})
			go func() { defer close(answered); data.lie(lie.answer) }()
			c := a.dialName(t, host)
			c.send("POST /x HTTP/1.1\r\nHost: " + host + "\r\nX-Request-Id: mine\r\nContent-Length: 0\r\n\r\n")
			got := c.must("POST")
			if lie.status != 0 && got.status != lie.status || got.header.Get("X-Request-Id") != "mine" || len(got.header["X-Request-Id"]) != 1 || strings.Contains(got.body, "no\n") {
				t.Errorf("the client is answered with %d %v %s", got.status, got.header, got.body)
			}
			<-answered
			a.alive(t)
		})
	}
}

// beat keeps a session alive.
func (c *rawTunnel) beat() {
	for {
		kind, _ := c.frame()
		if kind == 0 {
			return
		}
		c.SetDeadline(time.Now().Add(patience))
		if kind == frameHeartbeat {
			c.Write([]byte{frameHeartbeat, 0, 0, 0})
		}
	}
}

// lie waits for an exchange, answers it and closes.
func (c *rawTunnel) lie(answer string) {
	defer c.Close()
	in := make([]byte, 64<<10)
	for got := ""; !strings.Contains(got, "\r\n\r\n"); {
		n, err := c.Read(in)
		if err != nil {
			return
		}
		got += string(in[:n])
	}
	io.WriteString(c, answer)
}
