package spool

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOtherFormatsAreRefused: an older format, the next one and any feature that is not known here, with headers whose sums are right: by who opens, looks, verifies and
// repairs, who are told which it is, and left as it was.
func TestOtherFormatsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := decodeSegmentHeader(inFormat(formatVersion, flagCompacted))
	require.NoError(t, err, "else it is refused for another reason")
	for _, version := range []uint16{1, formatVersion + 1, 9, 0xFFFF} {
		othersRefused(t, inFormat(version, 0), fmt.Sprintf("format %d:", version))
	}
	for flag := byte(1); flag != 0; flag <<= 1 {
		if flag&knownFlags == 0 {
			othersRefused(t, inFormat(formatVersion, flag), fmt.Sprintf("format %d with features %#x:", formatVersion, flag))
		}
	}
}

// inFormat returns the golden segment with another version and flags in both copies of its header.
func inFormat(version uint16, flags byte) []byte {
	b := goldenSegment()
	for _, at := range []int{0, headerCopyAt} {
		h := b[at : at+headerSize]
		binary.LittleEndian.PutUint16(h[6:], version)
		h[9] = flags
		binary.LittleEndian.PutUint32(h[76:], crc32.Checksum(h[:76], castagnoli))
	}
	return b
}

func othersRefused(t *testing.T, segment []byte, says string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	require.NoError(t, os.Mkdir(dir, 0o700))
	name := filepath.Join(dir, segmentName(7))
	require.NoError(t, os.WriteFile(name, segment, 0o600))
	for _, open := range []func() error{
		func() error { _, err := Open(dir, Options{}); return err },
		func() error { _, err := Verify(dir); return err },
		func() error { _, err := Repair(dir); return err },
		func() error { _, err := OpenView(dir); return err },
	} {
		err := open()
		require.ErrorIs(t, err, ErrVersion, says)
		require.ErrorContains(t, err, says)
	}
	left, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, hex.EncodeToString(segment), hex.EncodeToString(left), says)
}

// TestUnknownChangesAreTold: a change of state that is not known here is damage to acknowledgements, and nothing behind it in its record is believed.
func TestUnknownChangesAreTold(t *testing.T) {
	t.Parallel()
	acked := spans{}
	acked.add(1, 102)
	behind := appendSpans(appendName([]byte{opAck}, ""), &acked)
	st := newState()
	st.make("", 99)
	for op := opDropped + 1; op <= 0xFF; op++ {
		require.Error(t, st.apply(append(appendName([]byte{byte(op)}, ""), behind...)), op)
		require.Equal(t, uint64(99), st.positions[""].acked.floor, op)
	}

	h, err := decodeSegmentHeader(goldenSegment())
	require.NoError(t, err)
	records := appendRecord(nil, recordState, 100, h.created, append(appendName([]byte{opDropped + 1}, ""), behind...))
	h.salt.seal(records, 0)
	dir := filepath.Join(t.TempDir(), "spool")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, segmentName(h.ordinal)), append(emptySegment(h, 100, &st), records...), 0o600))
	report, err := Verify(dir)
	require.NoError(t, err)
	require.Len(t, report.Damage, 1)
	require.True(t, report.Damage[0].Acks)
	l, err := Open(dir, Options{SegmentSize: minSegment})
	require.NoError(t, err)
	require.True(t, l.Recovery().AcksLost())
	require.Equal(t, uint64(99), l.Queue().Floor())
	require.NoError(t, l.Close())
}
