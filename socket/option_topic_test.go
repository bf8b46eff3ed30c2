package socket_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Options that contradict each other make the socket unusable, and the error names both.
func TestOption_ContradictionsOfTopics(t *testing.T) {
	t.Parallel()
	choose := socket.WithPeerDropPolicy(func(*socket.Peer) socket.DropPolicy { return socket.DropNewest })
	for _, tc := range []struct {
		one, other socket.Option
		want       string
	}{
		{socket.WithConflate(), socket.WithNoDrop(), "WithConflate with WithNoDrop"},
		{socket.WithConflate(), socket.WithDropPolicy(socket.DropNewest), "WithConflate with WithDropPolicy"},
		{socket.WithConflate(), choose, "WithConflate with WithPeerDropPolicy"},
		{socket.WithNoDrop(), socket.WithDropPolicy(socket.DropNewest), "WithNoDrop with WithDropPolicy"},
		{socket.WithNoDrop(), choose, "WithNoDrop with WithPeerDropPolicy"},
		{socket.WithDropPolicy(socket.Block), choose, "WithDropPolicy with WithPeerDropPolicy"},
		{socket.WithInvertMatching(), socket.WithWelcomeMessage(text("x")), "WithInvertMatching with WithWelcomeMessage"},
	} {
		for _, opts := range [][]socket.Option{{tc.one, tc.other}, {tc.other, tc.one}} {
			err := socket.NewPub(opts...).Connect("inproc://nowhere")
			require.ErrorIs(t, err, socket.ErrOption)
			require.ErrorContains(t, err, tc.want)
		}
	}
	for _, tc := range []struct {
		one, other socket.Option
		want       string
	}{
		{socket.WithVerbose(), socket.WithVerboser(), "WithVerbose with WithVerboser"},
		{socket.WithManual(), socket.WithVerbose(), "WithManual with WithVerbose:"},
		{socket.WithManual(), socket.WithVerboser(), "WithManual with WithVerboser"},
	} {
		for _, opts := range [][]socket.Option{{tc.one, tc.other}, {tc.other, tc.one}} {
			err := socket.NewXPub(opts...).Connect("inproc://nowhere")
			require.ErrorIs(t, err, socket.ErrOption)
			require.ErrorContains(t, err, tc.want)
		}
	}
	for _, opts := range [][]socket.Option{
		{socket.WithNoDrop(), socket.WithDropPolicy(socket.Block)},
		{socket.WithManual(), socket.WithWelcomeMessage(text("x")), socket.WithDropPolicy(socket.Disconnect)},
	} {
		xpub := socket.NewXPub(opts...)
		closing(t, xpub)
		require.NoError(t, xpub.Connect("inproc://nowhere"))
	}
}
