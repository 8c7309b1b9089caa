package inspect_test

import (
	"bufio"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// BenchmarkExchange is what recording costs one request with a usual head and 1 KiB, at each depth:
// beside it the request takes some 50 µs of a core.
func BenchmarkExchange(b *testing.B) {
	head := []byte("GET /assets/app.js?v=42 HTTP/1.1\r\nHost: shop-acme.edge.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nReferer: https://shop-acme.edge.example/\r\nCookie: theme=dark\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 1024\r\nDate: Sun, 29 Nov 2026 23:38:05 GMT\r\nEtag: \"abc\"\r\n\r\n")
	body := make([]byte, 1024)
	for depth, every := range map[mezu.ExchangeDepth]time.Duration{mezu.DepthAll: 10 * time.Millisecond, mezu.DepthHeads: 500 * time.Microsecond, mezu.DepthNone: 50 * time.Microsecond} {
		b.Run(string(depth), func(b *testing.B) {
			i := inspect.New(inspect.Config{})
			r := i.Recorder(inspect.Tunnel{ID: "tun_1", Name: func() string { return "shop/dev" }})
			tape := r.Tape("fra-1")
			defer tape.Close()
			req := relay.Request{Method: "GET", Host: "shop-acme.edge.example", Path: mezu.Path{Path: "/assets/app.js"}, Query: "?v=42"}
			for n := range 20 {
				req.Fields = append(req.Fields, relay.Field{Name: fmt.Appendf(nil, "X-Field-%d", n), Value: []byte("value")})
			}
			info := preface.Request{Client: client, ID: "id-1"}
			out := forward.Outcome{Status: 200}
			at := time.Now()
			one := func() {
				at = at.Add(every)
				wants := tape.Begin(&forward.Begun{At: at, Info: &info, Request: &req})
				tape.Head(forward.PartRequest, head)
				tape.Judged("default", "")
				tape.Target(mezu.Upstream{Scheme: mezu.UpstreamHTTP, Address: "127.0.0.1:3000"})
				if wants == forward.Everything {
					tape.Connected(time.Microsecond, true)
					tape.Head(forward.PartSent, head)
					tape.Mark(forward.MarkSent)
					tape.Mark(forward.MarkFirstByte)
					tape.Head(forward.PartResponse, answer)
					tape.Head(forward.PartReturned, answer)
					tape.Piece(forward.Out, body)
					tape.Ended(forward.Out, nil)
				}
				tape.End(&out)
			}
			for range 7000 {
				one()
			}
			b.ReportAllocs()
			for b.Loop() {
				one()
			}
		})
	}
}

// BenchmarkForwarding is whole requests over 64 data connections, with the recorder and without.
func BenchmarkForwarding(b *testing.B) {
	answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n"), make([]byte, 1024)...)
	l := listen(b)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) == 2 {
							break
						}
					}
					c.Write(answer)
				}
			}()
		}
	}()
	for _, off := range []bool{true, false} {
		b.Run(map[bool]string{true: "off", false: "on"}[off], func(b *testing.B) {
			w := newWorld(b, "http://"+l.Addr().String(), inspect.New(inspect.Config{}), func(c *forward.Config) {
				if off {
					c.Recorder = nil
				}
			})
			b.SetParallelism(32)
			b.RunParallel(func(p *testing.PB) {
				c := w.link()
				defer c.Close()
				r := bufio.NewReader(c)
				text := append(w.head(), "GET /a?x=1 HTTP/1.1\r\nHost: shop-acme.edge.example\r\nUser-Agent: a usual one\r\nAccept: */*\r\nCookie: theme=dark\r\n\r\n"...)
				for p.Next() {
					c.Write(text)
					resp, err := w.response(r, nil)
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
				}
			})
		})
	}
}
