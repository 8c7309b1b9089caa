package gather

import "sync"

// buffer is bytes that wait, in memory of a pool. It holds none while nothing waits. If
// zero, it is empty.
type buffer struct {
	mem  *[]byte
	from int // where what waits begins
}

// room is the sizes of memory: some small frames; one record of TLS; four; what a batch
// grows to; all that may wait.
var room = [...]int{4 << 10, 20 << 10, 72 << 10, 288 << 10, maxGathered}

var pools = [len(room)]sync.Pool{}

// class is the smallest size that holds n bytes.
func class(n int) int {
	i := 0
	for room[i] < n {
		i++
	}
	return i
}

func take(class int) *[]byte {
	if mem, ok := pools[class].Get().(*[]byte); ok {
		return mem
	}
	mem := make([]byte, 0, room[class])
	return &mem
}

func give(mem *[]byte) {
	class := class(cap(*mem))
	*mem = (*mem)[:0]
	pools[class].Put(mem)
}

func (b *buffer) len() int {
	if b.mem == nil {
		return 0
	}
	return len(*b.mem) - b.from
}

func (b *buffer) bytes() []byte {
	if b.mem == nil {
		return nil
	}
	return (*b.mem)[b.from:]
}

// append puts p behind what waits, no more than maxGathered together.
func (b *buffer) append(p []byte) {
	if len(p) == 0 {
		return
	}
	if b.mem == nil {
		b.mem = take(class(len(p)))
	} else if len(*b.mem)+len(p) > cap(*b.mem) {
		b.move(class(b.len() + len(p)))
	}
	*b.mem = append(*b.mem, p...)
}

// move takes what waits into memory of another size, or to the beginning of its own.
func (b *buffer) move(to int) {
	if cap(*b.mem) == room[to] {
		*b.mem = (*b.mem)[:copy(*b.mem, b.bytes())]
	} else {
		mem := take(to)
		*mem = append(*mem, b.bytes()...)
		give(b.mem)
		b.mem = mem
	}
	b.from = 0
}

// skip drops the first n bytes.
func (b *buffer) skip(n int) {
	if b.from += n; b.len() == 0 {
		b.release()
	}
}

// shrink gives back memory that is larger than what is left needs: a peer that reads slowly
// keeps it for long.
func (b *buffer) shrink() {
	if b.mem != nil {
		if to := class(b.len()); room[to] < cap(*b.mem) {
			b.move(to)
		}
	}
}

// release drops all.
func (b *buffer) release() {
	if b.mem != nil {
		give(b.mem)
	}
	*b = buffer{}
}
