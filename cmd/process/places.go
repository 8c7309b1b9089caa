package process

// What one exchange takes of the process at either end of a tunnel.
const (
	// placeMemory is the memory that one takes. It was measured with idle WebSockets, by
	// bench.
	placeMemory = 48 << 10
	// memoryPart is the part of the machine's or the container's memory that exchanges
	// may take: the rest is for buffers while bulk flows, and for garbage.
	memoryPart = 2
)

// What bounds the number of exchanges at once, as the log names it.
const (
	byFlag        = "--max-conns"
	byMemory      = "memory"
	byDescriptors = "descriptors"
	byProtocol    = "the protocol"
)

// DataConns is how many data connections a Warpgate may have at this end of a tunnel. That
// is the number that was asked for; if it is zero, as many as memory allows, and no more
// than connections and most. connections is how many may be open for them, most what the
// protocol allows; zero sets no bound. because says what decided, for the log.
func DataConns(asked, connections, most int) (n int, because string) {
	memory, _ := memory()
	return dataConns(asked, connections, most, memory)
}

// dataConns is DataConns with that much memory. Zero means that it is unknown and sets no
// bound.
func dataConns(asked, connections, most int, memory uint64) (n int, because string) {
	if asked > 0 {
		return asked, byFlag
	}
	n, because = most, byProtocol
	if connections > 0 && (n == 0 || connections < n) {
		n, because = connections, byDescriptors
	}
	if fit := memory / memoryPart / placeMemory; memory > 0 && (n == 0 || fit < uint64(n)) {
		n, because = max(1, int(fit)), byMemory
	}
	return n, because
}
