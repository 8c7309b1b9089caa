package inspect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/inspect/frame"
	"github.com/mezusphere/mezu/relay"
)

// Tunnel is what an Inspector has to know of a tunnel.
type Tunnel struct {
	ID string
	// Name is asked when an exchange begins.
	Name func() string
	// Reads reports whether somebody wants to hear of frames, and Frame is called with each of an
	// exchange under way if so. record gives the exchange, until Frame returns. Both may be nil.
	Reads func() bool
	Frame func(record func() *Record, f *Frame)
}

// Recorder records the exchanges of one tunnel. It is a forward.Recorder, and safe for concurrent
// use.
type Recorder struct {
	i   *Inspector
	of  Tunnel
	off atomic.Bool
}

// Recorder makes one.
func (i *Inspector) Recorder(of Tunnel) *Recorder { return &Recorder{i: i, of: of} }

// SetOff says whether the exchanges that begin from now on are left out.
func (r *Recorder) SetOff(off bool) { r.off.Store(off) }

// Tape gives what records a data connection.
func (r *Recorder) Tape(edge string) forward.Tape { return r.add(&Tape{r: r, edge: edge}) }

func (r *Recorder) add(t *Tape) *Tape {
	r.i.mu.Lock()
	defer r.i.mu.Unlock()
	r.i.tapes[t] = struct{}{}
	return t
}

// Replay gives a tape for a request that repeats an exchange. began is called with the id of the one
// that it makes, ended when that has ended.
func (r *Recorder) Replay(of *Record, began func(id string), ended func()) *Tape {
	return r.add(&Tape{r: r, replayOf: of.ID, began: began, ended: ended})
}

// Tape records the exchanges of one data connection, one after another.
type Tape struct {
	r        *Recorder
	edge     string
	replayOf string
	began    func(id string) // nil if nobody wants to know
	ended    func()

	mu   sync.Mutex
	open bool // there is an exchange under way
	x    exchange
}

// parts is how many heads an exchange has, but for 1xx.
const parts = int(forward.PartReturned) + 1

// exchange is one that is under way.
type exchange struct {
	id       uint64
	sequence uint64
	revision uint64
	depth    mezu.ExchangeDepth
	at       time.Time
	pinned   bool

	requestID, method, host, path, query string
	client                               netip.Addr
	upgrade                              string
	route, user, tunnel, warpgate        string
	upstream                             mezu.Upstream

	// arena holds all texts, of which the others are parts.
	arena    *[]byte
	reserved int64 // for it
	heads    [parts]span
	interims []span
	trailers [2]span
	grant    span

	kind     mezu.ExchangeKind
	upgraded bool
	bodies   [2]collected
	frames   *frames

	timing mezu.ExchangeTiming
	status int // of the response, while there is no outcome
}

// span is a part of the arena.
type span struct{ from, to int }

func (s span) of(arena []byte) []byte {
	if s.to == 0 {
		return nil
	}
	return arena[s.from:s.to:s.to]
}

const (
	// arenaSize has room for the usual heads. One that has grown above maxArena is not used
	// again.
	arenaSize = 4 << 10
	maxArena  = 16 << 10
	// recordSize is about what a record takes beside its texts.
	recordSize = 1 << 10
)

// arenas are those that no exchange has.
var arenas = sync.Pool{New: func() any { b := make([]byte, 0, arenaSize); return &b }}

// Begin begins an exchange. A replay that isn't kept ends here: nobody would see what comes of it.
func (t *Tape) Begin(b *forward.Begun) forward.Interest {
	wants := t.begin(b)
	if wants == forward.Nothing && t.ended != nil {
		t.ended()
	}
	return wants
}

func (t *Tape) begin(b *forward.Begun) forward.Interest {
	i := t.r.i
	if t.r.off.Load() {
		return forward.Nothing
	}
	depth := i.rate.begin(b.At)
	if t.replayOf != "" {
		depth = mezu.DepthAll // somebody waits for it
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open { // nobody said how the last one ended
		t.drop()
	}
	arena := arenas.Get().(*[]byte)
	room := int64(cap(*arena)) + recordSize
	if !i.reserve(room) {
		arenas.Put(arena)
		i.leftOut.Add(1)
		return forward.Nothing
	}
	req := b.Request
	t.x = exchange{
		id: rand.Uint64() >> (64 - 4*idDigits), sequence: i.sequence.Add(1), revision: i.change(), depth: depth, at: b.At,
		requestID: b.Info.ID, method: req.Method, host: req.Host, path: req.Path.Path, query: req.Query, client: b.Info.Client, upgrade: b.Upgrade,
		tunnel: t.r.of.Name(), warpgate: b.Warpgate, arena: arena, reserved: room, kind: mezu.ExchangeHTTP, interims: t.x.interims[:0],
	}
	t.x.bodies[0].full, t.x.bodies[1].full = depth != mezu.DepthAll, depth != mezu.DepthAll
	if len(b.Info.Grant) > 0 {
		t.x.grant, _ = t.keep(b.Info.Grant)
	}
	if depth == mezu.DepthAll {
		t.beginFrames(req.Fields)
	}
	t.open = true
	if t.began != nil {
		t.began(t.x.name())
	}
	if depth == mezu.DepthNone && b.Upgrade == "" {
		return forward.Failures
	}
	return forward.Everything
}

// name is the id.
func (x *exchange) name() string { return fmt.Sprintf("%0*x", idDigits, x.id) }

// beginFrames begins with the messages of a request.
func (t *Tape) beginFrames(fields []relay.Field) {
	var kind, encoding []byte
	for n := range fields {
		switch f := &fields[n]; {
		case f.Is("content-type"):
			kind = f.Value
		case f.Is("grpc-encoding"):
			encoding = f.Value
		}
	}
	if isGRPC(string(kind)) {
		t.x.kind = mezu.ExchangeGRPC
		t.parse(forward.In, frame.NewGRPC(string(encoding)))
	}
}

// parse has what goes in a direction be parted by p.
func (t *Tape) parse(d forward.Direction, p frame.Parser) {
	if t.x.frames == nil {
		t.x.frames = &frames{i: t.r.i}
	}
	f := t.x.frames
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parsers[d] = p
}

// keep puts a text into the arena, if there is room.
func (t *Tape) keep(text []byte) (span, bool) {
	a := *t.x.arena
	if need := len(a) + len(text); need > cap(a) {
		grown := max(2*cap(a), need)
		if more := int64(grown - cap(a)); !t.fits(more) || !t.r.i.reserve(more) {
			return span{}, false
		} else {
			t.x.reserved += more
		}
		a = append(make([]byte, 0, grown), a...)
	}
	from := len(a)
	a = append(a, text...)
	*t.x.arena = a
	return span{from, len(a)}, true
}

// fits reports whether the exchange may have so much more.
func (t *Tape) fits(more int64) bool {
	x := &t.x
	return x.reserved+x.bodies[0].room+x.bodies[1].room+more <= t.r.i.share()
}

// reserve takes room for a body.
func (t *Tape) reserve(n int64) bool { return t.fits(n) && t.r.i.reserve(n) }

// touched notes a change that somebody may want to see.
func (t *Tape) touched() {
	if t.x.revision <= t.r.i.looked.Load() { // else nobody has seen the last one
		t.x.revision = t.r.i.change()
	}
}

// Judged notes the route and the user.
func (t *Tape) Judged(route, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.x.route, t.x.user = route, user
}

// Target notes the workload.
func (t *Tape) Target(u mezu.Upstream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.x.upstream = u
}

// Head keeps a head.
func (t *Tape) Head(part forward.Part, text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return
	}
	x := &t.x
	if part == forward.PartInterim && len(x.interims) == relay.MaxInterim {
		return
	}
	s, ok := t.keep(text)
	switch {
	case !ok:
		return
	case part == forward.PartInterim:
		x.interims = append(x.interims, s)
	default:
		x.heads[part] = s
	}
	switch part {
	case forward.PartResponse, forward.PartReturned:
		if part == forward.PartResponse || x.status == 0 {
			x.status = statusOf(text)
		}
		t.touched()
	}
	if part == forward.PartResponse && x.depth == mezu.DepthAll {
		t.answerFrames(&Message{Head: s.of(*x.arena)})
	}
}

// answerFrames begins with the events or messages of a response.
func (t *Tape) answerFrames(head *Message) {
	x := &t.x
	switch kind := head.Field("content-type"); {
	case isGRPC(kind):
		x.kind = mezu.ExchangeGRPC
		t.parse(forward.Out, frame.NewGRPC(head.Field("grpc-encoding")))
	case isEvents(kind):
		x.kind = mezu.ExchangeEvents
		t.parse(forward.Out, frame.NewEvents())
	}
}

// Upgraded says that what comes is no body any more.
func (t *Tape) Upgraded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := &t.x
	x.upgraded, x.kind = true, mezu.ExchangeStream
	if x.upgrade != websocket {
		return
	}
	x.kind = mezu.ExchangeWebSocket
	if x.depth != mezu.DepthAll {
		return
	}
	head := Message{Head: x.heads[forward.PartResponse].of(*x.arena)}
	extensions := head.Field("sec-websocket-extensions")
	t.parse(forward.In, frame.NewWebSocket(extensions, false))
	t.parse(forward.Out, frame.NewWebSocket(extensions, true))
}

const websocket = "websocket"

// Piece keeps a piece of a body or stream.
func (t *Tape) Piece(d forward.Direction, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return
	}
	x := &t.x
	if x.upgraded {
		x.bodies[d].Size += int64(len(p))
	} else {
		x.bodies[d].add(p, t.reserve)
	}
	if x.frames != nil {
		t.say(x.frames.write(t.r.i.now(), d == forward.Out, p, t.hears()))
	}
	t.touched()
}

// hears reports whether somebody wants to hear of frames.
func (t *Tape) hears() bool { return t.r.of.Frame != nil && t.r.of.Reads() }

// say tells of frames.
func (t *Tape) say(all []Frame) {
	for n := range all {
		t.r.of.Frame(t.record, &all[n])
	}
}

// Rewind forgets the request's body.
func (t *Tape) Rewind() {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &t.x.bodies[forward.In]
	t.r.i.release(b.room)
	*b = collected{full: t.x.depth != mezu.DepthAll}
}

// Ended notes the end of a body, and keeps the fields behind it.
func (t *Tape) Ended(d forward.Direction, fields []relay.Field) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return
	}
	t.x.bodies[d].ended = true
	if d == forward.In && t.x.timing.UploadedMS == 0 { // until the last of it has gone out, which may never be
		t.x.timing.UploadedMS = t.after(t.r.i.now())
	}
	if len(fields) == 0 {
		return
	}
	var text []byte
	for n := range fields {
		text = append(append(text, fields[n].Name...), ": "...)
		text = append(append(text, fields[n].Value...), "\r\n"...)
	}
	t.x.trailers[d], _ = t.keep(text)
}

// after is a moment in milliseconds after the beginning.
func (t *Tape) after(at time.Time) float64 {
	return float64(at.Sub(t.x.at)) / float64(time.Millisecond)
}

// Connected notes the connection to the workload.
func (t *Tape) Connected(took time.Duration, reused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ms := float64(took) / float64(time.Millisecond)
	if t.x.timing.Reused = reused; reused {
		t.x.timing.QueuedMS = ms
	} else {
		t.x.timing.ConnectMS = ms
	}
}

// Mark notes a moment.
func (t *Tape) Mark(m forward.Mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := t.after(t.r.i.now())
	switch m {
	case forward.MarkSent:
		t.x.timing.SentMS = is
	case forward.MarkUploaded:
		t.x.timing.UploadedMS = is
	case forward.MarkFirstByte:
		t.x.timing.FirstByteMS = is
	}
}

// End ends the exchange: it is kept beside the others, or counted.
func (t *Tape) End(o *forward.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return
	}
	if t.ended != nil {
		defer t.ended()
	}
	x, i := &t.x, t.r.i
	if x.frames != nil {
		t.say(x.frames.end(i.now(), t.hears()))
	}
	if x.depth == mezu.DepthNone && !x.pinned && o.Status < 500 && o.Code == "" && o.Cause == "" {
		i.leftOut.Add(1)
		t.discard()
		return
	}
	r := t.record()
	r.Open, r.tape = false, nil
	r.Status, r.Code, r.Cause, r.Message, r.Duration = o.Status, o.Code, o.Cause, o.Message, o.Took
	r.BytesIn, r.BytesOut = o.BytesIn, o.BytesOut
	r.Timing.EndMS = float64(o.Took) / float64(time.Millisecond)
	// What it takes from now on is its own, and the arena goes to another.
	had := x.bodies[0].room + x.bodies[1].room + x.frames.size()
	r.size = had + recordSize + int64(cap(r.texts)) + int64(len(r.RequestID)+len(r.Path)+len(r.Query)+len(r.Message)+len(r.Upstream)+len(r.Route)+len(r.User))
	i.bytes.Add(r.size - had)
	x.bodies, x.frames = [2]collected{}, nil
	t.discard()
	i.put(r)
}

// discard gives back what the exchange under way has.
func (t *Tape) discard() {
	x, i := &t.x, t.r.i
	i.release(x.reserved + x.bodies[0].room + x.bodies[1].room + x.frames.size())
	if cap(*x.arena) <= maxArena {
		*x.arena = (*x.arena)[:0]
		arenas.Put(x.arena)
	}
	sequence, interims := x.sequence, x.interims[:0]
	t.x, t.open = exchange{sequence: sequence, interims: interims}, false
}

// Close says that there is no further exchange.
func (t *Tape) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open {
		t.drop()
	}
	t.r.i.mu.Lock()
	defer t.r.i.mu.Unlock()
	delete(t.r.i.tapes, t)
}

// drop forgets an exchange of which nobody said how it ended.
func (t *Tape) drop() {
	if t.x.pinned {
		t.r.i.mu.Lock()
		t.r.i.pins--
		t.r.i.mu.Unlock()
	}
	t.discard()
}

// pin pins the exchange under way, if it is still that one.
func (t *Tape) pin(sequence uint64, pinned bool) (done bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open || t.x.sequence != sequence {
		return false, nil
	}
	if t.x.pinned == pinned {
		return true, nil
	}
	t.r.i.mu.Lock()
	err = t.r.i.countPin(pinned)
	t.r.i.mu.Unlock()
	if err == nil {
		t.x.pinned, t.x.revision = pinned, t.r.i.change()
	}
	return true, err
}

// Sequence is that of the last exchange that has begun, zero if none has.
func (t *Tape) Sequence() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.x.sequence
}

// underWay gives the exchange under way, nil if there is none.
func (t *Tape) underWay() *Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return nil
	}
	return t.record()
}

// Record gives the exchange under way, or the last one, nil if there is none or it is not kept.
func (t *Tape) Record() *Record {
	if r := t.underWay(); r != nil {
		return r
	}
	return t.r.i.recent(t.Sequence())
}

// record is the exchange under way as it is now. Nothing in it changes later but its frames.
func (t *Tape) record() *Record {
	x, i := &t.x, t.r.i
	texts := slices.Clip(append([]byte(nil), *x.arena...))
	r := &Record{
		ID: x.name(), Sequence: x.sequence, Revision: x.revision, RequestID: x.requestID, TunnelID: t.r.of.ID, Tunnel: x.tunnel,
		Kind: x.kind, Depth: x.depth, Method: x.method, Host: x.host, Path: x.path, Query: x.query,
		Status: x.status, StartedAt: x.at, Duration: i.now().Sub(x.at), BytesIn: x.bodies[0].Size, BytesOut: x.bodies[1].Size, Timing: x.timing,
		Route: x.route, User: x.user, Edge: t.edge, Warpgate: x.warpgate,
		Request:     Message{Head: x.heads[forward.PartRequest].of(texts), Trailers: x.trailers[forward.In].of(texts)},
		Sent:        Message{Head: x.heads[forward.PartSent].of(texts)}, // trailers go on as they come
		Response:    Message{Head: x.heads[forward.PartResponse].of(texts), Trailers: x.trailers[forward.Out].of(texts)},
		Returned:    Message{Head: x.heads[forward.PartReturned].of(texts)},
		RequestBody: x.bodies[0].view(), ResponseBody: x.bodies[1].view(),
		Open: true, Pinned: x.pinned, ReplayOf: t.replayOf, frames: x.frames, tape: t, texts: texts, grant: x.grant.of(texts), client: x.client,
	}
	r.Sent.Trailers, r.Returned.Trailers = r.Request.Trailers, r.Response.Trailers
	if x.upgraded {
		r.RequestBody, r.ResponseBody = Body{}, Body{}
	}
	if x.client.IsValid() {
		r.Client = x.client.String()
	}
	if x.upstream.Address != "" {
		r.Upstream = x.upstream.String()
	}
	for _, s := range x.interims {
		r.Interims = append(r.Interims, Message{Head: s.of(texts)})
	}
	if r.Path == "" { // it was refused before it had one
		r.Method, r.Path = r.Request.target()
	}
	if x.depth == mezu.DepthHeads || x.depth == mezu.DepthNone {
		r.Kind = r.kindByHeads()
	}
	return r
}
