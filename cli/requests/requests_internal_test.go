package requests

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSplitWords(t *testing.T) {
	for command, want := range map[string][]string{
		"vi": {"vi"}, "code --wait": {"code", "--wait"}, "  a \t b ": {"a", "b"}, `"C:\Program Files\ed.exe" -w`: {`C:\Program Files\ed.exe`, "-w"},
		`'/App s/e'x "" y`: {"/App s/ex", "", "y"},
	} {
		if got, err := splitWords(command); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
	for _, command := range []string{"", "  ", `''`, `vi "a`, "'"} {
		if got, err := splitWords(command); exit.Of(err) != exit.Usage {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
}

// on is a command at a terminal of so many columns.
func on(columns int, unicode bool) *command {
	return &command{Invocation: &invocation.Invocation{Streams: terminal.Streams{OutTerminal: true, ColorOff: true, Unicode: unicode, Columns: func() int { return columns }}}}
}

func TestLine(t *testing.T) {
	denied := 7
	at := time.Date(2026, 11, 26, 14, 2, 27, 0, time.Local)
	for _, c := range []struct {
		name    string
		columns int
		several bool
		e       mezu.Exchange
		want    string
	}{
		{"a hook", 80, false, mezu.Exchange{ID: "7f3a91c2d0", Method: "POST", Path: "/hooks/stripe", Query: "?x=1", Status: 500, StartedAt: at, DurationMS: 41, BytesOut: 312, Pinned: true, ReplayOf: "7f"},
			"7f3a91c2  14:02:27  POST   500       41 ms     312 B  /hooks/stripe?x=1     – ★↻"},
		{"nothing sent back", 80, false, mezu.Exchange{ID: "7f", Method: "GET", Path: "/", Status: 304, StartedAt: at, DurationMS: 1, User: "ada@example.com"},
			"7f        14:02:27  GET    304        1 ms         –  /          ada@example.com"},
		{"a socket", 80, false, mezu.Exchange{ID: "7f3a91c2", Kind: mezu.ExchangeWebSocket, Method: "GET", Path: "/", Query: "?token=••••••", Status: 101, StartedAt: at, Open: true, Frames: 18},
			"7f3a91c2  14:02:27  WS     101        open    18 msg  /?token=••••••           –"},
		{"gRPC", 80, false, mezu.Exchange{ID: "7f3a91c2", Kind: mezu.ExchangeGRPC, Method: "POST", Path: "/shop.v1.Orders/Watch", Status: 200, GRPCStatus: &denied, StartedAt: at, DurationMS: 9, Frames: 5},
			"7f3a91c2  14:02:27  gRPC   7          9 ms     5 msg  /shop.v1.Orders/Watch    –"},
		{"no answer", 100, false, mezu.Exchange{ID: "7f3a91c2", Method: "POST", Path: "/\x1b[2J", Code: mezu.CodeWorkloadRefused, StartedAt: at},
			`7f3a91c2  14:02:27  POST   –          0 ms         –  /\x1b[2J                    workload_refused –`},
		{"of several", 100, true, mezu.Exchange{ID: "7f3a91c2", Tunnel: "shop/dev-ada-documentation", Method: "PROPFIND", Path: "/" + strings.Repeat("a", 99), Status: 207, StartedAt: at, BytesOut: 1},
			"7f3a91c2  14:02:27  shop/dev-ada-do…  PROPF… 207        0 ms       1 B  /aaaaaaaaaaaaaaaaaaaaaaa…  –"},
	} {
		if got := on(c.columns, true).line(c.e, c.several); got != c.want {
			t.Errorf("%s:\n%s\n%s", c.name, got, c.want)
		}
	}
	plain := on(80, false).line(mezu.Exchange{ID: "7f", Method: "GET", Path: "/", Query: "?t=" + mezu.Mask, StartedAt: at, Pinned: true, ReplayOf: "1"}, false)
	for _, r := range plain {
		if r > '~' {
			t.Errorf("%q has %q where the locale has ASCII only", plain, r)
		}
	}
	if head := on(80, true).heading(false); head != "ID        TIME      METHOD STATUS     TIME      SIZE  PATH                  USER" {
		t.Errorf("%q", head)
	}
}

// What is shown of a head says what became of it, and masks are counted.
func TestChanges(t *testing.T) {
	p := &detailPage{showOptions: &showOptions{command: on(80, true)}}
	from := mezu.ExchangeMessage{Line: "GET / HTTP/1.1", Fields: []mezu.ExchangeField{{Name: "A", Value: "1"}, {Name: "A", Value: "1"}, {Name: "Host", Value: "x"}, {Name: "Cookie", Value: mezu.Mask, Masked: true}}}
	to := mezu.ExchangeMessage{Line: "GET / HTTP/2", Fields: []mezu.ExchangeField{{Name: "A", Value: "1"}, {Name: "Host", Value: "localhost\x1b"}, {Name: "Cookie", Value: mezu.Mask, Masked: true}}}
	p.changes("as sent", &from, &to)
	if got, want := p.b.String(), "\n── as sent ──\n- GET / HTTP/1.1\n+ GET / HTTP/2\n- A: 1\n- Host: x\n+ Host: localhost\\x1b\n"; got != want {
		t.Errorf("%q", got)
	}
	p.b.Reset()
	p.changes("as sent", &from, &from)
	p.message(&from)
	if got := p.b.String(); got != "GET / HTTP/1.1\nA: 1\nA: 1\nHost: x\nCookie: ••••••\n" || p.masked != 1 {
		t.Errorf("%q, %d", got, p.masked)
	}
}
