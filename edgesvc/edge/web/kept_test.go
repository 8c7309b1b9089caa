package web

import (
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// pieces is a body that comes in these pieces.
type pieces struct{ left []string }

func (p *pieces) Next() ([]byte, error) {
	if len(p.left) == 0 {
		return nil, io.EOF
	}
	b := p.left[0]
	p.left = p.left[1:]
	return []byte(b), nil
}
func (p *pieces) Ready() bool            { return true }
func (p *pieces) Trailer() []relay.Field { return nil }

// keep makes what keeps a body of an exchange.
func keep(t *testing.T, most int, body ...string) (*kept, *counts) {
	t.Helper()
	x, meter, _ := newExchange(t, t.Context())
	x.s.kept.init(most)
	x.Environment, x.Exchange.Client = "e", netip.MustParseAddr("192.0.2.1")
	return &kept{x: x, src: &pieces{body}}, meter
}

// all reads a body to its end.
func all(t *testing.T, src relay.Source) (out string) {
	t.Helper()
	for {
		p, err := src.Next()
		out += string(p)
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A body that fits is kept as a whole and can begin anew. Of another the beginning is kept, and goes
// on before the rest.
func TestKept(t *testing.T) {
	k, _ := keep(t, 1<<20, "abc", "def")
	whole, err := k.fill(6)
	k.complete = whole
	if err != nil || !whole || string(k.body) != "abcdef" || all(t, k) != "abcdef" || !k.Rewind() || all(t, k) != "abcdef" {
		t.Errorf("%v, %v, %q", whole, err, k.body)
	}
	if k.x.s.KeptBytes() == 0 {
		t.Error("no memory was asked for")
	}
	if k.free(); k.x.s.KeptBytes() != 0 {
		t.Errorf("%d bytes are left", k.x.s.KeptBytes())
	}
	k, _ = keep(t, 1<<20, "abc", "def", "ghi")
	whole, err = k.fill(4)
	if err != nil || whole || all(t, k) != "abcdefghi" || k.Rewind() {
		t.Errorf("%v, %v, %q", whole, err, k.body)
	}
}

// Where bodies have taken all the memory that they may, the next one is refused.
func TestKept_MemoryIsBounded(t *testing.T) {
	k, _ := keep(t, 64<<10, make([]string, 0)...)
	k.src = &pieces{[]string{string(make([]byte, 20<<10)), string(make([]byte, 20<<10)), string(make([]byte, 20<<10))}}
	_, err := k.fill(1 << 20)
	if mezu.CodeOf(err) != mezu.CodeOverloaded {
		t.Error(err)
	}
	if k.free(); k.x.s.KeptBytes() != 0 {
		t.Errorf("%d bytes are left", k.x.s.KeptBytes())
	}
}

// judging is a Judge of which each method is one function.
type judging struct {
	write func([]byte) ([]byte, error)
	end   func() ([]byte, error)
}

func (j judging) Write(b []byte) ([]byte, error) { return j.write(b) }
func (j judging) End() ([]byte, error)           { return j.end() }
func (judging) Held() int                        { return 0 }

// What is judged as it comes goes on as far as the judge lets it.
func TestKept_Judged(t *testing.T) {
	held := ""
	k, _ := keep(t, 1<<20, "a", "b", "c", "d")
	k.x.Judge = judging{func(b []byte) ([]byte, error) { // two and two
		if held += string(b); len(held) < 2 {
			return nil, nil
		}
		out := held
		held = ""
		return []byte(out), nil
	}, func() ([]byte, error) { return []byte("!"), nil }}
	if err := k.first(); err != nil || string(k.body) != "ab" || all(t, k) != "abcd!" || k.Rewind() {
		t.Errorf("%v, %q", err, k.body)
	}
	refusal := &mezu.Error{Code: mezu.CodeForbidden}
	k, _ = keep(t, 1<<20, "a", "b")
	k.x.Judge = judging{func(b []byte) ([]byte, error) { return b, nil }, func() ([]byte, error) { return nil, refusal }}
	if err := k.first(); err != nil {
		t.Fatal(err)
	}
	k.Next()
	k.Next()
	if _, err := k.Next(); !errors.Is(err, refusal) {
		t.Error(err)
	}
}

// A panic of who judges a body costs that request a 500, wherever the body was: what was not judged
// does not go on.
func TestP36_PanicOfAJudge(t *testing.T) {
	n := 0
	k, meter := keep(t, 1<<20, "a", "b", "c")
	k.x.Judge = judging{func(b []byte) ([]byte, error) {
		if n++; n == 2 {
			panic("inside")
		}
		return b, nil
	}, nil}
	if err := k.first(); err != nil || string(k.body) != "a" {
		t.Fatal(err)
	}
	k.Next()
	p, err := k.Next()
	if p != nil || mezu.CodeOf(err) != mezu.CodeInternal || meter.panics != 1 || !k.x.broken {
		t.Errorf("%q, %v, %d panics", p, err, meter.panics)
	}
	n = 1
	if err := k.first(); mezu.CodeOf(err) != mezu.CodeInternal {
		t.Errorf("the first piece: %v", err)
	}
}
