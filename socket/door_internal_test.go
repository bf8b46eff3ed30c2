package socket

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// comer is a connection from an address.
type comer struct {
	net.Conn
	from string
}

func (c comer) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 1} }

// knock has somebody come at a time.
func knock(d *door, from string, second float64) (g, gone *guest, err error) {
	now := time.Unix(0, int64(second*1e9))
	d.mu.Lock()
	defer d.mu.Unlock()
	if g, gone, err = d.enterLocked(comer{from: from}, now, false); err == nil {
		g.asked, g.silent = now, true
	}
	return g, gone, err
}

func TestDoor_OneAddressKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	d := &door{cfg: &limitConfig{maxHandshakes: 8, maxHandshakesEach: 4}}
	var first []*guest
	for i := range 8 {
		g, _, err := knock(d, []string{"10.0.0.1", "10.0.0.2"}[i%2], float64(i)/100)
		require.NoError(t, err)
		first = append(first, g)
	}
	_, _, err := knock(d, "10.0.0.1", 0.1)
	require.ErrorIs(t, err, errHandshakesOfOrigin, "it has its four, none of them old")
	_, gone, err := knock(d, "10.0.0.3", 0.1)
	require.NoError(t, err)
	require.Same(t, first[0], gone, "the oldest of those that have the most, however young")
	require.ErrorIs(t, d.pass(gone, nil), errPushedOut)
	d.leave(gone)
	_, gone, err = knock(d, "10.0.0.2", 1.5)
	require.NoError(t, err)
	require.Same(t, first[1], gone, "its own oldest, which had its second")
	assert.Equal(t, 8, d.count)
}

// Many that come at once, each from its own address, do not push each other out: else none of them would finish.
func TestDoor_HonestCrowd(t *testing.T) {
	t.Parallel()
	d := &door{cfg: &limitConfig{maxHandshakes: 3}}
	crowd := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}
	var in []*guest
	for i, from := range crowd[:3] {
		g, gone, err := knock(d, from, float64(i)/100)
		require.NoError(t, err)
		require.Nil(t, gone)
		in = append(in, g)
	}
	_, _, err := knock(d, crowd[3], 0.9)
	require.ErrorIs(t, err, errTooManyHandshakes)
	require.NoError(t, d.pass(in[1], nil), "it finishes")
	_, gone, err := knock(d, crowd[3], 0.95)
	require.NoError(t, err)
	require.Nil(t, gone)
	_, gone, err = knock(d, "10.0.0.5", 1)
	require.NoError(t, err)
	require.Same(t, in[0], gone, "a second is enough for an honest one")
}

// Whose turn it is not is never late: it may have said what would be lost.
func TestDoor_OursIsTheTurn(t *testing.T) {
	t.Parallel()
	d := &door{cfg: &limitConfig{maxHandshakes: 3}}
	var in []*guest
	for range 3 {
		g, _, err := knock(d, "10.0.0.1", 0)
		require.NoError(t, err)
		in = append(in, g)
	}
	in[0].asked, in[0].silent = time.Time{}, false // we have not come to listen to it yet
	d.listen(in[1], false)
	last, gone, err := knock(d, "10.0.0.1", 10)
	require.NoError(t, err)
	assert.Same(t, in[2], gone, "the one that we wait for")
	d.listen(last, false)
	_, _, err = knock(d, "10.0.0.1", 20)
	require.ErrorIs(t, err, errTooManyHandshakes, "we are behind with all")
	d.listen(last, true)
	_, gone, err = knock(d, "10.0.0.1", 20)
	require.NoError(t, err)
	assert.Same(t, last, gone)
	d.listen(nil, true) // who connected to us is no guest
}

// What a peer has said is heard, however late.
func TestDoor_UnreadIsNoSilence(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux is asked what is unread")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	theirs, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer theirs.Close()
	ours, err := ln.Accept()
	require.NoError(t, err)
	defer ours.Close()
	g := &guest{conn: ours, silent: true}
	assert.True(t, g.owes())
	_, err = theirs.Write([]byte("READY"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !g.owes() }, sockettest.Timeout, time.Millisecond)
	_, err = ours.Read(make([]byte, 5))
	require.NoError(t, err)
	assert.True(t, g.owes())
}

func TestDoor_Addresses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  limitConfig
		from []string
		want error // for the last
	}{
		{"IPv6 is counted by its network", limitConfig{maxHandshakesEach: 2}, []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"}, errHandshakesOfOrigin},
		{"of another network", limitConfig{maxHandshakesEach: 2}, []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:1::3"}, nil},
		{"IPv4 in IPv6 is IPv4", limitConfig{maxHandshakesEach: 1}, []string{"10.0.0.1", "::ffff:10.0.0.1"}, errHandshakesOfOrigin},
		{"this host", limitConfig{maxHandshakesEach: 1}, []string{"127.0.0.1", "127.0.0.1"}, errHandshakesOfOrigin},
		{"peers of an address, in their handshakes", limitConfig{maxPeersEach: 1}, []string{"10.0.0.1", "10.0.0.1"}, errHandshakesOfOrigin},
		{"no bounds", limitConfig{}, []string{"10.0.0.1", "10.0.0.1", "10.0.0.1"}, nil},
	} {
		d := &door{cfg: &tc.cfg}
		var err error
		for _, from := range tc.from {
			require.NoError(t, err, tc.name)
			_, _, err = knock(d, from, 0)
		}
		require.ErrorIs(t, err, tc.want, tc.name)
	}
}

func TestDoor_Peers(t *testing.T) {
	t.Parallel()
	d := &door{cfg: &limitConfig{maxPeers: 3, maxPeersEach: 2}}
	enter := func(from string) *guest {
		g, _, err := knock(d, from, 0)
		require.NoError(t, err)
		require.NoError(t, d.pass(g, nil))
		return g
	}
	one := enter("10.0.0.1")
	enter("10.0.0.1")
	_, _, err := knock(d, "10.0.0.1", 5)
	require.ErrorIs(t, err, errTooManyOfAddress)
	enter("10.0.0.2")
	_, _, err = knock(d, "10.0.0.3", 5)
	require.ErrorIs(t, err, errTooManyPeers)
	d.leave(one)
	g, _, err := knock(d, "10.0.0.3", 5)
	require.NoError(t, err)
	failed := errors.New("failed")
	require.ErrorIs(t, d.pass(g, failed), failed)
	d.leave(g)
	enter("10.0.0.1")
	require.NoError(t, d.pass(nil, nil), "who did not come in")
	assert.Zero(t, d.count)
	assert.Equal(t, 3, d.inside)
}

// Who gives way to another address at once had better be one that does not have our READY: the others may have sent what would be lost.
func TestDoor_WhoIsNotReadyGivesWayFirst(t *testing.T) {
	t.Parallel()
	d := &door{cfg: &limitConfig{maxHandshakes: 4}}
	var in []*guest
	for i := range 4 {
		g, _, err := knock(d, "10.0.0.1", float64(i)/100)
		require.NoError(t, err)
		in = append(in, g)
	}
	for _, g := range in[:2] {
		require.NoError(t, d.ready(g))
	}
	_, gone, err := knock(d, "10.0.0.2", 0.5)
	require.NoError(t, err)
	assert.Same(t, in[2], gone)
	require.ErrorIs(t, d.ready(gone), errPushedOut)
	_, gone, err = knock(d, "10.0.0.3", 1.005)
	require.NoError(t, err)
	assert.Same(t, in[0], gone, "it had its second")
}
