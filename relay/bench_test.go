package relay_test

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// browserGet is what a current browser sends for a page.
const browserGet = "GET /products/42?ref=home HTTP/1.1\r\nHost: shop-acme.example.com\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nReferer: https://shop-acme.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\nCookie: theme=dark; basket=9f8e7d6c5b4a; consent=1\r\n\r\n"

// repeat gives the same bytes for ever, one message a read.
type repeat string

func (r repeat) Read(p []byte) (int, error) { return copy(p, r), nil }

// BenchmarkRequestHead is what the edge does to the head of a request: read it,
// bring it into canonical form, write it for the next hop.
func BenchmarkRequestHead(b *testing.B) {
	var r relay.Reader
	r.Reset(repeat(browserGet))
	var h relay.RequestHead
	var req relay.Request
	var names relay.Names
	info := preface.Request{Client: netip.MustParseAddr("203.0.113.7")}
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.ReadRequest(&h); err != nil {
			b.Fatal(err)
		}
		if err := h.Canonical(&req, &names); err != nil {
			b.Fatal(err)
		}
		info.ID = req.ID
		out = req.Append(preface.AppendRequest(out[:0], &info))
		r.Park()
	}
	b.SetBytes(int64(len(browserGet)))
}

// BenchmarkRequestSection is the same for fields of HTTP/2, as HPACK gives them.
func BenchmarkRequestSection(b *testing.B) {
	var s relay.Section
	var req relay.Request
	var names relay.Names
	info := preface.Request{Client: netip.MustParseAddr("203.0.113.7")}
	fields := browserFields()
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(relay.SectionRequest)
		for i := 0; i < len(fields); i += 2 {
			s.Add(fields[i], fields[i+1])
		}
		if err := s.Request(&req, &names, true); err != nil {
			b.Fatal(err)
		}
		info.ID = req.ID
		out = req.Append(preface.AppendRequest(out[:0], &info))
	}
	b.SetBytes(int64(len(browserGet)))
}

// browserFields is browserGet in HTTP/2, with the cookie in crumbs.
func browserFields() pairs {
	b, _ := bothOf(browserGet)
	fields, _ := b.section()
	cookie := fields[len(fields)-1]
	fields = fields[:len(fields)-2]
	for crumb := range strings.SplitSeq(cookie, "; ") {
		fields = append(fields, "cookie", crumb)
	}
	return fields
}

// BenchmarkExchange is one exchange over two loopback connections, the client and
// the upstream included.
func BenchmarkExchange(b *testing.B) {
	client, down := pair(b)
	up, upstream := pair(b)
	for _, c := range []net.Conn{client, down, up, upstream} {
		c.SetDeadline(time.Time{})
	}
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := upstream.Read(buf); err != nil {
				return
			}
			upstream.Write(answer)
		}
	}()
	go serveBench(down, up)
	buf := make([]byte, len(answer))
	b.ReportAllocs()
	for b.Loop() {
		io.WriteString(client, browserGet)
		if _, err := io.ReadFull(client, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func serveBench(down, up net.Conn) {
	var c relay.Client
	var x relay.Exchange
	var req relay.Request
	var names relay.Names
	var writeBy time.Time
	s := relay.Server{Head: req.Append}
	s.Reset(up, &writeBy, func() { up.Close() })
	c.Reset(down, time.Minute, time.Minute)
	defer c.Reader.Release()
	for {
		c.Timed.SetRead(time.Minute)
		c.Reader.Park()
		if c.Reader.ReadRequest(&c.Head) != nil || c.Head.Canonical(&req, &names) != nil {
			return
		}
		c.Begin(0)
		call := relay.Call{Request: &req, Since: time.Now(), Response: time.Minute, Idle: time.Minute}
		if _, err := x.Carry(&s, &call, &c); err != nil || !x.Clean {
			return
		}
	}
}
