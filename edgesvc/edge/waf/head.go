package waf

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu/relay"
)

// headValues counts the values of query and cookies, and their bytes, as the rules will take them
// apart.
func headValues(r *relay.Request) (values, size int) {
	if len(r.Query) > 1 {
		values, size = strings.Count(r.Query, "&")+1, len(r.Query)-1
	}
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Is("cookie") {
			values += bytes.Count(f.Value, []byte{';'}) + 1
			size += len(f.Value)
		}
	}
	return values, size
}

// usualHead is how long the path and all fields are together of nearly all requests. Rules take a
// millisecond or two for so much.
const usualHead = 8 << 10

// longHead is by how many bytes path and fields are longer.
func longHead(r *relay.Request) int {
	n := len(r.Path.Path)
	for i := range r.Fields {
		n += len(r.Fields[i].Name) + len(r.Fields[i].Value)
	}
	return max(0, n-usualHead)
}

// showHead shows the head of a request, as its workload will see it.
func (l *look) showHead(r *relay.Request, client netip.Addr) {
	l.tx.ProcessConnection(client.Unmap().String(), 0, "", 0)
	l.tx.ProcessURI(r.Path.Path+r.Query, r.Method, "HTTP/1.1")
	l.tx.SetServerName(r.Host)
	l.tx.AddRequestHeader("Host", r.Authority)
	for i := range r.Fields {
		f := &r.Fields[i]
		l.tx.AddRequestHeader(string(f.Name), string(f.Value))
	}
	switch r.Framing {
	case relay.Length:
		l.tx.AddRequestHeader("Content-Length", strconv.FormatInt(r.Length, 10))
	case relay.Chunked:
		l.tx.AddRequestHeader("Transfer-Encoding", "chunked")
	}
}

// showAgain shows what is needed of the head of a request that was judged: rules look at some of it
// beside the body, and find nothing in this.
func (l *look) showAgain(r *relay.Request, client netip.Addr) {
	l.tx.ProcessConnection(client.Unmap().String(), 0, "", 0)
	l.tx.ProcessURI("/", "POST", "HTTP/1.1")
	l.tx.SetServerName(r.Host)
	for _, h := range [...][2]string{{"Host", r.Authority}, {"User-Agent", "-"}, {"Accept", "*/*"}, {"Content-Type", "multipart/form-data"}, {"Content-Length", "1"}} {
		l.tx.AddRequestHeader(h[0], h[1])
	}
}
