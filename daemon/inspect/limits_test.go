package inspect_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// taping drives an inspector without connections, at times of its own.
type taping struct {
	t   testing.TB
	i   *inspect.Inspector
	of  *inspect.Recorder
	mu  sync.Mutex
	now time.Time
}

func newTaping(t testing.TB, keep local.Inspect) *taping {
	x := &taping{t: t, now: time.Unix(1_700_000_000, 0)}
	x.i = inspect.New(inspect.Config{Inspect: keep, Now: x.time})
	x.of = x.i.Recorder(inspect.Tunnel{ID: "tun_1", Name: func() string { return "shop/dev" }})
	return x
}

func (x *taping) time() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now
}

func (x *taping) pass(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = x.now.Add(d)
}

// begin begins an exchange on a tape.
func (x *taping) begin(tape forward.Tape, path string) bool {
	req := relay.Request{Method: "POST", Host: "shop.example", Path: mezu.Path{Path: path}}
	ok := tape.Begin(&forward.Begun{At: x.time(), Info: &preface.Request{Client: client, ID: "id" + path}, Request: &req}) != forward.Nothing
	if ok {
		tape.Head(forward.PartRequest, []byte("POST "+path+" HTTP/1.1\r\nHost: shop.example\r\n\r\n"))
	}
	return ok
}

// one records a whole exchange with a response's body.
func (x *taping) one(path string, status, body int) {
	tape := x.of.Tape("fra-1")
	defer tape.Close()
	if x.begin(tape, path) {
		tape.Head(forward.PartResponse, fmt.Appendf(nil, "HTTP/1.1 %d OK\r\n\r\n", status))
		tape.Piece(forward.Out, make([]byte, body))
		tape.End(&forward.Outcome{Status: status, BytesOut: int64(body)})
	}
}

// paths are those that are kept, newest first.
func (x *taping) paths() (out []string) {
	all, _, _ := x.i.List(inspect.Query{})
	for _, r := range all {
		out = append(out, r.Path)
	}
	return out
}

func (x *taping) keeps(want ...string) {
	x.t.Helper()
	if got := x.paths(); !slices.Equal(got, want) {
		x.t.Errorf("keeps %q, want %q", got, want)
	}
}

// The oldest that has ended goes first; pinned ones and open ones stay.
func TestRoom(t *testing.T) {
	x := newTaping(t, local.Inspect{Exchanges: 3, Bytes: local.LeastExchangeBytes})
	long := x.of.Tape("fra-1")
	defer long.Close()
	x.begin(long, "/long")
	for _, path := range []string{"/1", "/2", "/3", "/4"} {
		x.one(path, 200, 10)
	}
	x.keeps("/4", "/3", "/2", "/long")
	pinned, err := x.i.Pin("id/2", true)
	if err != nil || !pinned.Pinned {
		t.Fatal(pinned, err)
	}
	x.one("/5", 200, 10)
	x.one("/6", 200, 10)
	x.keeps("/6", "/5", "/2", "/long")
	state := x.i.State()
	if state.Kept != 3 || state.MaxKept != 3 || state.Pinned != 1 || state.OldestSequence != 6 || state.MaxBytes != local.LeastExchangeBytes {
		t.Errorf("%+v", state)
	}
	if _, err := x.i.Pin("id/2", false); err != nil {
		t.Fatal(err)
	}
	x.one("/7", 200, 10) // what was let go of counts as the last
	x.keeps("/7", "/6", "/2", "/long")
	long.End(&forward.Outcome{Status: 200})
	x.one("/8", 200, 10) // so does what has ended last, whenever it began
	x.keeps("/8", "/7", "/long")
	if r, err := x.i.Get("id/6"); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("%+v, %v", r, err)
	}
	if n := x.i.Clear(func(r *inspect.Record) bool { return r.Path != "/7" }); n != 2 {
		t.Errorf("%d were removed", n)
	}
	x.keeps("/7")
	if err := x.i.Remove("id/7"); err != nil {
		t.Error(err)
	}
	if state := x.i.State(); state.Bytes != 0 || state.Kept != 0 || state.OldestSequence != 10 {
		t.Errorf("%+v", state)
	}
}

// All that is kept is counted, bodies of open exchanges and frames too, and is never more than may
// be; one exchange leaves half of the room to others.
func TestBytes(t *testing.T) {
	x := newTaping(t, local.Inspect{Exchanges: mezu.MaxExchanges, Bytes: 8 << 20})
	most := func(what string) {
		t.Helper()
		if s := x.i.State(); s.Bytes > s.MaxBytes || s.Bytes < 0 {
			t.Fatalf("%s: %d of %d bytes", what, s.Bytes, s.MaxBytes)
		}
	}
	for range 40 {
		x.one("/big", 200, 3<<20)
		most("ended ones")
	}
	if r, _ := x.i.Get("id/big"); r != nil {
		t.Error("several have that id")
	}
	all, _, _ := x.i.List(inspect.Query{})
	if n := len(all); n != 7 || all[0].ResponseBody.Size != 3<<20 || all[0].ResponseBody.Kept() != mezu.MaxKeptBody {
		t.Errorf("%d are kept: %+v", n, all[0].ResponseBody)
	}
	var open []forward.Tape
	for range 20 {
		tape := x.of.Tape("fra-1")
		open = append(open, tape)
		if x.begin(tape, "/open") {
			tape.Piece(forward.In, make([]byte, 2<<20))
			tape.Piece(forward.Out, make([]byte, 2<<20))
		}
		most("open ones")
	}
	socket := x.of.Tape("fra-1")
	for _, tape := range open {
		tape.Close()
	}
	if s := x.i.State(); s.Bytes > 64<<10 {
		t.Errorf("%+v behind the end of all", s)
	}
	req := relay.Request{Method: "GET", Host: "shop.example", Path: mezu.Path{Path: "/ws"}, Upgrade: "websocket"}
	socket.Begin(&forward.Begun{At: x.time(), Info: &preface.Request{ID: "id/ws"}, Request: &req, Upgrade: "websocket"})
	socket.Head(forward.PartResponse, []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
	socket.Upgraded()
	frame := append([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}, make([]byte, 64<<10)...)
	for range 200 {
		socket.Piece(forward.Out, frame)
		most("frames")
	}
	r, err := x.i.Get("id/ws")
	if err != nil {
		t.Fatal(err)
	}
	page, total, first := r.Frames(0, mezu.MaxFrames)
	if total != 200 || len(page) < 40 || len(page) > 64 || first != 201-len(page) || page[0].Number != first || len(page[0].Data) != mezu.MaxKeptFrame {
		t.Errorf("%d of %d frames, from %d on", len(page), total, first)
	}
	socket.End(&forward.Outcome{Status: 101})
	socket.Close()
	most("at the end")
	x.i.Clear(nil)
	if s := x.i.State(); s.Bytes != 0 {
		t.Errorf("%d bytes of nothing", s.Bytes)
	}
}

// Many streams that have only begun their frames take no more than may be kept, either.
func TestManyStreams(t *testing.T) {
	x := newTaping(t, local.Inspect{Bytes: local.LeastExchangeBytes})
	socket := func(n int) (forward.Tape, bool) {
		tape := x.of.Tape("fra-1")
		req := relay.Request{Method: "GET", Host: "shop.example", Path: mezu.Path{Path: "/ws"}, Upgrade: "websocket"}
		if tape.Begin(&forward.Begun{At: x.time(), Info: &preface.Request{ID: fmt.Sprint("id/", n)}, Request: &req, Upgrade: "websocket"}) == forward.Nothing {
			return tape, false
		}
		tape.Head(forward.PartResponse, []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
		tape.Upgraded()
		return tape, true
	}
	begun := append([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}, make([]byte, 40<<10)...)
	for n := range 500 {
		tape, ok := socket(n)
		defer tape.Close()
		if ok {
			tape.Piece(forward.Out, begun)
			tape.Piece(forward.Out, begun[:100])
		}
		if s := x.i.State(); s.Bytes > s.MaxBytes || s.Bytes < 0 {
			t.Fatalf("%d streams take %d of %d bytes", n+1, s.Bytes, s.MaxBytes)
		}
	}
	all, _, _ := x.i.List(inspect.Query{})
	if len(all) < 60 {
		t.Errorf("%d streams are kept", len(all))
	}
	for _, r := range all[len(all)/2:] {
		r.FrameCount() // as lists do
	}
	if s := x.i.State(); s.Bytes > s.MaxBytes {
		t.Errorf("%d bytes, once they were looked at", s.Bytes)
	}
}

// Past a thousand a second bodies are left out, past five thousand all but failures, and again
// less is left out when there are far fewer.
func TestRates(t *testing.T) {
	x := newTaping(t, local.Inspect{Exchanges: mezu.MaxExchanges})
	second := func(n int) {
		for range n {
			x.one("/", 200, 5)
			x.pass(time.Second / time.Duration(n))
		}
		x.pass(time.Millisecond)
	}
	depth := func(want mezu.ExchangeDepth) {
		t.Helper()
		if s := x.i.State(); s.Depth != want {
			t.Errorf("depth %s, want %s", s.Depth, want)
		}
	}
	newest := func() *inspect.Record {
		page, _, _ := x.i.List(inspect.Query{Most: 1})
		return page[0]
	}
	second(900)
	depth(mezu.DepthAll)
	if r := newest(); r.Depth != mezu.DepthAll || r.ResponseBody.Kept() != 5 {
		t.Errorf("%+v", r)
	}
	second(1100)
	depth(mezu.DepthHeads)
	if r := newest(); r.Depth != mezu.DepthHeads || r.ResponseBody.Kept() != 0 || r.ResponseBody.Size != 5 || r.Response.Line() == "" {
		t.Errorf("%+v", r)
	}
	second(900)
	depth(mezu.DepthHeads)
	second(700)
	depth(mezu.DepthAll)
	second(6000)
	depth(mezu.DepthNone)
	left := x.i.State().LeftOut
	if left == 0 || left > 1100 {
		t.Errorf("%d left out", left)
	}
	x.one("/broken", 502, 5)
	if r := newest(); r.Path != "/broken" || r.Depth != mezu.DepthNone || r.Request.Line() == "" || r.ResponseBody.Kept() != 0 {
		t.Errorf("%+v", r)
	}
	x.one("/fine", 404, 5)
	if s := x.i.State(); s.LeftOut != left+1 || newest().Path != "/broken" {
		t.Errorf("%+v", s)
	}
	second(4500)
	depth(mezu.DepthNone)
	second(3000)
	depth(mezu.DepthHeads)
	x.pass(time.Minute)
	depth(mezu.DepthAll)
}

// An id may be shortened as long as it is one's.
func TestIDs(t *testing.T) {
	x := newTaping(t, local.Inspect{})
	for n := range 40 {
		x.one(fmt.Sprint("/", n), 200, 0)
	}
	all, _, _ := x.i.List(inspect.Query{})
	for _, r := range all {
		if got, err := x.i.Get(strings.ToUpper(r.ID)); err != nil || got != r {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if r, err := x.i.Get("id/39"); err != nil || r.Path != "/39" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := x.i.Get("id/3"); err != nil || r.Path != "/3" { // a whole one, though others begin so
		t.Errorf("%+v, %v", r, err)
	}
	_, err := x.i.Get("id/")
	if mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), "35 more") || strings.Count(err.Error(), "POST /") != 5 {
		t.Error(err)
	}
	for _, id := range []string{"", "g", "id/40"} {
		if r, err := x.i.Get(id); err == nil {
			t.Errorf("%q gives %+v", id, r)
		}
	}
}

// Pages go on where the last one ended, and changes are told by their revision.
func TestPagesAndChanges(t *testing.T) {
	x := newTaping(t, local.Inspect{})
	for n := range 10 {
		x.one(fmt.Sprint("/", n), 200, 0)
	}
	var got []string
	for before := uint64(0); ; {
		page, next, _ := x.i.List(inspect.Query{Most: 4, Before: before, Match: func(r *inspect.Record) bool { return r.Path != "/5" }})
		for _, r := range page {
			got = append(got, r.Path)
		}
		if before = next; next == 0 {
			break
		}
	}
	if want := "/9 /8 /7 /6 /4 /3 /2 /1 /0"; strings.Join(got, " ") != want {
		t.Errorf("pages of %q", got)
	}
	_, _, state := x.i.List(inspect.Query{})
	tape := x.of.Tape("fra-1")
	defer tape.Close()
	x.begin(tape, "/new")
	since := func() (out []string) {
		page, _, now := x.i.List(inspect.Query{ChangedAfter: state.Revision})
		state = now
		for _, r := range page {
			out = append(out, r.Path)
		}
		return out
	}
	if got := since(); !slices.Equal(got, []string{"/new"}) {
		t.Errorf("%q changed", got)
	}
	if got := since(); got != nil {
		t.Errorf("%q changed", got)
	}
	tape.Piece(forward.Out, []byte("x")) // somebody has seen it without
	if got := since(); !slices.Equal(got, []string{"/new"}) {
		t.Errorf("%q changed", got)
	}
	if _, err := x.i.Pin("id/3", true); err != nil {
		t.Fatal(err)
	}
	if got := since(); !slices.Equal(got, []string{"/3"}) {
		t.Errorf("%q changed", got)
	}
}

// Fifty are pinned and no more, an open one among them, and they take half of the room at most.
func TestPins(t *testing.T) {
	x := newTaping(t, local.Inspect{Exchanges: 100, Bytes: 8 << 20})
	open := x.of.Tape("fra-1")
	x.begin(open, "/open")
	if r, err := x.i.Pin("id/open", true); err != nil || !r.Pinned {
		t.Fatal(r, err)
	}
	for n := range mezu.MaxPinned {
		path := fmt.Sprint("/", n)
		x.one(path, 200, 0)
		_, err := x.i.Pin("id"+path, true)
		if full := n == mezu.MaxPinned-1; full != (mezu.CodeOf(err) == mezu.CodeConflict) {
			t.Fatalf("pin %d: %v", n, err)
		}
	}
	open.End(&forward.Outcome{Status: 200})
	if r, err := x.i.Get("id/open"); err != nil || !r.Pinned || r.Open || x.i.State().Pinned != mezu.MaxPinned {
		t.Errorf("%+v, %v, %d", r, err, x.i.State().Pinned)
	}
	open.Close()
	if n := x.i.Clear(nil); n != 1 {
		t.Errorf("%d were removed", n)
	}
	for _, path := range x.paths() {
		if err := x.i.Remove("id" + path); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		path := fmt.Sprint("/big", n)
		x.one(path, 200, mezu.MaxKeptBody)
		_, err := x.i.Pin("id"+path, true)
		if over := n >= 3; over != (mezu.CodeOf(err) == mezu.CodeConflict) {
			t.Errorf("pin %d: %v", n, err)
		}
	}
	if s := x.i.State(); s.Pinned != 3 || s.Kept != 5 {
		t.Errorf("%+v", s)
	}
}

// seeded is a body of that many bytes.
func seeded(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), n) }

// Of a body without an end the beginning is kept, and the memory for that.
func TestLargeBodies(t *testing.T) {
	const size = 48 << 20
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).EnableFullDuplex()
		io.Copy(rw, r.Body)
	})
	for _, scheme := range []string{"http", "h2c"} {
		i := inspect.New(inspect.Config{Inspect: local.Inspect{Bytes: 8 << 20}})
		w := newWorld(t, scheme+strings.TrimPrefix(s.URL, "http"), i, nil)
		r, err := http.NewRequest(http.MethodPost, w.url+"/", seeded(size))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := visitor.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || n != size {
			t.Fatal(n, err)
		}
		begin, err := io.ReadAll(seeded(mezu.MaxKeptBody))
		if err != nil {
			t.Fatal(err)
		}
		rec := w.last()
		for name, b := range map[string]*inspect.Body{"request": &rec.RequestBody, "response": &rec.ResponseBody} {
			if b.Size != size || !bytes.Equal(b.Bytes(), begin) {
				t.Errorf("%s, %s: %d bytes, %d kept", scheme, name, b.Size, b.Kept())
			}
		}
		if s := i.State(); s.Bytes > 2*mezu.MaxKeptBody+256<<10 {
			t.Errorf("%d bytes are kept", s.Bytes)
		}
		if _, err := rec.Repeat("", local.Replay{}); mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), "first 1048576 are kept") {
			t.Error(err)
		}
	}
}

// While failures alone are kept, a request that goes well is told to nobody, and of one that fails
// there is its head, the workload and what that answered.
func TestOnlyFailures(t *testing.T) {
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // an answer may end an upload that has not begun
		if r.URL.Path == "/broken" {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(rw, "body")
	})
	for _, scheme := range []string{"http", "h2c"} {
		i := inspect.New(inspect.Config{})
		w := newWorld(t, scheme+strings.TrimPrefix(s.URL, "http"), i, nil)
		// Its clock is ahead, so that the rate stays.
		tape := w.recorder.Tape("fra-1")
		for range 6000 {
			tape.Begin(&forward.Begun{At: time.Now().Add(time.Hour), Info: &preface.Request{}, Request: &relay.Request{}})
		}
		tape.Close()
		i.Clear(nil)
		left := i.State().LeftOut
		if status, body := w.do(http.MethodPost, "/fine", strings.NewReader("sent")); status != 200 || body != "body" {
			t.Errorf("%s: %d %q", scheme, status, body)
		}
		eventually(t, "it is counted", func() bool { return i.State().LeftOut == left+1 })
		if n := i.State().Kept; n > 0 {
			t.Errorf("%s: %d kept", scheme, n)
		}
		if status, _ := w.do(http.MethodPost, "/broken", strings.NewReader("sent")); status != 503 {
			t.Errorf("%s: status %d", scheme, status)
		}
		r := w.last()
		if r.Depth != mezu.DepthNone || r.Request.Line() != "POST /broken HTTP/1.1" || !strings.HasPrefix(r.Response.Line(), "HTTP/1.1 503 ") || !strings.HasPrefix(r.Returned.Line(), "HTTP/1.1 503 ") ||
			r.Upstream == "" || r.BytesIn != 4 || r.BytesOut != 4 || r.RequestBody.Kept()+r.ResponseBody.Kept() > 0 || len(r.Sent.Head) > 0 {
			t.Errorf("%s: %+v", scheme, r)
		}
		if status, _ := w.get("/private/x"); status != 403 {
			t.Errorf("%s: status %d", scheme, status)
		}
		if r := w.last(); r.Path != "/private/x" || r.Code == "" || r.Status != 403 {
			t.Errorf("%s: %+v", scheme, r)
		}
	}
}

// Readers, writers and those who pin and clear at the same time.
func TestAtOnce(t *testing.T) {
	x := newTaping(t, local.Inspect{Exchanges: 50, Bytes: local.LeastExchangeBytes})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			tape := x.of.Tape("fra-1")
			defer tape.Close()
			for k := range 200 {
				if !x.begin(tape, fmt.Sprint("/", n, "/", k)) {
					continue
				}
				var both sync.WaitGroup
				both.Go(func() { tape.Piece(forward.In, make([]byte, 100*k)) })
				tape.Head(forward.PartResponse, []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"))
				tape.Piece(forward.Out, []byte("data: x\n\n"))
				both.Wait()
				tape.End(&forward.Outcome{Status: 200})
			}
		})
	}
	for range 3 {
		all.Go(func() {
			for k := range 100 {
				page, _, _ := x.i.List(inspect.Query{Match: func(r *inspect.Record) bool { return r.FrameCount() < 2 }})
				for n, r := range page {
					switch {
					case n%7 == k%7:
						x.i.Pin(r.ID, k%2 == 0)
					case n%11 == k%11:
						x.i.Remove(r.ID)
					}
				}
			}
			x.i.Clear(nil)
		})
	}
	all.Wait()
	for _, r := range x.paths() {
		x.i.Remove("id" + r)
	}
	if s := x.i.State(); s.Bytes != 0 || s.Pinned != 0 || s.Kept != 0 {
		t.Errorf("%+v of nothing", s)
	}
}
