package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestSpoolReplayKeepsPlaces: a receiver that remembers what it has handled does not get that again when its letter is replayed, but with --as-new.
func TestSpoolReplayKeepsPlaces(t *testing.T) {
	t.Parallel()
	o := spool.Options{SegmentSize: 64 << 10}
	dir, l := fillSpool(t, 2, o)
	require.NoError(t, l.Close())
	window := filepath.Join(t.TempDir(), "window")
	pull := func(want, count string) {
		t.Helper()
		p := start(t, "pull", "-b", "tcp://127.0.0.1:0", "--ack", "--window", window, "--count", count)
		push := socket.NewPush(socket.WithSpool(dir, o))
		require.NoError(t, push.Connect(p.endpoint()))
		r := p.wait()
		assert.Zero(t, r.code, r.stderr)
		assert.Equal(t, want, r.stdout)
		_ = push.Close() // what was not acknowledged when its receiver left is in the spool
	}
	pull("message 1\nmessage 2\n", "2")
	l, err := spool.Open(dir, o)
	require.NoError(t, err)
	dead, err := l.Dead()
	require.NoError(t, err)
	r := l.Reader(spool.At(1))
	for range 2 {
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.NoError(t, dead.Bury(t.Context(), l.Queue(), rec, "its acknowledgement was lost"))
	}
	require.NoError(t, r.Close())
	require.NoError(t, l.Close())
	assert.Equal(t, "1\t3\n", ok(t, "spool", "replay", dir, "1"))
	assert.Equal(t, "2\t4\n", ok(t, "spool", "replay", dir, "--as-new"))
	pull("message 2\n", "1")
}

// TestSpoolDeadOfTopic: a dead letter says which durable subscription gave it up.
func TestSpoolDeadOfTopic(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 1, spool.Options{Kind: spool.Topic})
	billing, err := l.Consumer("billing", spool.Beginning())
	require.NoError(t, err)
	dead, err := l.Dead()
	require.NoError(t, err)
	r := billing.Reader()
	rec, err := r.TryNext()
	require.NoError(t, err)
	require.NoError(t, dead.Bury(t.Context(), billing, rec, "no such account"))
	require.NoError(t, r.Close())
	require.NoError(t, l.Close())
	assert.Regexp(t, `^1\t1\t0\t\S+Z\tno such account\tmessage 1\n$`, ok(t, "spool", "dead", dir))
	assert.Contains(t, ok(t, "spool", "dead", "--json", dir), `"consumer":"billing"`)
}
