package web

import (
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// plainAnswer is what somebody reads who speaks HTTP without TLS to this port.
const plainAnswer = "This port speaks HTTPS: ask again with https:// in front of the address.\n"

// NotTLS answers a request of HTTP without TLS, if first begins one: if it were closed
// without a word, that would look like a broken server. No more of the request is read.
func (s *Server) NotTLS(raw net.Conn, first [5]byte) {
	if !startsRequest(first) {
		return
	}
	if s.cfg.Unserved != nil {
		s.cfg.Unserved(func() mezu.Event { return notTLS(raw, first) })
	}
	a := &answer{status: http.StatusBadRequest, body: []byte(plainAnswer)}
	a.set("Content-Type", "text/plain; charset=utf-8")
	a.set("Cache-Control", "no-store")
	a.set("X-Content-Type-Options", "nosniff")
	raw.SetDeadline(time.Now().Add(lingerTimeout))
	if _, err := raw.Write(a.appendHTTP1(nil, relay.Hop{Close: true, Date: s.dates.now()}, string(first[:]) == "HEAD ")); err != nil {
		return
	}
	if half, ok := raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		io.CopyN(io.Discard, raw, MaxHead) // or a reset destroys the answer
	}
}

// notTLS is the event of such a request. Its path was not read, nor more of its method than first
// has.
func notTLS(raw net.Conn, first [5]byte) mezu.Event {
	method, _, _ := strings.Cut(string(first[:]), " ")
	return mezu.Event{Event: mezu.EventRequest, Time: time.Now(), ID: relay.NewRequestID(), Method: method, Client: clientAddr(raw.RemoteAddr()).String(),
		Status: http.StatusBadRequest, Code: mezu.CodeNotCanonical, Cause: mezu.CauseClientMalformed, Message: "it came without TLS, and this port speaks HTTPS"}
}

// startsRequest reports whether bytes begin a request of HTTP/1.1: a method in
// capitals, and perhaps the beginning of its target.
func startsRequest(b [5]byte) bool {
	method, _, _ := strings.Cut(string(b[:]), " ")
	return method != "" && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == ""
}
