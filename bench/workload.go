package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Paths of the workload.
const (
	pathSmall = "/small"  // 1 KiB
	pathBytes = "/bytes/" // and the number of bytes
	pathSink  = "/sink"   // takes a body of any size
	pathEcho  = "/echo"   // WebSocket handshake, then bytes come back as they are
	pathSlow  = "/slow/"  // and the milliseconds until 1 KiB comes

	pathEndless = pathBytes + "1000000000000" // more than anybody reads
)

const (
	smallSize = 1 << 10
	copySize  = 64 << 10
)

// runWorkload serves what all targets lead to. It is as lean as can be, so that
// what is measured is the way to it.
func runWorkload(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("workload", flag.ContinueOnError)
	addr := f.String("addr", "127.0.0.1:0", "")
	tlsAddr := f.String("tls-addr", "127.0.0.1:0", "")
	pair, err := parseWithPair(f, args)
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	secured, err := net.Listen("tcp", *tlsAddr)
	if err != nil {
		plain.Close()
		return err
	}
	secured = tls.NewListener(secured, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
	var accepting sync.WaitGroup
	accepting.Go(func() { acceptWorkload(plain) })
	accepting.Go(func() { acceptWorkload(secured) })
	fmt.Fprintln(out, plain.Addr(), secured.Addr())
	<-ctx.Done()
	plain.Close()
	secured.Close()
	accepting.Wait()
	return nil
}

// acceptWorkload ends with its listener; connections end with their clients.
func acceptWorkload(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serveWorkload(c)
	}
}

// request is what the workload looks at.
type request struct {
	path      string
	length    int64
	last      bool
	expect    bool
	socketKey string
}

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

func serveWorkload(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	small := response(bytes.Repeat([]byte("x"), smallSize))
	for {
		req, err := readRequest(r)
		if err != nil {
			return
		}
		if req.expect {
			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		switch {
		case req.path == pathSmall || req.path == pathMine+pathSmall:
			_, err = c.Write(small)
		case strings.HasPrefix(req.path, pathBytes):
			err = sendBytes(c, req.path[len(pathBytes):])
		case req.path == pathSink:
			if err = discard(r, req.length); err == nil {
				_, err = c.Write(response(nil))
			}
		case (req.path == pathEcho || req.path == pathMine+pathEcho) && req.socketKey != "":
			echo(c, r, req.socketKey)
			return
		case strings.HasPrefix(req.path, pathSlow):
			ms, _ := strconv.Atoi(req.path[len(pathSlow):])
			time.Sleep(time.Duration(ms) * time.Millisecond)
			_, err = c.Write(small)
		default:
			_, err = io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}
		if err != nil || req.last {
			return
		}
	}
}

func response(body []byte) []byte {
	head := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body))
	return append(head, body...)
}

// readRequest reads a head. What it does not know it passes over.
func readRequest(r *bufio.Reader) (request, error) {
	var req request
	line, err := r.ReadSlice('\n')
	if err != nil {
		return req, err
	}
	_, rest, _ := bytes.Cut(line, []byte(" "))
	path, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return req, errors.New("not a request")
	}
	if whole, _, _ := bytes.Cut(path, []byte("?")); string(whole) == pathSmall {
		req.path = pathSmall
	} else {
		req.path = string(path)
	}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return req, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return req, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case fieldIs(name, "content-length"):
			if req.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return req, err
			}
		case fieldIs(name, "transfer-encoding"):
			return req, errors.New("the workload takes bodies of known length only")
		case fieldIs(name, "connection"):
			req.last = fieldIs(value, "close")
		case fieldIs(name, "expect"):
			req.expect = true
		case fieldIs(name, "sec-websocket-key"):
			req.socketKey = string(value)
		}
	}
}

// fieldIs compares without regard to case and without garbage.
func fieldIs(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

func sendBytes(w io.Writer, size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", n); err != nil {
		return err
	}
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	return sendBody(w, buf[:], n)
}

// sendBody writes n bytes of no meaning.
func sendBody(w io.Writer, buf []byte, n int64) error {
	for n > 0 {
		sent, err := w.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return err
		}
		n -= int64(sent)
	}
	return nil
}

// discard reads n bytes.
func discard(r io.Reader, n int64) error {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	for n > 0 {
		got, err := r.Read(buf[:min(n, int64(len(buf)))])
		n -= int64(got)
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// echo finishes the handshake of RFC 6455 and then returns each byte. With
// buffers as small as these many sockets cost the workload little.
func echo(c net.Conn, r *bufio.Reader, key string) {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	if _, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept); err != nil {
		return
	}
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}
