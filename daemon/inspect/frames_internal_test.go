package inspect

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/frame"
)

// failing is a parser with a mistake.
type failing struct{}

func (failing) Write(time.Time, []byte, func(frame.Raw)) { panic("a mistake") }
func (failing) Close(time.Time, func(frame.Raw))         { panic("another one") }
func (failing) Held() int                                { return 0 }

// A mistake of a parser costs the frames of one direction, and no request.
func TestParserFails(t *testing.T) {
	i := New(Config{})
	f := &frames{i: i}
	f.parsers = [2]frame.Parser{failing{}, frame.NewEvents()}
	f.write(time.Now(), false, []byte("anything"), false)
	f.write(time.Now(), true, []byte("data: still here\n\n"), false)
	f.end(time.Now(), false)
	page, total, _ := f.page(0, 10)
	if total != 2 || page[0].Kind != mezu.FrameBroken || page[0].Out || page[0].Problem == "" || string(page[1].Data) != "still here" {
		t.Errorf("%d: %+v", total, page)
	}
	i.release(f.size())
	if s := i.State(); s.Bytes != 0 {
		t.Errorf("%d bytes of nothing", s.Bytes)
	}
}
