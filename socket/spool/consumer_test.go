package spool_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// settled waits until the disk holds no more than two segments.
func settled(t *testing.T, l *spool.Log, o spool.Options) {
	t.Helper()
	require.Eventually(t, func() bool { return l.Stats().Bytes <= 2*o.SegmentSize }, 20*time.Second, time.Millisecond)
}

func TestDrainedQueueTakesTwoSegments(t *testing.T) {
	t.Parallel()
	fs := spooltest.NewMem()
	l := open(t, fs, small)
	fill(t, l, 2000, 500)
	assert.Greater(t, len(l.Stats().Segments), 10)
	require.NoError(t, l.Queue().Ack(1, 2000))
	settled(t, l, small)
	assert.Equal(t, uint64(2000), l.Queue().Floor())
	assert.Zero(t, l.Queue().Pending())
	numbers, gaps := read(t, l.Queue().Reader(), 500)
	assert.Empty(t, numbers)
	assert.Empty(t, gaps)
}

func TestStuckMessagesDoNotHoldTheDisk(t *testing.T) {
	t.Parallel()
	fs := spooltest.NewMem()
	l := open(t, fs, small)
	fill(t, l, 2000, 500)
	require.NoError(t, l.Queue().Ack(2, 999))
	require.NoError(t, l.Queue().Ack(1001, 2000))
	require.Eventually(t, func() bool { return l.Stats().Bytes <= 2*small.SegmentSize+32<<10 }, 20*time.Second, time.Millisecond)
	numbers, gaps := read(t, l.Queue().Reader(), 500)
	assert.Equal(t, []uint64{1, 1000}, numbers)
	assert.Empty(t, gaps)
	require.NoError(t, l.Close())
	report, err := spool.VerifyFS(fs)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)

	l = open(t, fs, small)
	numbers, gaps = read(t, l.Queue().Reader(), 500)
	assert.Equal(t, []uint64{1, 1000}, numbers)
	assert.Empty(t, gaps)
	require.NoError(t, l.Queue().Ack(1, 1000))
	settled(t, l, small)
}

func TestAcksInAnyOrder(t *testing.T) {
	t.Parallel()
	n := 20_000
	if thorough {
		n = 100_000
	}
	fs := spooltest.NewMem()
	o := spool.Options{SegmentSize: 1 << 20}
	l := open(t, fs, o)
	fill(t, l, n, 20)
	rng := rand.New(rand.NewPCG(5, 6))
	acked := make(map[uint64]bool)
	for i, k := range rng.Perm(n) {
		number := uint64(k) + 1
		require.NoError(t, l.Queue().Ack(number, number))
		require.NoError(t, l.Queue().Ack(number, number))
		acked[number] = true
		if i%1999 == 0 {
			floor := l.Queue().Floor()
			require.False(t, acked[floor+1])
			require.Equal(t, uint64(n-i-1), l.Queue().Pending())
		}
		if i == n/2 {
			require.NoError(t, l.Close())
			l = open(t, fs, o)
			numbers, gaps := read(t, l.Queue().Reader(), 20)
			require.Empty(t, gaps)
			require.Len(t, numbers, n-i-1)
			for _, m := range numbers {
				require.False(t, acked[m])
			}
		}
	}
	assert.Equal(t, uint64(n), l.Queue().Floor())
	settled(t, l, o)
}

func TestAcksThatMakeNoSense(t *testing.T) {
	t.Parallel()
	l := open(t, spooltest.NewMem(), small)
	fill(t, l, 10, 20)
	require.NoError(t, l.Queue().Ack(1, 3))
	for _, c := range [][2]uint64{{0, 0}, {0, 5}, {5, 4}, {11, 11}, {4, 11}, {1, 1<<64 - 1}, {1<<64 - 1, 1<<64 - 1}} {
		require.ErrorIs(t, l.Queue().Ack(c[0], c[1]), spool.ErrNumber, "%v", c)
	}
	_, err := l.Queue().Fail(11)
	require.ErrorIs(t, err, spool.ErrNumber)
	assert.Equal(t, uint64(3), l.Queue().Floor())
	assert.Equal(t, uint64(7), l.Queue().Pending())
}

func TestConsumersOfATopic(t *testing.T) {
	t.Parallel()
	fs := spooltest.NewMem()
	o := spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10}
	l := open(t, fs, o)
	fill(t, l, 1000, 100)
	middle := time.Now()
	fill(t, l, 1000, 100)
	for name, c := range map[string]struct {
		start spool.Start
		want  uint64
	}{
		"all": {spool.Beginning(), 1}, "none": {spool.End(), 2001}, "number": {spool.At(1500), 1500},
		"time": {spool.Since(middle), 1001}, "future": {spool.Since(time.Now().Add(time.Hour)), 2001},
		"past": {spool.Since(middle.Add(-time.Hour)), 1}, "beyond": {spool.At(1 << 63), 2001},
	} {
		consumer, err := l.Consumer(name, c.start)
		require.NoError(t, err)
		assert.Equal(t, c.want-1, consumer.Floor(), name)
	}
	c, err := l.Consumer("all", spool.End())
	require.NoError(t, err)
	require.NoError(t, c.Ack(1, 700))
	attempts, err := c.Fail(701)
	require.NoError(t, err)
	assert.Equal(t, 1, attempts)
	require.NoError(t, l.RemoveConsumer("none"))
	require.ErrorIs(t, l.RemoveConsumer("none"), spool.ErrNoConsumer)
	require.NoError(t, l.Close())

	l = open(t, fs, o)
	assert.Equal(t, []string{"all", "beyond", "future", "number", "past", "time"}, l.Consumers())
	c, err = l.Consumer("all", spool.End())
	require.NoError(t, err)
	assert.Equal(t, uint64(700), c.Floor())
	assert.Equal(t, 1, c.Attempts(701))
	attempts, err = c.Fail(701)
	require.NoError(t, err)
	assert.Equal(t, 2, attempts)
	numbers, gaps := read(t, c.Reader(), 100)
	assert.Equal(t, fromTo(701, 2000), numbers)
	assert.Empty(t, gaps)
	assert.Nil(t, l.Queue())
	for _, name := range []string{"", "../x", "/etc/x", "a\x00b", ".", "a/b", "ä", string(make([]byte, 129))} {
		_, err := l.Consumer(name, spool.End())
		require.ErrorIs(t, err, spool.ErrName, "%q", name)
	}
}

func TestReadSinceATime(t *testing.T) {
	t.Parallel()
	l := open(t, spooltest.NewMem(), small)
	fill(t, l, 500, 300)
	middle := time.Now()
	fill(t, l, 500, 300)
	numbers, gaps := read(t, l.Reader(spool.Since(middle)), 300)
	assert.Equal(t, fromTo(501, 1000), numbers)
	assert.Empty(t, gaps)
}

func TestRetentionIsAGap(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]spool.Retention{"bytes": {Bytes: 200 << 10}, "count": {Count: 500}, "age": {Age: time.Nanosecond}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := spooltest.NewMem()
			o := spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Retention: r}
			l := open(t, fs, o)
			c, err := l.Consumer("slow", spool.Beginning())
			require.NoError(t, err)
			fill(t, l, 3000, 200)
			require.Eventually(t, func() bool { return l.Stats().Dropped > 2000 }, 20*time.Second, time.Millisecond)
			for range 2 {
				numbers, gaps := read(t, c.Reader(), 200)
				require.Len(t, gaps, 1)
				assert.Equal(t, uint64(1), gaps[0].From)
				assert.False(t, gaps[0].Damaged)
				assert.Equal(t, fromTo(gaps[0].To+1, 3000), numbers)
				if name == "count" {
					assert.GreaterOrEqual(t, len(numbers), 500)
				}
				require.NoError(t, l.Close())
				l = open(t, fs, o)
				c, err = l.Consumer("slow", spool.End())
				require.NoError(t, err)
			}
		})
	}
}

func TestReaderFollowsAppends(t *testing.T) {
	t.Parallel()
	l := open(t, spooltest.NewMem(), small)
	ctx, done := bounded(t), make(chan error, 4)
	for range 4 {
		go func() {
			r := l.Reader(spool.Beginning())
			defer r.Close()
			for want := uint64(1); want <= 3000; want++ {
				rec, err := r.Next(ctx)
				if err != nil || rec.Number != want || string(rec.Frames[0]) != string(body(want, 90)) {
					done <- errors.Join(err, errors.New("wrong message"))
					return
				}
			}
			done <- nil
		}()
	}
	for range 3000 {
		_, err := l.Enqueue(ctx, body(l.Next(), 90))
		require.NoError(t, err)
	}
	for range 4 {
		require.NoError(t, <-done)
	}
	r := l.Reader(spool.End())
	_, err := r.TryNext()
	require.ErrorIs(t, err, io.EOF)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = r.Next(ended)
	require.ErrorIs(t, err, context.Canceled)
	go func() { done <- l.Close() }()
	_, err = r.Next(ctx)
	require.ErrorIs(t, err, spool.ErrClosed)
	require.NoError(t, <-done)
	require.NoError(t, r.Close())
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	fs, ctx := spooltest.NewMem(), bounded(t)
	l := open(t, fs, small)
	for _, text := range []string{"fine", "poison", "worse"} {
		_, err := l.Append(ctx, []byte("header"), []byte(text))
		require.NoError(t, err)
	}
	dead, err := l.Dead()
	require.NoError(t, err)
	r := l.Queue().Reader()
	for {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if rec.Number > 1 {
			for range rec.Number {
				_, err := l.Queue().Fail(rec.Number)
				require.NoError(t, err)
			}
			require.NoError(t, dead.Bury(ctx, l.Queue(), rec, "handler said no"))
		}
	}
	require.NoError(t, r.Close())
	assert.Equal(t, uint64(1), l.Queue().Pending())
	require.NoError(t, l.Close())

	l = open(t, fs, small)
	dead, err = l.Dead()
	require.NoError(t, err)
	require.Equal(t, uint64(2), dead.Len())
	var letters []spool.Letter
	for letter, err := range dead.Letters() {
		require.NoError(t, err)
		letter.Frames = spool.Record{Frames: letter.Frames}.Clone().Frames
		letters = append(letters, letter)
	}
	require.Len(t, letters, 2)
	assert.Equal(t, "handler said no", letters[0].Reason)
	assert.Equal(t, 2, letters[0].Attempts)
	assert.Equal(t, uint64(2), letters[0].Origin)
	assert.Equal(t, [][]byte{[]byte("header"), []byte("poison")}, letters[0].Frames)
	n, err := dead.Replay(ctx, letters[0])
	require.NoError(t, err)
	assert.Equal(t, uint64(4), n)
	require.NoError(t, dead.Purge(2, 2))
	assert.Zero(t, dead.Len())
	for _, gone := range letters {
		_, err = dead.Replay(ctx, gone)
		assert.ErrorIs(t, err, spool.ErrNumber)
	}
	assert.Equal(t, uint64(2), l.Queue().Pending(), "the first and the replayed one")
	rec, err := l.Reader(spool.At(4)).Next(ctx)
	require.NoError(t, err)
	assert.Equal(t, [][]byte{[]byte("header"), []byte("poison")}, rec.Frames)
}
