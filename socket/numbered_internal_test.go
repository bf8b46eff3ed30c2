package socket

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Numbers are not given twice at a time, nor is zero ever, when they begin anew.
func TestNumbered_BeginsAnew(t *testing.T) {
	t.Parallel()
	s := NewServer()
	defer s.Close()
	s.last = math.MaxUint32 - 3
	var pipes []*pipe
	for range 6 {
		p := newPipe(&s.core, "inproc://x", nil)
		require.NoError(t, s.enroll(p))
		pipes = append(pipes, p)
	}
	for i, want := range []uint32{math.MaxUint32 - 2, math.MaxUint32 - 1, math.MaxUint32, 1, 2, 3} {
		require.Equal(t, want, pipes[i].number)
	}
	s.forget(pipes[4])
	s.last = math.MaxUint32 - 3
	p := newPipe(&s.core, "inproc://x", nil)
	require.Equal(t, uint32(2), s.seat(p))
	s.forget(pipes[4]) // again, and late: the number is another's now
	require.NotNil(t, s.seats[2])
}
