package zmtp

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A side that is patient says READY when it has let the peer in, and what the peer is to be told when it has not.
func TestHandshake_Identify(t *testing.T) {
	t.Parallel()
	ready := AppendCommand(nil, CommandReady, AppendMetadata(nil, Metadata{{PropertySocketType, []byte(Dealer)}, {PropertyIdentity, []byte("d")}}))
	ours := AppendCommand(nil, CommandReady, AppendMetadata(nil, Metadata{{PropertySocketType, []byte(Router)}, {PropertyIdentity, nil}}))
	taken := errors.New("taken")
	for _, tc := range []struct {
		patient     bool
		tell        string
		err         error
		first, last string
	}{
		{false, "", nil, string(ours), ""},
		{true, "", nil, "", string(ours)},
		{false, "", taken, string(ours), ""},
		{true, "", taken, "", ""},
		{false, "no", taken, string(ours), string(AppendError(nil, "no"))},
		{true, "no", taken, "", string(AppendError(nil, "no"))},
	} {
		var who Peer
		h := newHandshake(t, Config{SocketType: Router, Patient: tc.patient, Identify: func(p Peer) (string, error) { who = p; return tc.tell, tc.err }})
		_, out, err := h.Step(greetingOf(1, 0))
		require.NoError(t, err)
		assert.Equal(t, tc.first, string(out))
		assert.Empty(t, who)
		_, out, err = h.Step(ready)
		assert.Equal(t, tc.err, err)
		assert.Equal(t, tc.last, string(out))
		assert.Equal(t, "d", string(who.Identity))
		assert.Equal(t, Dealer, who.SocketType)
		assert.Equal(t, tc.err == nil, h.Done())
	}
	h := newHandshake(t, Config{SocketType: Pull, Downgrade: true, Identify: func(Peer) (string, error) { return "", taken }})
	_, _, err := h.Step([]byte(oldPeers["2.0"]))
	assert.Equal(t, taken, err)
}
