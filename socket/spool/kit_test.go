package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// small are options with which a test fills several segments.
var small = spool.Options{SegmentSize: 64 << 10}

// thorough says that all cases are to be run: make faults.
var thorough = os.Getenv("MESHMQ_FAULTS") != ""

// every says which of many like cases are run: one in so many.
var every = map[bool]int64{true: 1, false: seldom}[thorough]

// rounds is n, or many if all is to be run.
func rounds(n, many int) int {
	if thorough {
		return many
	}
	return n
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// open opens a spool that the end of the test closes, if the test has not.
func open(t *testing.T, fs spool.FS, o spool.Options) *spool.Log {
	t.Helper()
	l, err := spool.OpenFS(fs, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// body is the payload of message i: anybody can tell whether it is right.
func body(i uint64, size int) []byte {
	b := []byte(fmt.Sprintf("message %d ", i))
	for len(b) < size {
		b = append(b, byte(i*7+uint64(len(b))))
	}
	return b
}

// fill appends n messages of size bytes and waits until they are safe.
func fill(t *testing.T, l *spool.Log, n, size int) {
	t.Helper()
	ctx, last := bounded(t), uint64(0)
	for range n {
		var err error
		last, err = l.Enqueue(ctx, body(l.Next(), size))
		require.NoError(t, err)
	}
	require.NoError(t, l.Wait(ctx, last))
}

// read returns the numbers a reader finds up to the end, checks that they ascend and their bodies, and the gaps.
func read(t *testing.T, r *spool.Reader, size int) (numbers []uint64, gaps []*spool.Gap) {
	t.Helper()
	return readSized(t, r, func(uint64) int { return size })
}

// readSized is read for messages of different sizes.
func readSized(t *testing.T, r *spool.Reader, size func(number uint64) int) (numbers []uint64, gaps []*spool.Gap) {
	t.Helper()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		var gap *spool.Gap
		switch {
		case errors.Is(err, io.EOF):
			return numbers, gaps
		case errors.As(err, &gap):
			gaps = append(gaps, gap)
			continue
		}
		require.NoError(t, err)
		require.Len(t, rec.Frames, 1)
		require.Equal(t, string(body(rec.Number, size(rec.Number))), string(rec.Frames[0]))
		if len(numbers) > 0 {
			require.Greater(t, rec.Number, numbers[len(numbers)-1])
		}
		numbers = append(numbers, rec.Number)
	}
}

// upTo returns 1 to n.
func upTo(n uint64) []uint64 { return fromTo(1, n) }

func fromTo(lo, hi uint64) (all []uint64) {
	for n := lo; n <= hi; n++ {
		all = append(all, n)
	}
	return all
}
