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
