package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// answerTime bounds the wait for one answer; nothing measured here takes as
	// long.
	answerTime = 30 * time.Second
	// cellTime bounds a whole bulk transfer.
	cellTime = 2 * time.Minute
)

// target is one way to the workload.
type target struct {
	name   string
	host   string // for SNI and Host
	addr   string // host:port to connect to
	secure bool   // TLS
	h2     bool
	from   net.Addr // to connect from; nil for any
	// procs are those whose CPU and memory count; if none, nothing is known of
	// them.
	procs []*process
}

// conn is a client's connection of HTTP/1.1.
type conn struct {
	net.Conn
	r *bufio.Reader
	t target
}

// dial connects and, unless the target is plain, makes a full handshake.
func dial(ctx context.Context, t target) (*conn, error) {
	var c net.Conn
	var err error
	if t.secure {
		c, err = dialTLS(ctx, t, "http/1.1")
	} else {
		c, err = dialTCP(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 16<<10), t: t}, nil
}

func dialTCP(ctx context.Context, t target) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: t.from, Timeout: answerTime}).DialContext(ctx, "tcp", t.addr)
}

// dialTLS connects and makes a full handshake. X25519 alone is offered, so that all
// servers pay for the same key exchange.
func dialTLS(ctx context.Context, t target, protocol string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	raw, err := dialTCP(ctx, t)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, clientTLS(t, protocol))
	err = c.HandshakeContext(ctx)
	if got := c.ConnectionState().NegotiatedProtocol; err == nil && protocol == protocolH2 && got != protocol {
		err = fmt.Errorf("the server chose the protocol %q", got)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

func clientTLS(t target, protocol string) *tls.Config {
	return &tls.Config{ServerName: t.host, InsecureSkipVerify: true, NextProtos: []string{protocol},
		CurvePreferences: []tls.CurveID{tls.X25519}, DynamicRecordSizingDisabled: true}
}

// head is the text of a request head.
func (t target) head(method, path, fields string) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, path, t.authority(), fields)
}

// authority is the host with the port, unless that is the scheme's own.
func (t target) authority() string {
	_, port, err := net.SplitHostPort(t.addr)
	if err != nil || t.secure && port == "443" || !t.secure && port == "80" {
		return t.host
	}
	return net.JoinHostPort(t.host, port)
}

// url is where load generators are pointed at.
func (t target) url(path string) string {
	scheme := "http"
	if t.secure {
		scheme = "https"
	}
	return scheme + "://" + t.authority() + path
}

// get makes one request and reads the answer to its end.
func (c *conn) get(head []byte) error {
	c.SetDeadline(time.Now().Add(answerTime))
	return c.exchange(head)
}

// exchange is get under a deadline set before.
func (c *conn) exchange(head []byte) error {
	if _, err := c.Write(head); err != nil {
		return err
	}
	n, err := c.answer(200)
	if err != nil {
		return err
	}
	if n <= int64(c.r.Buffered()) {
		_, err = c.r.Discard(int(n))
		return err
	}
	return discard(c.r, n)
}

// answer reads a response head and gives the length of the body.
func (c *conn) answer(want int) (int64, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || string(line[:7]) != "HTTP/1." {
		return 0, fmt.Errorf("not an answer: %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, err
	}
	length := int64(-1)
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if fieldIs(name, "content-length") {
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, err
			}
		}
	}
	switch {
	case status != want:
		return 0, fmt.Errorf("the answer is %d", status)
	case length < 0 && status != 101 && status != 204:
		return 0, errors.New("an answer without Content-Length")
	}
	return max(length, 0), nil
}

// download gets n bytes.
func (c *conn) download(n int64) error {
	return c.exchange(c.t.head("GET", pathBytes+strconv.FormatInt(n, 10), ""))
}

// upload sends n bytes.
func (c *conn) upload(n int64) error {
	if _, err := c.Write(c.t.head("POST", pathSink, "Content-Length: "+strconv.FormatInt(n, 10)+"\r\n")); err != nil {
		return err
	}
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	if err := sendBody(c, buf[:], n); err != nil {
		return err
	}
	_, err := c.answer(200)
	return err
}

// runFetch downloads over one connection for a time, and then says how many bytes a second
// came. It is a process of its own, so that it does not delay the goroutines that time the
// small requests.
func runFetch(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("fetch", flag.ContinueOnError)
	t := target{}
	f.StringVar(&t.addr, "addr", "", "")
	f.StringVar(&t.host, "host", "", "")
	f.BoolVar(&t.secure, "secure", false, "")
	length := f.Duration("for", time.Second, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := dial(ctx, t)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(t.head("GET", pathEndless, "")); err != nil {
		return err
	}
	if _, err := c.answer(200); err != nil {
		return err
	}
	begin := time.Now()
	c.SetDeadline(begin.Add(*length))
	buf := make([]byte, copySize)
	for total := 0; ; {
		n, err := c.r.Read(buf)
		total += n
		if err != nil {
			if took := time.Since(begin); took < *length {
				return err
			}
			_, err = fmt.Fprintln(out, float64(total)/time.Since(begin).Seconds())
			return err
		}
	}
}

// socketMessage is a masked text frame of RFC 6455 with five bytes; it comes back as it is.
const socketMessage = "\x81\x85\x00\x00\x00\x00hello"

// openSocket makes a WebSocket and exchanges one message.
func openSocket(ctx context.Context, t target) (*conn, error) {
	c, err := dial(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := c.greet(pathEcho, ""); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// greet makes a WebSocket of the connection.
func (c *conn) greet(path, fields string) error {
	c.SetDeadline(time.Now().Add(answerTime))
	defer c.SetDeadline(time.Time{})
	head := c.t.head("GET", path, fields+"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	if _, err := c.Write(head); err != nil {
		return err
	}
	if _, err := c.answer(101); err != nil {
		return err
	}
	if _, err := io.WriteString(c, socketMessage); err != nil {
		return err
	}
	back := make([]byte, len(socketMessage))
	if _, err := io.ReadFull(c.r, back); err != nil {
		return err
	}
	if !strings.HasSuffix(string(back), "hello") {
		return fmt.Errorf("the echo is %q", back)
	}
	// Two thousand read buffers would be most of this process.
	c.r = nil
	return nil
}
