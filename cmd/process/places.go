package process

// What one exchange takes of a process at either end of a tunnel.
const (
	// placeMemory is what it takes of memory, as bench measures it of idle WebSockets.
	placeMemory = 48 << 10
	// memoryPart is the part of the machine's or the container's memory that exchanges
	// may take: the rest is for buffers while bulk flows, and for garbage.
	memoryPart = 2
)

// What bounds the number of exchanges at once, in the words of the log.
const (
	byFlag        = "--max-conns"
	byMemory      = "memory"
	byDescriptors = "descriptors"
	byProtocol    = "the protocol"
)

// DataConns is how many data connections a Warpgate may have at this end of a tunnel: as
// many as were asked for, or if that is zero, as many as the connections that may be
// open for them and the memory carry. most is what the protocol allows, zero for any
// number. because says what
// decided, for the log.
func DataConns(asked, connections, most int) (n int, because string) {
	memory, _ := memory()
	return dataConns(asked, connections, most, memory)
}

// dataConns is DataConns with so much memory; zero is unknown, as for connections.
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
