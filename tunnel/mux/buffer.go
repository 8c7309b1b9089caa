package mux

import "sync"

// buffer is what came for a stream, in memory of a pool. It holds none while nothing waits.
type buffer struct {
	mem  *[]byte
	from int
}

// The sizes of memory: a request or an answer of an API; what one exchange takes at most; two
// of these.
var sizes = [...]int{4 << 10, Budget, 2 * Budget}

var pools = [len(sizes)]sync.Pool{}

func class(n int) int {
	i := 0
	for sizes[i] < n {
		i++
	}
	return i
}

func take(n int) *[]byte {
	i := class(n)
	if mem, ok := pools[i].Get().(*[]byte); ok {
		return mem
	}
	mem := make([]byte, 0, sizes[i])
	return &mem
}

func give(mem *[]byte) {
	i := class(cap(*mem))
	*mem = (*mem)[:0]
	pools[i].Put(mem)
}

func (b *buffer) len() int {
	if b.mem == nil {
		return 0
	}
	return len(*b.mem) - b.from
}

// append puts p behind what waits, no more than two Budgets together.
func (b *buffer) append(p []byte) {
	switch {
	case b.mem == nil:
		b.mem = take(len(p))
	case len(*b.mem)+len(p) > cap(*b.mem):
		old := *b
		b.mem, b.from = take(old.len()+len(p)), 0
		*b.mem = append(*b.mem, (*old.mem)[old.from:]...)
		old.release()
	}
	*b.mem = append(*b.mem, p...)
}

// read takes what waits into p.
func (b *buffer) read(p []byte) int {
	if b.mem == nil {
		return 0
	}
	n := copy(p, (*b.mem)[b.from:])
	if b.from += n; b.len() == 0 {
		b.release()
	}
	return n
}

// release drops all.
func (b *buffer) release() {
	if b.mem != nil {
		give(b.mem)
	}
	*b = buffer{}
}
