package reqrep

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

func TestBook(t *testing.T) {
	t.Parallel()
	a, b := new(socket.Peer), new(socket.Peer)
	k := newBook()
	at, err := k.assign(codec.NewID(), new(pending))
	require.NoError(t, err)
	require.Nil(t, at, "nobody is there")

	require.False(t, k.update([]*socket.Peer{a, b}))
	ids := make([]codec.ID, 4)
	calls := make([]*pending, 4)
	for i := range calls {
		ids[i], calls[i] = codec.NewID(), new(pending)
		at, err := k.assign(ids[i], calls[i])
		require.NoError(t, err)
		assert.Same(t, []*socket.Peer{a, b}[i%2], at.peer, "in turn")
	}
	_, err = k.assign(ids[0], new(pending))
	assert.ErrorIs(t, err, socket.ErrState, "an id in use")

	k.forget(ids[0], calls[0])
	k.forget(ids[0], calls[0])
	assert.Equal(t, 1, calls[0].at.inFlight)
	at, _ = k.assign(ids[0], calls[0])
	assert.Same(t, a, at.peer, "it has the fewest calls")
	k.forget(ids[0], new(pending))
	assert.Same(t, calls[0], k.calls[ids[0]], "another call's end is not that of this one")

	require.True(t, k.update([]*socket.Peer{b}))
	for _, p := range calls {
		assert.Empty(t, p.done, "its reply may be on its way to us")
	}
	k.bury(k.gone)
	for i, p := range calls {
		select {
		case r := <-p.done:
			assert.Equal(t, 0, i%2)
			assert.ErrorIs(t, r.err, socket.ErrPeerGone)
		default:
			assert.Equal(t, 1, i%2)
		}
	}
	k.instances[0].leaving = true
	at, err = k.assign(codec.NewID(), new(pending))
	assert.NoError(t, err)
	assert.Nil(t, at, "the socket sends it nothing more")
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
