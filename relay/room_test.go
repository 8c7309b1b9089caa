package relay_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// TestTunnelRoom: a request of the largest size, in which every field grows when it
// is written anew, is still read at the other end of a tunnel, and nothing much
// larger is.
func TestTunnelRoom(t *testing.T) {
	var head strings.Builder
	head.WriteString("POST / HTTP/1.1\r\nHost:a.localhost\r\n")
	for i := range relay.MaxFields - 2 {
		fmt.Fprintf(&head, "X%03d:v\r\n", i)
	}
	fmt.Fprintf(&head, "Pad:%s\r\n\r\n", strings.Repeat("p", relay.MaxHead-head.Len()-len("Pad:\r\n\r\n")))
	read := func(text string, tunnel bool) error {
		r := relay.Reader{Tunnel: tunnel}
		r.Reset(strings.NewReader(text))
		var h relay.RequestHead
		return r.ReadRequest(&h)
	}
	r := relay.Reader{}
	r.Reset(strings.NewReader(head.String()))
	var h relay.RequestHead
	var req relay.Request
	var names relay.Names
	if err := errors.Join(r.ReadRequest(&h), h.Canonical(&req, &names)); err != nil {
		t.Fatal(err)
	}
	sent := string(req.Append(nil))
	if len(sent) <= relay.MaxHead {
		t.Fatalf("the head did not grow: %d bytes", len(sent))
	}
	if err := read(sent, true); err != nil {
		t.Errorf("on a tunnel: %v", err)
	}
	var refusal *mezu.Error
	if err := read(sent, false); !errors.As(err, &refusal) || refusal.Code != mezu.CodeHeaderTooLarge {
		t.Errorf("elsewhere: %v", err)
	}
	if err := read(strings.Replace(sent, "Pad: ", "Pad: "+strings.Repeat("p", 1<<10), 1), true); !errors.As(err, &refusal) || refusal.Code != mezu.CodeHeaderTooLarge {
		t.Errorf("larger still: %v", err)
	}
}
