package reqrep

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// here is what the socket says when these are connected.
func here(peers ...*socket.Peer) (s socket.Stats) {
	for _, p := range peers {
		s.Peers = append(s.Peers, socket.PeerStats{Peer: p, Connected: true})
	}
	return s
}

func TestBook(t *testing.T) {
	t.Parallel()
	a, b := new(socket.Peer), new(socket.Peer)
	done := make(chan result, 9)
	k := newBook(nil)
	at, err := k.assign(codec.NewID(), &pending{done: done}, nil, false)
	require.NoError(t, err)
	require.Nil(t, at, "nobody is there")

	require.False(t, k.update(here(a, b)))
	ids := make([]codec.ID, 4)
	calls := make([]*pending, 4)
	for i := range calls {
		ids[i], calls[i] = codec.NewID(), &pending{done: make(chan result, 1)}
		at, err := k.assign(ids[i], calls[i], nil, false)
		require.NoError(t, err)
		assert.Same(t, []*socket.Peer{a, b}[i%2], at.peer, "in turn")
	}
	_, err = k.assign(ids[0], &pending{done: done}, nil, false)
	assert.ErrorIs(t, err, socket.ErrState, "an id in use")

	k.forget(ids[0], calls[0], nil)
	k.forget(ids[0], calls[0], nil)
	assert.Equal(t, 1, calls[0].at.inFlight)
	at, _ = k.assign(ids[0], calls[0], nil, false)
	assert.Same(t, a, at.peer, "it has the fewest calls")
	k.forget(ids[0], new(pending), nil)
	assert.Same(t, calls[0], k.calls[ids[0]], "another call's end is not that of this one")

	require.True(t, k.update(here(b)))
	for _, p := range calls {
		assert.False(t, p.over, "its reply may be on its way to us")
	}
	k.bury(k.gone, errFailure)
	for i, p := range calls {
		assert.Equal(t, i%2 == 0, p.over)
	}
	k.instances[0].leaving = true
	at, err = k.assign(codec.NewID(), &pending{done: done}, nil, false)
	assert.NoError(t, err)
	assert.Nil(t, at, "the socket sends it nothing more")
}

// Attempts at one call are told apart by whom they went to, and each is forgotten by itself.
func TestBookOfSeveralAttempts(t *testing.T) {
	t.Parallel()
	k := newBook(nil)
	k.update(here(new(socket.Peer), new(socket.Peer), new(socket.Peer)))
	id, done := codec.NewID(), make(chan result, 3)
	var asked []*instance
	var tries []*pending
	for range 3 {
		p := &pending{done: done}
		at, err := k.assign(id, p, asked, true)
		require.NoError(t, err)
		require.False(t, slices.Contains(asked, at), "the same one")
		asked, tries = append(asked, at), append(tries, p)
	}
	at, err := k.assign(id, &pending{done: done}, asked, true)
	assert.NoError(t, err)
	assert.Nil(t, at, "all were asked")
	at, err = k.assign(codec.NewID(), &pending{done: done}, asked[:2], false)
	assert.NoError(t, err)
	assert.Same(t, asked[2], at, "the only one not asked")

	for i, order := range [][]int{{1, 0, 2}} {
		for n, j := range order {
			k.forget(id, tries[j], nil)
			assert.Equal(t, 3-n, k.tries, i)
		}
	}
	assert.NotContains(t, k.calls, id)
	for _, at := range asked[:2] {
		assert.Zero(t, at.inFlight)
	}
}

// An instance may go between the choice of it and the sending: what its burial says of the attempt is nothing to the next one.
func TestUnsentAttemptLeavesNoResult(t *testing.T) {
	t.Parallel()
	c := NewClient()
	defer c.Close()
	c.book.update(here(new(socket.Peer), new(socket.Peer)))
	q := &question{id: codec.NewID(), done: make(chan result, 2)}
	var tries [2]*pending
	for i := range tries {
		tries[i] = &pending{done: q.done}
		at, err := c.assign(t.Context(), q, tries[i], true)
		require.NoError(t, err)
		q.asked = append(q.asked, at)
	}
	for _, p := range tries {
		require.True(t, c.book.finish(q.id, p, result{err: socket.ErrPeerGone}, errNeutral))
	}
	c.drop(q, tries[1])
	require.Len(t, q.done, 1)
	assert.Same(t, tries[0], (<-q.done).of)
}

// What comes of an attempt just after it was given up is not taken for the result of the next one.
func TestAttemptThatWasGivenUpLeavesNoResult(t *testing.T) {
	t.Parallel()
	c := NewClient()
	defer c.Close()
	c.book.update(here(new(socket.Peer)))
	q := &question{id: codec.NewID(), done: make(chan result, 1)}
	given := &pending{done: q.done}
	_, err := c.assign(t.Context(), q, given, false)
	require.NoError(t, err)
	q.open = append(q.open, given)
	require.True(t, c.book.finish(q.id, given, result{}, errNeutral))
	c.forget(q, errNeutral)
	require.Empty(t, q.done)

	unsent := &pending{done: q.done}
	_, err = c.assign(t.Context(), q, unsent, false)
	require.NoError(t, err)
	c.book.update(here())
	c.bury(c.book.gone)
	require.Len(t, q.done, 1)
	c.drop(q, unsent)
	assert.Empty(t, q.done)
	assert.Zero(t, c.Counts().InHand)
}

// The book is the client's, whose lock is held: no call may hold it up that does not take its result.
func TestBookWaitsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which fails if all is blocked
		k := newBook(nil)
		k.update(here(new(socket.Peer)))
		id, p := codec.NewID(), &pending{done: make(chan result)}
		_, err := k.assign(id, p, nil, false)
		require.NoError(t, err)
		k.failAll(socket.ErrClosed)
		assert.Zero(t, k.open)
	})
}

func TestTimeoutHeader(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]string{
		-time.Second:            "0",
		0:                       "0",
		time.Nanosecond:         "1",
		time.Millisecond:        "1",
		1500 * time.Microsecond: "2",
		time.Hour:               "3600000",
		1<<63 - 1:               "2147483647",
	} {
		assert.Equal(t, want, formatTimeout(left))
		e := codec.Envelope{Headers: []codec.Header{{Key: headerTimeout, Value: want}}}
		got, limited, err := timeoutOf(&e)
		assert.NoError(t, err)
		assert.True(t, limited)
		assert.GreaterOrEqual(t, got, min(left, maxTimeout))
	}
	for _, text := range []string{"-1", "1s", "2147483648", "99999999999999999999", " 1"} {
		_, _, err := timeoutOf(&codec.Envelope{Headers: []codec.Header{{Key: headerTimeout, Value: text}}})
		assert.Error(t, err, text)
	}
	_, limited, err := timeoutOf(new(codec.Envelope))
	assert.NoError(t, err)
	assert.False(t, limited)
}

func TestClip(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "", clip("", 3))
	assert.Equal(t, "abc", clip("abcd", 3))
	assert.Equal(t, "a?", clip("aäb", 2), "a letter in two is none")
	assert.Equal(t, "?", clip("\xff\xfe", 9))
}
