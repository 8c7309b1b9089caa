package process

import "testing"

// TestRow7_PlacesFitMemoryAndDescriptors: a chat of 10,000 fits a machine of 1 GiB with
// the usual limit of descriptors, and a small machine isn't promised what it can't carry.
func TestRow7_PlacesFitMemoryAndDescriptors(t *testing.T) {
	for _, c := range []struct {
		asked, connections, least, most int
		memory                          uint64
		because                         string
	}{
		{0, 200_000, 10_000, 11_000, 1 << 30, byMemory},
		{0, 200_000, 16_384, 16_384, 8 << 30, byProtocol},
		{0, 1000, 1000, 1000, 8 << 30, byDescriptors},
		{0, 0, 16_384, 16_384, 0, byProtocol},
		{0, 200_000, 1, 700, 64 << 20, byMemory},
		{20, 1000, 20, 20, 64 << 20, byFlag},
	} {
		n, because := dataConns(c.asked, c.connections, 16_384, c.memory)
		if n < c.least || n > c.most || because != c.because {
			t.Errorf("%+v: %d by %s", c, n, because)
		}
	}
}
