package inspect

import (
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/frame"
)

const (
	// maxBacklog is how much of a stream waits to be parted into frames: until somebody asks,
	// the exchange ends, or there is this much. So requests wait for it seldom.
	maxBacklog = 64 << 10
	// frameSize is about what a frame takes beside its content, with the room that their list has.
	frameSize = 320
	// maxMarks is how many pieces these are at most, and markSize what the note of one takes.
	maxMarks = 1 << 10
	markSize = 48
)

// frames are those of one exchange: the last mezu.MaxFrames. It is safe for concurrent use.
type frames struct {
	i *Inspector

	mu      sync.Mutex
	parsers [2]frame.Parser // by direction; nil if there are none in it, or no more
	backlog []byte
	marks   []pieceMark // of what is in the backlog
	kept    []Frame
	oldest  int // in kept; what is before has gone
	total   int
	bytes   int64 // reserved
	parsing int64 // of these, for what is not parted yet
	told    []Frame
	tells   bool // frames that come are put into told
}

// pieceMark says where a piece of the backlog ends.
type pieceMark struct {
	end int
	out bool
	at  time.Time
}

func side(out bool) int {
	if out {
		return 1
	}
	return 0
}

// account counts what backlog and parsers hold. If there is no room for it, the backlog is parted at
// once, and if that doesn't help, this stream has no more frames.
func (f *frames) account() {
	if f.counted() {
		return
	}
	f.part()
	if f.backlog, f.marks = nil, nil; !f.counted() {
		f.parsers = [2]frame.Parser{}
		f.counted()
	}
}

// counted counts what is held now, at the cost of the oldest frames of the exchange. It reports
// whether there is room.
func (f *frames) counted() bool {
	holds := int64(cap(f.backlog)) + markSize*int64(cap(f.marks))
	for _, p := range f.parsers {
		if p != nil {
			holds += int64(p.Held())
		}
	}
	more := holds - f.parsing
	for more > 0 && !f.i.reserve(more) {
		if f.held() == 0 {
			return false
		}
		f.drop()
	}
	if more < 0 {
		f.i.release(-more)
	}
	f.parsing, f.bytes = holds, f.bytes+more
	return true
}

// write takes the next piece of a direction. If tell, it gives the frames that end in it.
func (f *frames) write(at time.Time, out bool, piece []byte, tell bool) []Frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parsers[side(out)] == nil {
		return nil
	}
	f.tells = tell
	for len(piece) > 0 {
		n := min(len(piece), maxBacklog)
		if len(f.backlog)+n > maxBacklog || len(f.marks) == maxMarks {
			f.part()
		}
		f.backlog = append(f.backlog, piece[:n]...)
		f.marks = append(f.marks, pieceMark{len(f.backlog), out, at})
		piece = piece[n:]
	}
	if tell {
		f.part()
	}
	f.account()
	return f.take()
}

// take gives the frames to tell of.
func (f *frames) take() []Frame {
	told := f.told
	f.told, f.tells = nil, false
	return told
}

// part parts the backlog into frames. The lock is held.
func (f *frames) part() {
	from := 0
	for _, m := range f.marks {
		f.parse(m.out, m.at, func(p frame.Parser, emit func(frame.Raw)) { p.Write(m.at, f.backlog[from:m.end], emit) })
		from = m.end
	}
	f.marks = f.marks[:0]
	if f.backlog = f.backlog[:0]; cap(f.backlog) > maxBacklog/4 {
		f.backlog = nil
	}
}

// parse calls the parser of a direction. Should it fail, this stream has no more frames, and
// nothing else suffers.
func (f *frames) parse(out bool, at time.Time, call func(frame.Parser, func(frame.Raw))) {
	p := f.parsers[side(out)]
	if p == nil {
		return
	}
	emit := func(raw frame.Raw) { f.keep(Frame{Out: out, Raw: raw}) }
	defer func() {
		if recover() != nil {
			f.parsers[side(out)] = nil
			emit(frame.Raw{At: at, Kind: mezu.FrameBroken, Problem: "the inspector failed to read what came here"})
		}
	}()
	call(p, emit)
}

// keep keeps a frame, at the cost of the oldest of the exchange. One for which there is no room is
// counted.
func (f *frames) keep(is Frame) {
	f.total++
	is.Number = f.total
	size := is.size()
	for f.held() > 0 && (f.held() == mezu.MaxFrames || f.bytes+size > f.i.share()) {
		f.drop()
	}
	for room := f.i.reserve(size); !room; room = f.i.reserve(size) {
		if f.held() == 0 {
			return
		}
		f.drop()
	}
	f.bytes += size
	f.kept = append(f.kept, is)
	if f.tells && len(f.told) < mezu.MaxFrames {
		f.told = append(f.told, is)
	}
}

// size is about what a frame takes.
func (f *Frame) size() int64 { return frameSize + int64(cap(f.Data)+len(f.Name)+len(f.Problem)) }

// held is how many frames are kept.
func (f *frames) held() int { return len(f.kept) - f.oldest }

// drop lets go of the oldest.
func (f *frames) drop() {
	size := f.kept[f.oldest].size()
	f.bytes -= size
	f.i.release(size)
	f.kept[f.oldest] = Frame{}
	if f.oldest++; f.oldest == mezu.MaxFrames {
		f.kept = append(f.kept[:0], f.kept[f.oldest:]...)
		f.oldest = 0
	}
}

// end parts the rest, and gives back what the parsers hold. If tell, it gives the frames of that.
func (f *frames) end(at time.Time, tell bool) []Frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tells = tell
	f.part()
	for out := range f.parsers {
		f.parse(out == 1, at, func(p frame.Parser, emit func(frame.Raw)) { p.Close(at, emit) })
	}
	f.parsers, f.backlog, f.marks = [2]frame.Parser{}, nil, nil
	f.account()
	return f.take()
}

// size is what they take.
func (f *frames) size() int64 {
	if f == nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

func (f *frames) count() int {
	if f == nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.part()
	f.account()
	return f.total
}

func (f *frames) page(after, most int) (page []Frame, total, first int) {
	if f == nil {
		return nil, 0, 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.part()
	f.account()
	for n := range f.kept[f.oldest:] {
		is := &f.kept[f.oldest+n]
		if n == 0 {
			first = is.Number
		}
		if is.Number > after && len(page) < most {
			page = append(page, *is)
		}
	}
	if first == 0 {
		first = f.total + 1
	}
	return page, f.total, first
}
