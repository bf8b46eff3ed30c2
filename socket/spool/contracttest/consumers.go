package contracttest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// consumers begin where they are told, and do not affect each other.
func consumers(k *kit) {
	require.NoError(k, k.s.Close())
	k.kind, k.open, k.s = spool.Topic, k.b.Place(k.T), nil
	k.reopen()
	k.fill(10)
	first := k.consumer("first", spool.Beginning())
	k.position(first, 0, 10)
	k.position(k.consumer("end", spool.End()), 10, 0)
	k.position(k.consumer("at", spool.At(4)), 3, 7)
	k.position(k.consumer("beyond", spool.At(1000)), 10, 0)
	k.position(k.consumer("old", spool.Since(time.Now().Add(-time.Hour))), 0, 10)
	k.position(k.consumer("new", spool.Since(time.Now().Add(time.Hour))), 10, 0)
	require.NoError(k, first.Ack(1, 8))
	k.position(k.consumer("first", spool.End()), 8, 2)
	k.position(k.consumer("with.dots", spool.At(2)), 1, 9)
	k.fill(1)
	k.reopen()
	k.position(k.consumer("end", spool.Beginning()), 10, 1)
	k.position(k.consumer("with.dots", spool.Beginning()), 1, 10)
	k.position(k.consumer("first", spool.Beginning()), 8, 3)
	assert.Equal(k, upTo(9, 11), k.read(k.consumer("first", spool.Beginning()).Reader(0)))
	assert.Equal(k, upTo(1, 11), k.read(k.consumer("late", spool.Beginning()).Reader(0)))
	for _, name := range []string{"../x", "a/b", ".hidden", "a b", "a\x00", "*", ">", "ä"} {
		_, err := k.s.Consumer(name, spool.Beginning())
		assert.ErrorIs(k, err, spool.ErrName, name)
	}
}

// names: durable subscriptions are listed, bury what they are given each for itself, and are removed for good.
func names(k *kit) {
	require.NoError(k, k.s.Close())
	k.kind, k.open, k.s = spool.Topic, k.b.Place(k.T), nil
	k.reopen()
	k.fill(3)
	all := []string{"one", "one.more", "two"}
	for _, name := range all {
		c := k.consumer(name, spool.Beginning())
		r := c.Reader(0)
		rec, err := r.TryNext()
		require.NoError(k, err)
		require.NoError(k, c.Bury(k.ctx, rec, "for "+name))
		require.NoError(k, r.Close())
	}
	var reasons []string
	for _, l := range k.b.Letters(k.T, k.s) {
		assert.Equal(k, uint64(1), l.Origin)
		reasons = append(reasons, l.Reason)
	}
	assert.ElementsMatch(k, []string{"for one", "for one.more", "for two"}, reasons)

	list := func() []string { return k.s.(socket.SpoolNames).Consumers() }
	remove := func(name string) error { return k.s.(socket.SpoolNames).RemoveConsumer(name) }
	assert.Equal(k, all, list())
	gone := k.consumer("one", spool.Beginning())
	require.NoError(k, remove("one"))
	for what, err := range map[string]error{
		"again": remove("one"), "nobody": remove("nobody"), "no name": remove(""), "acknowledge": gone.Ack(2, 2), "fail": second(gone.Fail(2)),
	} {
		assert.ErrorIs(k, err, spool.ErrNoConsumer, what)
	}
	require.NoError(k, remove("two"))
	require.NoError(k, k.s.Flush(k.ctx))
	k.position(k.consumer("two", spool.At(3)), 2, 1) // made anew
	k.reopen()
	assert.Equal(k, []string{"one.more", "two"}, list())
	k.position(k.consumer("two", spool.Beginning()), 2, 1)
	k.position(k.consumer("one", spool.Beginning()), 0, 3)
}
