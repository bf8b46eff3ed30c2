package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is what is kept in memory about one file: nothing per message.
type segment struct {
	header segmentHeader
	size   int64  // bytes of the file that count; of the active segment, those allocated
	last   uint64 // sealed: number of the last message, base-1 if there is none
	sealed bool
	ended  time.Time // sealed: when, as far as this process can tell without asking a clock that jumps

	landmarks landmarks     // as readers have found them; guarded by Log.mu
	present   uint64        // messages that are in the file; 0: not looked at yet
	fixed     bool          // must not be rewritten
	pause     time.Duration // how long rewriting was put off when it failed, 0: it has not
	again     time.Time     // not to be rewritten before
}

func (s *segment) name() string { return segmentName(s.header.ordinal) }

func segmentName(ordinal uint64) string { return fmt.Sprintf("%020d%s", ordinal, segmentSuffix) }

// parseSegmentName returns the ordinal in a file name; ok is false for other files.
func parseSegmentName(name string) (ordinal uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	ordinal, err := strconv.ParseUint(digits, 10, 64)
	return ordinal, err == nil
}

// newHeader returns the header of a new segment with fresh salt.
func newHeader(kind Kind, id ID, ordinal, base uint64, incarnation uint32, now int64) segmentHeader {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return segmentHeader{
		kind: kind, id: id, ordinal: ordinal, base: base, incarnation: incarnation, created: now,
		salt: salt{header: binary.LittleEndian.Uint32(b[:4]), payload: binary.LittleEndian.Uint32(b[4:])},
	}
}

// openSegment opens a segment for reading and reads its header.
func openSegment(fs FS, name string) (File, segmentHeader, error) {
	f, err := fs.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, segmentHeader{}, fmt.Errorf("open %s: %w", name, err)
	}
	h, err := readHeader(f)
	if err != nil {
		return nil, h, errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	return f, h, nil
}

func readHeader(f File) (segmentHeader, error) {
	page := make([]byte, dataStart)
	n, err := f.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return segmentHeader{}, err
	}
	return decodeSegmentHeader(page[:n])
}

// firstRecords appends what a segment begins with: the checkpoint, twice, so far apart that one bad sector does not
// take both.
func firstRecords(b []byte, next uint64, now int64, checkpoint []byte) []byte {
	apart := checkpoint
	if short := sector - recordHeader - len(checkpoint); short > 0 {
		apart = append(slices.Clip(checkpoint), make([]byte, short)...) // opNothing
	}
	b = appendRecord(b, recordCheckpoint, next, now, apart)
	return appendRecord(b, recordCheckpoint, next, now, checkpoint)
}

// flush writes b at off and syncs.
func flush(f File, b []byte, off int64) error {
	if err := writeAt(f, b, off); err != nil {
		return err
	}
	return f.Sync()
}

// writeAt writes all of b: a file layer that takes less without an error is not believed.
func writeAt(f File, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
