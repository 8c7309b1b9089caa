package web

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// uploading is a client that has all of its body, or not.
type uploading struct {
	client
	whole bool
}

func (u uploading) UploadNow() bool { return u.whole }

// Only what fits whole shares a connection, and nothing that goes on for long.
func TestSmall(t *testing.T) {
	field := func(name, value string) []relay.Field {
		return []relay.Field{{Name: []byte(name), Value: []byte(value)}}
	}
	path := mezu.Path{Path: "/"}
	for name, c := range map[string]struct {
		req    relay.Request
		whole  bool
		shares bool
	}{
		"no body":              {relay.Request{Path: path}, false, true},
		"a body":               {relay.Request{Path: path, Framing: relay.Length, Length: smallBody}, true, true},
		"a larger body":        {relay.Request{Path: path, Framing: relay.Length, Length: smallBody + 1}, true, false},
		"a body that comes":    {relay.Request{Path: path, Framing: relay.Length, Length: 10}, false, false},
		"a body in chunks":     {relay.Request{Path: path, Framing: relay.Chunked}, true, false},
		"one that waits":       {relay.Request{Path: path, Framing: relay.Length, Length: 10, Expect: true}, true, false},
		"a WebSocket":          {relay.Request{Path: path, Upgrade: "websocket"}, false, false},
		"gRPC":                 {relay.Request{Path: path, Framing: relay.Chunked, Fields: field("Content-Type", "application/grpc")}, false, false},
		"a head":               {relay.Request{Path: path, Fields: field("Cookie", strings.Repeat("x", smallHead-100))}, false, true},
		"a larger head":        {relay.Request{Path: path, Fields: field("Cookie", strings.Repeat("x", smallHead))}, false, false},
		"a head of many lines": {relay.Request{Path: path, Query: "?" + strings.Repeat("x", smallHead)}, false, false},
	} {
		x := &exchange{}
		x.Request = c.req
		if got := x.small(uploading{whole: c.whole}); got != c.shares {
			t.Errorf("%s: shares %v", name, got)
		}
	}
}
