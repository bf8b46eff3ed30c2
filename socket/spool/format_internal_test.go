package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// goldenSegment is a segment with one of each kind of record.
func goldenSegment() []byte {
	h := segmentHeader{
		kind: Queue, incarnation: 3, id: ID{0: 0xAB, 15: 0xCD}, salt: salt{header: 0x01020304, payload: 0x05060708},
		ordinal: 7, base: 100, created: 1_700_000_000_000_000_000,
	}
	b := make([]byte, dataStart)
	h.encode(b)
	st := newState()
	st.make("", 99)
	st.make("orders", 99)
	st.dropped = 42
	b = firstRecords(b, 100, h.created+1, st.appendAll(nil))
	b = appendRecord(b, recordMessage, 100, h.created+2, []byte("hello"))
	b = appendRecord(b, recordFrames, 101, h.created+3, []byte("\x05topic\x00\x04body"))
	b = appendRecord(b, recordMessage, 102, h.created+4, nil)
	st.settle()
	st.ack(st.positions[""], 100, 100)
	st.ack(st.positions["orders"], 101, 102)
	st.fail(st.positions[""], 101)
	b = appendRecord(b, recordState, 103, h.created+5, st.appendChanges(nil))
	b = appendRecord(b, recordEnd, 103, h.created+6, nil)
	h.salt.seal(b[dataStart:], dataStart)
	return b
}

// TestGolden holds the format to what was released: old spools stay readable.
func TestGolden(t *testing.T) {
	t.Parallel()
	const name = "testdata/v2/00000000000000000007.seg"
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata/v2", 0o755))
		require.NoError(t, os.WriteFile(name, goldenSegment(), 0o644))
	}
	golden, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(golden, goldenSegment()), "the format changed: it needs another version")

	dir := t.TempDir() + "/spool"
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(dir+"/00000000000000000007.seg", golden, 0o600))
	l, err := Open(dir, Options{})
	require.NoError(t, err)
	defer l.Close()
	assert.Equal(t, "ab0000000000000000000000000000cd", l.ID().String())
	assert.Equal(t, uint64(103), l.Next())
	assert.Equal(t, []string{"orders"}, l.Consumers())
	assert.Equal(t, uint64(100), l.Queue().Floor())
	assert.Equal(t, 1, l.Queue().Attempts(101))
	orders, err := l.Consumer("orders", End())
	require.NoError(t, err)
	assert.Equal(t, uint64(1), orders.Pending())
	r := l.Reader(At(100))
	defer r.Close()
	for i, want := range [][][]byte{{[]byte("hello")}, {[]byte("topic"), {}, []byte("body")}, {{}}} {
		rec, err := r.TryNext()
		require.NoError(t, err)
		assert.Equal(t, uint64(100+i), rec.Number)
		assert.Equal(t, uint32(3), rec.Incarnation)
		assert.Equal(t, time.Unix(1_700_000_000, int64(2+i)), rec.Time)
		assert.Equal(t, want, rec.Frames)
	}
}

// memory is a file of bytes.
type memory struct {
	File
	data []byte
}

func (m memory) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(b, off)
}

// FuzzSegment reads arbitrary bytes as a segment: no panic, no endless loop, no record with bad sums, and no more
// memory than the bytes that are there.
func FuzzSegment(f *testing.F) {
	golden := goldenSegment()
	f.Add(golden[dataStart:], uint32(0))
	f.Add(golden[dataStart:], uint32(200))
	f.Add([]byte{}, uint32(0))
	h, err := decodeSegmentHeader(golden)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte, sealAt uint32) {
		data = bytes.Clone(data)
		if n := uint32(len(data)); n >= recordHeader && sealAt%n <= n-recordHeader { // give one record a header that is believed
			b := data[sealAt%n:]
			binary.LittleEndian.PutUint32(b[28:], crc32.Update(h.salt.header, castagnoli, b[:28]))
		}
		file := append(make([]byte, dataStart), data...)
		c := newCursor(memory{data: file}, h, int64(len(file)))
		st, last := newState(), int64(0)
		for {
			r, off, err := c.next()
			if _, bad := err.(*badBytes); bad {
				require.Greater(t, c.off, last)
				last = c.off
				continue
			} else if err != nil {
				break
			}
			require.GreaterOrEqual(t, off, last)
			last = c.off
			if r.kind.isMessage() {
				_ = new(Record).parse(nil, r)
			} else {
				_ = st.apply(r.payload)
				require.NoError(t, newRoundTrip(&st))
			}
		}
		require.LessOrEqual(t, cap(c.buf), len(file))
	})
}

// newRoundTrip checks that a state can be written and read again.
func newRoundTrip(s *state) error {
	again := newState()
	return again.apply(s.appendAll(nil))
}

func FuzzSegmentHeader(f *testing.F) {
	f.Add(goldenSegment()[:dataStart])
	f.Fuzz(func(t *testing.T, page []byte) {
		h, err := decodeSegmentHeader(page)
		if err != nil {
			require.True(t, errors.Is(err, ErrDamaged) || errors.Is(err, ErrVersion), "%v", err)
			return
		}
		again := make([]byte, dataStart)
		h.encode(again)
		back, err := decodeSegmentHeader(again)
		require.NoError(t, err)
		require.Equal(t, h, back)
	})
}

// TestSpans compares the set with a plain one.
func TestSpans(t *testing.T) {
	t.Parallel()
	const n = 64
	seed := uint64(1)
	next := func(k uint64) uint64 { seed = seed*6364136223846793005 + 1442695040888963407; return (seed >> 33) % k }
	for range 60 {
		var s spans
		plain := make(map[uint64]bool)
		for range 30 {
			lo := next(n) + 1
			hi := min(lo+next(6), n)
			fresh := false
			for i := lo; i <= hi; i++ {
				fresh = fresh || !plain[i]
				plain[i] = true
			}
			require.Equal(t, fresh, s.add(lo, hi))
			for i := uint64(1); i <= n+1; i++ {
				require.Equal(t, plain[i], s.has(i))
				free := i
				for plain[free] {
					free++
				}
				require.Equal(t, free, s.nextFree(i))
				free = i
				for free > 0 && plain[free] {
					free--
				}
				require.Equal(t, free, s.lastFree(i))
			}
			count := uint64(0)
			for i := lo; i <= n; i++ {
				if plain[i] {
					count++
				}
			}
			require.Equal(t, count, s.count(lo, n))
		}
	}
}
