package servertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// streamsOf returns what a test does to the streams of a spool.
func streamsOf(t *testing.T, nc *nats.Conn) natsjs.JetStream {
	t.Helper()
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	return js
}

// fill makes a spool that holds so many messages and one dead letter, that of the first.
func fill(t *testing.T, nc *nats.Conn, name, consumer string, o jetstream.Options, count uint64) (*jetstream.Spool, socket.SpoolConsumer) {
	t.Helper()
	s := open(t, nc, name, o)
	c, err := s.Consumer(consumer, spool.Beginning())
	require.NoError(t, err)
	for n := uint64(1); n <= count; n++ {
		_, err := s.Append(bounded(t), []byte(text(n)))
		require.NoError(t, err)
	}
	r := c.Reader(0)
	defer r.Close()
	require.NoError(t, c.Bury(bounded(t), next(t, r), "bad"))
	return s, c
}

// requireDamaged checks that a spool is not opened, and that who wants to is told what is wrong and what to do.
func requireDamaged(t *testing.T, nc *nats.Conn, name string, o jetstream.Options, says string) {
	t.Helper()
	_, err := jetstream.Open(bounded(t), nc, name, o)
	require.ErrorIs(t, err, spool.ErrDamaged)
	require.ErrorContains(t, err, says)
	require.ErrorContains(t, err, "Options.Repair")
	require.NotContains(t, err.Error(), "meshmq spool", "which is for disks")
}

func letters(t *testing.T, s *jetstream.Spool) (n int) {
	t.Helper()
	for _, err := range s.Letters(bounded(t)) {
		require.NoError(t, err)
		n++
	}
	return n
}

// TestLost_Positions: a spool whose positions are gone is not taken for one that never had any. Repaired it delivers all that is there again, as messages of another incarnation.
func TestLost_Positions(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js := streamsOf(t, nc)
	for name, lose := range map[string]struct {
		how  func(t *testing.T, state string)
		says string
	}{
		"deleted": {func(t *testing.T, state string) { require.NoError(t, js.DeleteStream(bounded(t), state)) }, "deleted_state is gone"},
		"emptied": {func(t *testing.T, state string) {
			stream, err := js.Stream(bounded(t), state)
			require.NoError(t, err)
			require.NoError(t, stream.Purge(bounded(t)))
		}, "emptied_state has lost what it held"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := fill(t, nc, name, "billing", topic, 10)
			require.NoError(t, c.Ack(1, 5))
			require.NoError(t, s.Close())
			lose.how(t, name+"_state")
			for range 2 { // nothing is changed
				requireDamaged(t, nc, name, topic, lose.says)
			}
			repair := topic
			repair.Repair = true
			s = open(t, nc, name, repair)
			_, incarnation := s.Stream()
			assert.Equal(t, uint32(2), incarnation)
			assert.Empty(t, s.Consumers())
			assert.Zero(t, letters(t, s))
			c, err := s.Consumer("billing", spool.Beginning())
			require.NoError(t, err)
			floor, pending := c.Position()
			assert.Equal(t, [2]uint64{0, 10}, [2]uint64{floor, pending})
			require.NoError(t, s.Close())
			assert.Equal(t, []string{"billing"}, open(t, nc, name, topic).Consumers(), "it is whole again")
		})
	}
}

// TestLost_Messages: a spool whose messages are gone is not taken for a new one. Repaired it is one, with the dead letters.
func TestLost_Messages(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js := streamsOf(t, nc)
	s, _ := fill(t, nc, "events", "billing", topic, 10)
	before, _ := s.Stream()
	require.NoError(t, s.Close())
	require.NoError(t, js.DeleteStream(bounded(t), "events"))
	for range 2 {
		requireDamaged(t, nc, "events", topic, "stream events, with the messages, is gone")
	}
	repair := topic
	repair.Repair = true
	s = open(t, nc, "events", repair)
	after, incarnation := s.Stream()
	assert.NotEqual(t, before, after)
	assert.Equal(t, uint32(2), incarnation)
	assert.Equal(t, uint64(1), s.State().Next)
	assert.Equal(t, 1, letters(t, s))
	assert.Empty(t, s.Consumers())
	_, err := s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	c, err := open(t, nc, "events", topic).Consumer("billing", spool.Beginning())
	require.NoError(t, err)
	r := c.Reader(0)
	defer r.Close()
	assert.Equal(t, text(1), string(next(t, r).Frames[0]))
}

// TestLost_End: messages older than what was acknowledged, as from a backup, are not read as if nothing were missing. Repaired they are delivered, some again, and those that come later.
func TestLost_End(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js := streamsOf(t, nc)
	for name, acked := range map[string][][2]uint64{"all": {{1, 10}}, "late": {{1, 2}, {5, 10}}} {
		s, c := fill(t, nc, name, "", quick, 10)
		for _, a := range acked {
			require.NoError(t, c.Ack(a[0], a[1]))
		}
		require.NoError(t, s.Close())
		stream, err := js.Stream(bounded(t), name)
		require.NoError(t, err)
		config := stream.CachedInfo().Config
		require.NoError(t, js.DeleteStream(bounded(t), name))
		_, err = js.CreateStream(bounded(t), config)
		require.NoError(t, err)
		requireDamaged(t, nc, name, quick, "ends at message 0, but 10 was acknowledged")
		repair := quick
		repair.Repair = true
		s = open(t, nc, name, repair)
		_, err = s.Append(bounded(t), []byte(text(1)))
		require.NoError(t, err)
		rec := next(t, reader(t, s, 0))
		assert.Equal(t, text(1), string(rec.Frames[0]))
		assert.Greater(t, rec.Incarnation, uint32(1), "another message of that number")
		require.NoError(t, s.Close())
	}
}

// TestLost_Idle: a stream that is deleted while nobody sends ends the spool as well, whichever of the two it is.
func TestLost_Idle(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js := streamsOf(t, nc)
	for name, stream := range map[string]string{"messages": "messages", "positions": "positions_state"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := fill(t, nc, name, "", quick, 10)
			require.NoError(t, s.Flush(bounded(t)))
			require.NoError(t, js.DeleteStream(bounded(t), stream))
			require.Eventually(t, func() bool { return s.State().Failed != nil }, time.Minute, time.Millisecond)
			require.ErrorIs(t, s.State().Failed, spool.ErrFailed)
			require.ErrorContains(t, s.State().Failed, "gone")
			require.ErrorContains(t, s.State().Failed, "Options.Repair")
		})
	}
}

// TestForeign: streams that are no spool's, or another's, are left alone, and who wants their name is told.
func TestForeign(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js := streamsOf(t, nc)
	for _, name := range []string{"messages", "positions_state"} {
		_, err := js.CreateStream(bounded(t), natsjs.StreamConfig{Name: name, Subjects: []string{name}})
		require.NoError(t, err)
	}
	open(t, nc, "spool_state", quick)
	open(t, nc, "other", quick)
	const free, keep = "give the spool another name, or delete the stream", "it is that of spool %s, with what that holds: give this one another name"
	for name, c := range map[string]struct{ stream, says string }{
		"messages": {"messages", free}, "positions": {"positions_state", free},
		"spool": {"spool_state", fmt.Sprintf(keep, "spool_state")}, "other_state": {"other_state", fmt.Sprintf(keep, "other")},
	} {
		_, err := jetstream.Open(bounded(t), nc, name, quick)
		require.ErrorIs(t, err, spool.ErrForeign)
		require.ErrorContains(t, err, "stream "+c.stream+" is not of this spool: "+c.says)
		require.NotContains(t, err.Error(), "segment")
	}
	_, err := jetstream.Open(bounded(t), nc, "a.b", quick)
	require.ErrorIs(t, err, spool.ErrName)
	require.NotContains(t, err.Error(), "'.'", "which streams cannot have")
}

// TestReplicas: what is asked for at an opening holds for positions and dead letters as for messages.
func TestReplicas(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(startProcesses(t)[0].url(), nats.MaxReconnects(-1))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js := streamsOf(t, nc)
	for _, replicas := range []int{1, 3, 1} {
		s := open(t, nc, "orders", jetstream.Options{Replicas: replicas})
		for _, name := range []string{"orders", "orders_state"} {
			stream, err := js.Stream(bounded(t), name)
			require.NoError(t, err)
			assert.Equal(t, replicas, stream.CachedInfo().Config.Replicas, name)
		}
		require.NoError(t, s.Close())
	}
}
