package sockettest

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errBroken = errors.New("broken")

// pieces records how many bytes each Write hands to the connection.
type pieces struct {
	net.Conn
	sizes []int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.sizes = append(p.sizes, len(b))
	return len(b), nil
}

func TestFaultyConnWithoutFaults(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := NewFaultyConn(a.Conn())
	n, err := c.Write([]byte("hello"))
	require.NoError(t, err)
	assert.Equal(t, 5, n)
	b.Expect("'hello'")
	b.Send("'world'")
	b.Close()
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, "world", string(got))
}

func TestFaultyConnLimit(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := NewFaultyConn(a.Conn())
	c.In.Limit(2)
	b.Send("'abc'")
	buf := make([]byte, 16)
	n, err := c.Read(buf)
	require.NoError(t, err)
	assert.LessOrEqual(t, n, 2)
	c.In.Limit(0)
	_, err = io.ReadFull(c, buf[n:3])
	require.NoError(t, err)
	assert.Equal(t, "abc", string(buf[:3]))

	inner := &pieces{}
	c = NewFaultyConn(inner)
	c.Out.Limit(2)
	n, err = c.Write([]byte("abcde"))
	require.NoError(t, err)
	assert.Equal(t, 5, n)
	assert.Equal(t, []int{2, 2, 1}, inner.sizes)
}

func TestFaultyConnFailAfter(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := NewFaultyConn(a.Conn())
	c.Out.FailAfter(3, errBroken)
	n, err := c.Write([]byte("ab"))
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	n, err = c.Write([]byte("cde"))
	assert.ErrorIs(t, err, errBroken)
	assert.Equal(t, 1, n, "what came before the break is written")
	_, err = c.Write([]byte("e"))
	assert.ErrorIs(t, err, errBroken, "it stays broken")
	b.Expect("'abc'")
	b.ExpectSilence(time.Millisecond)
	c.Out.FailAfter(0, nil)
	_, err = c.Write([]byte("d"))
	require.NoError(t, err, "repaired")
	b.Expect("'d'")

	c.In.FailAfter(2, errBroken)
	b.Send("'xyz'")
	got, err := io.ReadAll(c)
	assert.ErrorIs(t, err, errBroken)
	assert.Equal(t, "xy", string(got))
}

// held starts call in a bubble, where both ends of the connection are a net.Pipe, and returns the channel
// of its result once it waits.
func held(c *FaultyConn, call func([]byte) (int, error)) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := call(make([]byte, 1))
		result <- err
	}()
	synctest.Wait()
	return result
}

func TestFaultyConnHold(t *testing.T) {
	t.Parallel()
	past := time.Unix(1, 0)
	for _, tc := range []struct {
		name string
		end  func(c *FaultyConn)
		want error
	}{
		{"release", func(c *FaultyConn) { c.In.Release(); c.Out.Release() }, nil},
		{"deadline in the past", func(c *FaultyConn) { c.SetDeadline(past) }, os.ErrDeadlineExceeded},
		{"deadlines one by one", func(c *FaultyConn) { c.SetReadDeadline(past); c.SetWriteDeadline(past) }, os.ErrDeadlineExceeded},
		{"deadline to come", func(c *FaultyConn) { c.SetDeadline(time.Now().Add(time.Hour)) }, os.ErrDeadlineExceeded},
		{"close", func(c *FaultyConn) { c.Close() }, net.ErrClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, other := net.Pipe()
				defer other.Close()
				c := NewFaultyConn(inner)
				defer c.Close()
				c.In.Hold()
				c.In.Hold() // twice is once
				c.Out.Hold()
				read, written := held(c, c.Read), held(c, c.Write)
				require.Empty(t, read)
				require.Empty(t, written)

				go func() { other.Read(make([]byte, 1)); other.Write([]byte{1}) }()
				tc.end(c)
				assert.ErrorIs(t, <-written, tc.want)
				assert.ErrorIs(t, <-read, tc.want)
			})
		})
	}
}

// A deadline that interrupted a held call leaves the connection usable, as a real one does.
func TestFaultyConnUsableAfterDeadline(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := NewFaultyConn(a.Conn())
	c.In.Hold()
	require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
	_, err := c.Read(make([]byte, 1))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	c.In.Release()
	b.Send("'x'")
	n, err := c.Read(make([]byte, 1))
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}
