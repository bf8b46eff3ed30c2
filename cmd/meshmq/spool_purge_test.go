package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestPurgeOfTopic lets all messages go, those of the last segment, too.
func TestPurgeOfTopic(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 5000} {
		dir, l := fillSpool(t, n, spool.Options{Kind: spool.Topic})
		_, err := l.Consumer("billing", spool.Beginning())
		require.NoError(t, err)
		require.NoError(t, l.Close())
		r := meshmq(t, "spool", "purge", dir, "--force")
		assert.Zero(t, r.code, r.stderr)
		assert.Contains(t, r.stderr, fmt.Sprintf("%d messages that the topic keeps let go", n))
		assert.Empty(t, ok(t, "spool", "cat", dir))
		s, err := spool.Inspect(dir)
		require.NoError(t, err)
		assert.Len(t, s.Segments, 1)
		assert.Equal(t, uint64(n+1), s.First)
		assert.Zero(t, s.Consumers[0].Pending)
		assert.Zero(t, meshmq(t, "spool", "verify", dir).code)
	}
}

// TestPurgeOfNumbers counts a message once however often it is named, and tells of numbers that none has.
func TestPurgeOfNumbers(t *testing.T) {
	t.Parallel()
	dir := closedSpool(t, 9)
	r := meshmq(t, "spool", "purge", dir, "3-9", "1-5", "4")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "8 messages that are not acknowledged would be lost")
	r = meshmq(t, "spool", "purge", dir, "2", "10", "12-20", "9-11", "--force")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "2 messages that are not acknowledged let go")
	assert.Contains(t, r.stderr, "no message has number 10, 12-20: ")
	assert.Equal(t, 6, strings.Count(ok(t, "spool", "cat", dir), "\n"), "the others are gone")
	r = meshmq(t, "spool", "purge", dir, "--dead", "1")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "no dead letter has number 1")
}

// TestSpoolPurge: without --force nothing that anybody needs goes; the disk comes back.
func TestSpoolPurge(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 5000, spool.Options{})
	other, err := l.Consumer("other", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, other.Ack(1, 10))
	require.NoError(t, l.Queue().Ack(1, 4999))
	require.NoError(t, l.Close())
	r := meshmq(t, "spool", "purge", dir)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "4990 messages that are not acknowledged would be lost")
	assert.Len(t, lines(r.stderr), 1)
	ok(t, "spool", "purge", dir, "--consumer", "other", "11-4999", "--force")
	assert.Contains(t, ok(t, "spool", "ls", dir), "consumer\tother\t4999\t1\t0\n")
	ok(t, "spool", "purge", dir, "5000", "--force")
	ok(t, "spool", "purge", dir)
	s, err := spool.Inspect(dir)
	require.NoError(t, err)
	assert.Len(t, s.Segments, 1)
	assert.Less(t, s.Bytes, int64(64<<10)+1)
	assert.Equal(t, uint64(5001), s.Next, "numbers go on")

	l, err = spool.Open(dir, spool.Options{})
	require.NoError(t, err)
	n, err := l.Append(context.Background(), []byte("more"))
	require.NoError(t, err)
	assert.Equal(t, uint64(5001), n)
	require.NoError(t, l.Close())
	assert.Zero(t, meshmq(t, "spool", "verify", dir).code)
}

// TestOwnConsumer: the name that ls has for the consumer of a queue is understood.
func TestOwnConsumer(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 3, spool.Options{})
	_, err := l.Consumer("other", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, l.Queue().Ack(1, 1))
	_, err = l.Queue().Fail(2)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	assert.Equal(t, "message 2\nmessage 3\n", ok(t, "spool", "cat", dir, "--consumer", "-"))
	assert.Contains(t, ok(t, "spool", "cat", dir, "--consumer", "-", "--json"), `"attempts":1`)
	assert.Contains(t, lines(ok(t, "__complete", "spool", "cat", dir, "--consumer", "")), "-")
	r := meshmq(t, "spool", "purge", dir, "--consumer", "-", "--remove", "--force")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "cannot be removed")
	ok(t, "spool", "purge", dir, "--consumer", "-", "--force")
	assert.Contains(t, ok(t, "spool", "ls", dir), "consumer\t-\t3\t0\t0\nconsumer\tother\t0\t3\t0\n")
	topic, l := fillSpool(t, 3, spool.Options{Kind: spool.Topic})
	require.NoError(t, l.Close())
	assert.Equal(t, 1, meshmq(t, "spool", "cat", topic, "--consumer", "-").code)
}
