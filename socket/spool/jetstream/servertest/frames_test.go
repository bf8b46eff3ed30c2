package servertest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestManyFrames: a message of more frames than a header has room for is refused at once, and is in nobody's way; one of as many as it has can be given up and replayed.
func TestManyFrames(t *testing.T) {
	t.Parallel()
	const most = 30720 // their lengths take 61,439 bytes
	s := open(t, connect(t, startNode(t, nil)), "orders", quick)
	_, err := s.Append(bounded(t), make([][]byte, most+1)...)
	require.ErrorIs(t, err, spool.ErrTooLarge)
	n, err := s.Append(bounded(t), make([][]byte, most)...)
	require.NoError(t, err)
	assert.Equal(t, uint64(1), n)
	_, err = s.Append(bounded(t), []byte("after"))
	require.NoError(t, err)
	q, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	r := next(t, reader(t, s, 1))
	require.Len(t, r.Frames, most)
	require.NoError(t, q.Bury(bounded(t), r, string(make([]byte, 2000))))
	for letter, err := range s.Letters(bounded(t)) {
		require.NoError(t, err)
		require.Len(t, letter.Frames, most)
		n, err = s.Replay(bounded(t), letter)
		require.NoError(t, err)
	}
	assert.Equal(t, uint64(3), n)
}

// TestPurge: a letter goes once; one that is gone is no error, and what is no letter stays.
func TestPurge(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s, _ := fill(t, nc, "orders", "", quick, 1)
	require.NoError(t, s.Flush(bounded(t)))
	stream, err := streamsOf(t, nc).Stream(bounded(t), "orders_state")
	require.NoError(t, err)
	for range 2 {
		for n := stream.CachedInfo().State.FirstSeq - 1; n <= stream.CachedInfo().State.LastSeq+1; n++ {
			require.NoError(t, s.Purge(bounded(t), n))
		}
		assert.Zero(t, letters(t, s))
	}
	_, err = stream.GetLastMsgForSubject(bounded(t), "meshmq.state.orders.owner")
	require.NoError(t, err)
}

// TestLettersEnd: a letter buried while others are looked through is for the next look, or whoever replays letters beside a receiver that refuses them would never come to an end.
func TestLettersEnd(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, startNode(t, nil)), "orders", quick)
	q, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	refuse := func(n uint64) {
		require.NoError(t, q.Bury(bounded(t), next(t, reader(t, s, n)), "no good"))
	}
	for range 3 {
		n, err := s.Append(bounded(t), []byte("x"))
		require.NoError(t, err)
		refuse(n)
	}
	seen := 0
	for letter, err := range s.Letters(bounded(t)) {
		require.NoError(t, err)
		seen++
		require.LessOrEqual(t, seen, 3)
		n, err := s.Replay(bounded(t), letter)
		require.NoError(t, err)
		refuse(n)
	}
	assert.Equal(t, 3, seen)
}
