package servertest

import (
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

func denyPurge(c *natsjs.StreamConfig)  { c.DenyPurge = true }
func denyDelete(c *natsjs.StreamConfig) { c.DenyDelete = true }
func denyBoth(c *natsjs.StreamConfig)   { c.DenyPurge, c.DenyDelete = true, true }

// TestDenied_LettingGo: a queue that may not let go of what is acknowledged would fill the servers. It ends, and is not opened again; what it holds can be read.
func TestDenied_LettingGo(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, _ := fill(t, nc, "orders", "", quick, 3)
	changeStream(t, nc, "orders", denyPurge)
	select {
	case <-s.Broken():
	case <-bounded(t).Done():
		require.Fail(t, "nobody is told")
	}
	require.ErrorIs(t, s.State().Failed, jetstream.ErrDenied)
	require.ErrorContains(t, s.State().Failed, "deny_purge")
	require.Equal(t, text(2), string(next(t, reader(t, s, 0)).Frames[0]))
	require.NoError(t, s.Close())
	_, err := jetstream.Open(bounded(t), nc, "orders", quick)
	require.ErrorIs(t, err, jetstream.ErrDenied)
	require.NotErrorIs(t, err, spool.ErrFailed)
	require.ErrorContains(t, err, "stream orders: ")
	require.ErrorContains(t, err, "with the nats tool, and open a spool of another name", "nobody opens this one")
}

// TestDenied_Sealed: a spool of which a stream was sealed is not opened, and who wants to is told why.
func TestDenied_Sealed(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	for name, stream := range map[string]string{"messages": "messages", "positions": "positions_state"} {
		s, _ := fill(t, nc, name, "", quick, 3)
		require.NoError(t, s.Close())
		changeStream(t, nc, stream, func(c *natsjs.StreamConfig) { c.Sealed = true })
		_, err := jetstream.Open(bounded(t), nc, name, quick)
		require.ErrorIs(t, err, jetstream.ErrDenied)
		require.ErrorContains(t, err, "stream "+stream+": ")
	}
}

// TestDenied_Topic: a topic lets go of nothing itself, so that a stream may deny that; what an operator has set of it stays.
func TestDenied_Topic(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, _ := fill(t, nc, "events", "all", topic, 3)
	require.NoError(t, s.Close())
	changeStream(t, nc, "events", func(c *natsjs.StreamConfig) {
		denyBoth(c)
		c.Description, c.Compression = "kept for seven years", natsjs.S2Compression
	})
	s = open(t, nc, "events", topic)
	_, err := s.Append(bounded(t), []byte(text(4)))
	require.NoError(t, err)
	stream, err := streamsOf(t, nc).Stream(bounded(t), "events")
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	assert.Equal(t, "kept for seven years", config.Description)
	assert.Equal(t, natsjs.S2Compression, config.Compression)
	require.NoError(t, s.Close())
}

// TestDenied_Delete: where messages may not be deleted one by one consumers and letters go by a purge that names one.
func TestDenied_Delete(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, c := fill(t, nc, "events", "old", topic, 3)
	r := c.Reader(2)
	defer r.Close()
	require.NoError(t, c.Bury(bounded(t), next(t, r), "bad as well"))
	_, err := s.Consumer("other", spool.Beginning())
	require.NoError(t, err)
	changeStream(t, nc, "events_state", denyDelete)
	require.NoError(t, s.RemoveConsumer("old"))
	require.NoError(t, s.Flush(bounded(t)))
	for letter, err := range s.Letters(bounded(t)) {
		require.NoError(t, err)
		if letter.Origin == 1 {
			require.NoError(t, s.Purge(bounded(t), letter.Number))
			continue
		}
		n, err := s.Replay(bounded(t), letter)
		require.NoError(t, err)
		require.Equal(t, uint64(4), n)
	}
	require.NoError(t, s.Close())
	s = open(t, nc, "events", topic)
	assert.Equal(t, []string{"other"}, s.Consumers())
	assert.Zero(t, letters(t, s))
}

// TestDenied_Calls: where nothing at all may be removed the calls that have to say so, and change nothing; what does not goes on.
func TestDenied_Calls(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, _ := fill(t, nc, "events", "old", topic, 3)
	require.NoError(t, s.Close())
	changeStream(t, nc, "events_state", denyBoth)
	s = open(t, nc, "events", topic)
	require.ErrorIs(t, s.RemoveConsumer("old"), jetstream.ErrDenied)
	require.Equal(t, []string{"old"}, s.Consumers())
	for letter, err := range s.Letters(bounded(t)) {
		require.NoError(t, err)
		_, err = s.Replay(bounded(t), letter)
		require.ErrorIs(t, err, jetstream.ErrDenied)
		require.ErrorContains(t, err, "stream events_state: ")
		require.ErrorIs(t, s.Purge(bounded(t), letter.Number), jetstream.ErrDenied)
	}
	assert.Equal(t, uint64(4), s.State().Next, "nothing is put back")
	assert.Equal(t, 1, letters(t, s))
	c, err := s.Consumer("old", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, c.Ack(1, 3))
	require.NoError(t, s.Flush(bounded(t)))
	require.NoError(t, s.State().Failed)
}

// TestDenied_Meanwhile: one that was removed in the moment in which that was set cannot be erased, and everybody is told.
func TestDenied_Meanwhile(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, _ := fill(t, nc, "events", "old", topic, 3)
	require.NoError(t, s.Flush(bounded(t)))
	changeStream(t, nc, "events_state", denyBoth)
	err := s.RemoveConsumer("old")
	if err == nil {
		err = s.Flush(bounded(t))
		require.ErrorIs(t, err, spool.ErrFailed)
	}
	require.ErrorIs(t, err, jetstream.ErrDenied)
}

// TestClosed_Letters: a spool that is closed lets nobody read or change its letters, as the next owner may.
func TestClosed_Letters(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, _ := fill(t, nc, "orders", "", quick, 1)
	var letter spool.Letter
	for l, err := range s.Letters(bounded(t)) {
		require.NoError(t, err)
		letter = l
	}
	require.NoError(t, s.Close())
	for _, err := range s.Letters(bounded(t)) {
		require.ErrorIs(t, err, spool.ErrClosed)
	}
	require.ErrorIs(t, s.Purge(bounded(t), letter.Number), spool.ErrClosed)
	_, err := s.Replay(bounded(t), letter)
	require.ErrorIs(t, err, spool.ErrClosed)
	require.Equal(t, 1, letters(t, open(t, nc, "orders", quick)))
}
