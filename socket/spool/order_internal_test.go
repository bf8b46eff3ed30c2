package spool

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLowerNumbersAreNoRecords: a record whose number is below what its place can have, be it whole and of this segment, is skipped like any bytes that are no record.
func TestLowerNumbersAreNoRecords(t *testing.T) {
	t.Parallel()
	h, err := decodeSegmentHeader(goldenSegment())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		kind   recordKind
		number uint64
	}{
		"a message again":             {recordMessage, 101},
		"one before the segment":      {recordMessage, 99},
		"an older state":              {recordState, 101},
		"the end of fewer":            {recordEnd, 100},
		"a letter that was replayed":  {recordReplayed, 100},
		"a checkpoint from the begin": {recordCheckpoint, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b []byte
			for _, n := range []uint64{100, 101} {
				b = appendRecord(b, recordMessage, n, h.created, []byte("hello"))
			}
			from := dataStart + int64(len(b))
			b = appendRecord(b, c.kind, c.number, h.created, []byte("hello"))
			to := dataStart + int64(len(b))
			b = appendRecord(b, recordMessage, 102, h.created, []byte("hello"))
			h.salt.seal(b, 0)
			file := append(make([]byte, dataStart), b...)
			cur := newCursor(memory{data: file}, h, int64(len(file)))
			var numbers []uint64
			var bad []badBytes
			for {
				r, _, err := cur.next()
				if errors.Is(err, io.EOF) {
					break
				}
				var skipped *badBytes
				if errors.As(err, &skipped) {
					bad = append(bad, *skipped)
					continue
				}
				require.NoError(t, err)
				numbers = append(numbers, r.number)
			}
			assert.Equal(t, []uint64{100, 101, 102}, numbers)
			assert.Equal(t, []badBytes{{from: from, to: to}}, bad)
		})
	}
}

// TestMakingSetsNobodyBack: a checkpoint may know a consumer, and where it is by then, before the record comes that made it.
func TestMakingSetsNobodyBack(t *testing.T) {
	t.Parallel()
	st := newState()
	st.make("audit", 3)
	made := st.appendChanges(nil)
	st.settle()
	st.ack(st.positions["audit"], 4, 7)
	again := newState()
	require.NoError(t, again.apply(st.appendAll(nil)))
	require.NoError(t, again.apply(made))
	assert.Equal(t, uint64(7), again.positions["audit"].acked.floor)
}
