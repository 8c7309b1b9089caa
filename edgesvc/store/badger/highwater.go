package badger

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
)

// highWaterMark is a small file that says which commit was acknowledged last. If the end of
// the engine's log is damaged, the engine takes it for a write that was never finished, and
// drops it silently. That is noticed because the history then ends before the mark.
//
// The file is written after each commit but not synced. After a power failure it may name an
// earlier commit, never one that was not acknowledged.
type highWaterMark struct {
	file *os.File
	last commitID
	slot int64 // written next
}

// The file has two slots in sectors of their own, which are written in turn. A write that is
// torn damages one of them only.
const (
	markSlots = 2
	slotPitch = 512
	slotSize  = 8 + 8 + 4 // sequence, run, CRC
)

// openHighWaterMark opens or makes the file. A slot that can't be read is ignored.
func openHighWaterMark(path string) (*highWaterMark, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening mark: %w", err)
	}
	m := &highWaterMark{file: f}
	for i := range int64(markSlots) {
		var b [slotSize]byte
		if _, err := f.ReadAt(b[:], i*slotPitch); err != nil {
			continue
		}
		if crc32.ChecksumIEEE(b[:16]) != binary.BigEndian.Uint32(b[16:]) {
			continue
		}
		id := commitID{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
		if id.seq > m.last.seq {
			m.last, m.slot = id, (i+1)%markSlots
		}
	}
	return m, nil
}

// set records the commit as the last one.
func (m *highWaterMark) set(id commitID) error {
	if id == m.last {
		return nil
	}
	var b [slotSize]byte
	binary.BigEndian.PutUint64(b[:], id.seq)
	binary.BigEndian.PutUint64(b[8:], id.run)
	binary.BigEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:16]))
	if _, err := m.file.WriteAt(b[:], m.slot*slotPitch); err != nil {
		return fmt.Errorf("writing mark: %w", err)
	}
	m.last, m.slot = id, (m.slot+1)%markSlots
	return nil
}

func (m *highWaterMark) close() error { return m.file.Close() }
