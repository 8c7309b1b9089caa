package badger

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
)

// mark is a small file that says which commit was acknowledged last. The engine
// takes a damaged end of its log for a write that was never finished and drops it
// silently; a history that ends before the mark is how that is found out.
//
// It is written after each commit and synced by nobody: after a power failure it
// may say too little, never too much.
type mark struct {
	file *os.File
	last place
	slot int64 // written next
}

// The mark has two slots in sectors of their own, written in turn, so that a torn
// write leaves the other.
const (
	markSlots = 2
	slotPitch = 512
	slotSize  = 8 + 8 + 4 // sequence, run, CRC
)

// openMark opens or makes the mark. One that can't be read says nothing.
func openMark(path string) (*mark, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening mark: %w", err)
	}
	m := &mark{file: f}
	for i := range int64(markSlots) {
		var b [slotSize]byte
		if _, err := f.ReadAt(b[:], i*slotPitch); err != nil {
			continue
		}
		if crc32.ChecksumIEEE(b[:16]) != binary.BigEndian.Uint32(b[16:]) {
			continue
		}
		p := place{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
		if p.seq > m.last.seq {
			m.last, m.slot = p, (i+1)%markSlots
		}
	}
	return m, nil
}

// set records the commit.
func (m *mark) set(p place) error {
	if p == m.last {
		return nil
	}
	var b [slotSize]byte
	binary.BigEndian.PutUint64(b[:], p.seq)
	binary.BigEndian.PutUint64(b[8:], p.run)
	binary.BigEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:16]))
	if _, err := m.file.WriteAt(b[:], m.slot*slotPitch); err != nil {
		return fmt.Errorf("writing mark: %w", err)
	}
	m.last, m.slot = p, (m.slot+1)%markSlots
	return nil
}

func (m *mark) close() error { return m.file.Close() }
