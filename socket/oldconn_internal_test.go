package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

var errCut = errors.New("cut")

// shortConn takes so many octets and then fails; it gives what it holds piece by piece.
type shortConn struct {
	net.Conn
	room  int
	taken bytes.Buffer
	gives [][]byte
}

func (c *shortConn) Write(p []byte) (int, error) {
	n := min(c.room, len(p))
	c.room -= n
	c.taken.Write(p[:n])
	if n < len(p) {
		return n, errCut
	}
	return n, nil
}

func (c *shortConn) Read(p []byte) (int, error) {
	if len(c.gives) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.gives[0])
	c.gives = c.gives[1:]
	return n, nil
}

// Wherever a connection breaks, what was written of it is told so that no message whose last octet went out is sent again, and none whose
// last octet did not is taken for sent.
func TestOldConn_WriteTellsWhatWentOut(t *testing.T) {
	t.Parallel()
	bodies := []string{"", "one", strings.Repeat("x", 254), strings.Repeat("y", 300)}
	var in, old []byte
	var ends, oldEnds []int
	for _, body := range bodies {
		in = zmtp.AppendFrame(in, 0, []byte(body))
		var err error
		old, err = new(zmtp.Downgrader).Append(nil, in)
		require.NoError(t, err)
		ends, oldEnds = append(ends, len(in)), append(oldEnds, len(old))
	}
	for room := range len(old) {
		raw := &shortConn{room: room}
		n, err := newOldConn(raw, nil).Write(in)
		require.ErrorIs(t, err, errCut)
		require.Equal(t, string(old[:room]), raw.taken.String())
		for i := range ends {
			require.Equal(t, oldEnds[i] <= room, ends[i] <= n, "message %d, %d octets out, %d told", i, room, n)
		}
	}
	raw := &shortConn{room: len(old)}
	n, err := newOldConn(raw, nil).Write(in)
	require.NoError(t, err)
	assert.Equal(t, len(in), n)
	assert.Equal(t, old, raw.taken.Bytes())
}

// What is good comes before what is wrong, in whatever pieces, and each Read returns something.
func TestOldConn_Read(t *testing.T) {
	t.Parallel()
	raw := &shortConn{gives: [][]byte{{0}, {2}, {0}, []byte("b\x03"), []byte("\x01cc\xff\x80"), []byte("more")}}
	c := newOldConn(raw, []byte("\x02\x00a\x00"))
	var all []byte
	for {
		p := make([]byte, 2)
		n, err := c.Read(p)
		all = append(all, p[:n]...)
		if err != nil {
			require.ErrorIs(t, err, zmtp.ErrOldLength)
			break
		}
		require.NotZero(t, n)
	}
	assert.Equal(t, "\x00\x01a\x00\x01b\x01\x02cc", string(all))
	_, err := newOldConn(&shortConn{}, nil).Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)
}
