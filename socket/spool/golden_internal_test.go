package spool

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goldenKinds are spools of this version by the folder they are in, each a file by its name: a topic, a window, a
// queue that was compacted and has dead letters. goldenSegment is a queue.
func goldenKinds() map[string][]byte {
	const at = 1_700_000_000_000_000_000
	seg := func(h segmentHeader, records func(b []byte) []byte) []byte {
		h.incarnation, h.id, h.ordinal, h.created, h.salt = 1, ID{1, 2, 3}, 1, at, salt{header: 5, payload: 6}
		b := make([]byte, dataStart)
		h.encode(b)
		st := newState()
		if h.kind.queues() {
			st.make("", h.base-1)
		}
		b = firstRecords(b, h.base, at, st.appendAll(nil))
		b = records(b)
		h.salt.seal(b[dataStart:], 0)
		return b
	}
	mark := append(bytes.Repeat([]byte{7}, 16), 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0)
	told := slices.Clone(mark)
	told[20], told[27] = 10, 0x80 // with sums behind it
	told = append(told, 0xef, 0xbe, 0xad, 0xde, 1, 2, 3, 4)
	letter := binary.AppendUvarint([]byte{42, 3}, at) // number, incarnation, time, attempts, consumer, reason
	letter = append(append(letter, 5), "\x07billingpoison"...)
	frames := binary.AppendUvarint(nil, uint64(len(letter)))
	frames = append(append(frames, letter...), "\x06header\x04body"...)
	const name = "00000000000000000001.seg"
	return map[string][]byte{
		"topic/" + name: seg(segmentHeader{kind: Topic, base: 1}, func(b []byte) []byte {
			b = appendRecord(b, recordMessage, 1, at+1, []byte("first"))
			b = appendRecord(b, recordState, 2, at+2, []byte{opMake, 4, 's', 'l', 'o', 'w', 0, opDropped, 0, opNothing})
			return appendRecord(b, recordMessage, 2, at+3, []byte("second"))
		}),
		"window/" + name: seg(segmentHeader{kind: kindWindow, base: 1}, func(b []byte) []byte {
			b = appendRecord(b, recordMessage, 1, at+1, append(slices.Clone(mark), "order-1"...))
			return appendRecord(b, recordMessage, 2, at+2, append(told, "order-2"...))
		}),
		"dead/" + name: seg(segmentHeader{kind: Queue, base: 40, flags: flagCompacted, until: 45}, func(b []byte) []byte {
			b = appendRecord(b, recordMessage, 41, at+1, []byte("stuck"))
			b = appendRecord(b, recordReplayed, 45, at+1, []byte("\x02\x07\x02\x04back"))
			b = appendRecord(b, recordState, 46, at+2, []byte{opAck, 0, 2, 40, 0, 2, 2})
			return appendRecord(b, recordEnd, 46, at+3, turned)
		}),
		"dead/dead/" + name: seg(segmentHeader{kind: kindDead, base: 1}, func(b []byte) []byte {
			b = appendRecord(b, recordFrames, 1, at+1, frames)
			return appendRecord(b, recordEnd, 2, at+2, nil)
		}),
	}
}

// TestGoldenKinds holds the other kinds of spool to what was released, as TestGolden does a queue.
func TestGoldenKinds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range goldenKinds() {
		golden := filepath.Join("testdata", "v2", name)
		if *rewrite {
			require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
			require.NoError(t, os.WriteFile(golden, want, 0o644))
		}
		b, err := os.ReadFile(golden)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(b, want), "%s changed: it needs another version", name)
		copied := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(copied), 0o700))
		require.NoError(t, os.WriteFile(copied, b, 0o600))
	}

	topic, err := Open(filepath.Join(dir, "topic"), Options{Kind: Topic})
	require.NoError(t, err)
	defer topic.Close()
	assert.Equal(t, []string{"slow"}, topic.Consumers())
	slow, err := topic.Consumer("slow", End())
	require.NoError(t, err)
	assert.Equal(t, []string{"first", "second"}, texts(t, slow.Reader()))

	w, err := OpenWindow(filepath.Join(dir, "window"), WindowOptions{})
	require.NoError(t, err)
	defer w.Close()
	assert.True(t, w.Seen(Mark{ID: "order-1"}))
	stream := ID(bytes.Repeat([]byte{7}, 16))
	assert.True(t, w.Seen(Mark{Stream: stream, Incarnation: 2, Number: 9}))
	assert.False(t, w.Seen(Mark{Stream: stream, Incarnation: 1, Number: 9}))
	place, id := w.Clash(Mark{Stream: stream, Incarnation: 2, Number: 10, Sum: 0xdeadbeef, ID: "order-2", Body: 1})
	assert.False(t, place || id)
	_, id = w.Clash(Mark{Stream: stream, Incarnation: 2, Number: 11, ID: "order-2", Body: 0x4030201})
	assert.False(t, id)

	report, err := Verify(filepath.Join(dir, "dead"))
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
	queue, err := Open(filepath.Join(dir, "dead"), Options{})
	require.NoError(t, err)
	defer queue.Close()
	assert.Equal(t, []string{"stuck", "back"}, texts(t, queue.Queue().Reader()))
	replayed, err := queue.Reader(At(45)).TryNext()
	require.NoError(t, err)
	assert.Equal(t, Record{Number: 45, Origin: 7, Incarnation: 2, Time: time.Unix(1_700_000_000, 1), Frames: [][]byte{[]byte("back")}}, replayed)
	assert.Equal(t, uint64(46), queue.Next())
	dead, err := queue.Dead()
	require.NoError(t, err)
	for letter, err := range dead.Letters() {
		require.NoError(t, err)
		assert.Equal(t, Letter{
			Number: 1, Origin: 42, Incarnation: 3, Time: time.Unix(1_700_000_000, 0), Buried: time.Unix(1_700_000_000, 1),
			Attempts: 5, Consumer: "billing", Reason: "poison", Frames: [][]byte{[]byte("header"), []byte("body")},
		}, letter)
	}
	assert.Equal(t, uint64(1), dead.Len())
}

// texts returns the messages of one frame that r finds, and closes it.
func texts(t *testing.T, r *Reader) (all []string) {
	t.Helper()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		if err != nil {
			return all
		}
		all = append(all, string(rec.Frames[0]))
	}
}

// TestFutureFeaturesAreRefused: a segment with a flag that is not known here may mean anything.
func TestFutureFeaturesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/spool"
	require.NoError(t, os.Mkdir(dir, 0o700))
	h, err := decodeSegmentHeader(goldenSegment())
	require.NoError(t, err)
	h.flags = 0x80
	page := make([]byte, dataStart)
	h.encode(page)
	name := filepath.Join(dir, segmentName(h.ordinal))
	require.NoError(t, os.WriteFile(name, page, 0o600))
	for _, open := range []func() error{
		func() error { _, err := Open(dir, Options{}); return err },
		func() error { _, err := Verify(dir); return err },
		func() error { _, err := Repair(dir); return err },
		func() error { _, err := OpenView(dir); return err },
	} {
		require.ErrorIs(t, open(), ErrVersion)
	}
	left, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(page, left), "it is left as it was")
}

// TestRangesAreBounded: what a consumer has acknowledged apart is in memory, and at the beginning of each segment.
func TestRangesAreBounded(t *testing.T) {
	t.Parallel()
	l, err := Open(t.TempDir()+"/spool", Options{Policy: OS})
	require.NoError(t, err)
	defer l.Close()
	for range 20 {
		_, err := l.Append(t.Context(), []byte("x"))
		require.NoError(t, err)
	}
	require.NoError(t, l.Queue().Ack(5, 6))
	require.NoError(t, l.Queue().Ack(10, 11))
	require.Equal(t, 2, l.state.ranges)
	l.mu.Lock()
	l.state.ranges += maxRanges - 2 // of others
	l.mu.Unlock()
	require.ErrorIs(t, l.Queue().Ack(15, 15), ErrFull)
	assert.False(t, l.Queue().Acked(15))
	dead, err := l.Dead()
	require.NoError(t, err)
	require.ErrorIs(t, dead.Bury(t.Context(), l.Queue(), Record{Number: 15}, "no"), ErrFull)
	assert.Zero(t, dead.Len(), "a letter of what stays")
	for _, c := range [][2]uint64{{12, 12}, {4, 4}, {7, 9}, {5, 8}, {1, 1}, {2, 3}} { // next to what is there
		require.NoError(t, l.Queue().Ack(c[0], c[1]))
	}
	assert.Equal(t, uint64(12), l.Queue().Floor())
	require.Equal(t, maxRanges-2, l.state.ranges)
	require.NoError(t, l.Queue().Ack(15, 15))
}
