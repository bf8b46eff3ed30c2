package socket_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// An event that ends each member of a durable subscription which gets it is given up, and those behind it go on, with keys in order or without.
func TestOrphaned_EventsOfADurableName(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]socket.Option{"any order": nil, "key order": {socket.WithKeyOrder()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			letters := make(chan socket.DeadLetter, 10)
			pub, at := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithAttempts(2), swiftRetry(), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
			closing(t, pub)
			chaos := sockettest.NewChaos(t, at)
			all := []string{"poison", "2", "3"}
			for _, body := range all {
				require.NoError(t, pub.Send(limit(t), text("t"), text(body)))
			}
			member := func() *socket.Sub {
				return durable(t, chaos.Endpoint, "name", spool.Beginning(), append(options, socket.WithManualAck())...)
			}
			leave := func(sub *socket.Sub) { // so that the next one finds all of it returned
				require.NoError(t, sub.Close())
				require.Eventually(t, func() bool { return pub.Durables()[0].Members == 0 && pub.Durables()[0].InFlight == 0 }, sockettest.Timeout, time.Millisecond)
			}
			for range 2 {
				sub := member()
				for _, want := range all {
					requireMsg(t, recv(t, sub), "t", want)
				}
				chaos.Cut()
				leave(sub)
			}
			for len(letters) == 0 { // it comes alone
				sub := member()
				m := recv(t, sub)
				if string(m.Frames[1]) == "poison" {
					chaos.Cut()
				}
				leave(sub)
			}
			d := <-letters
			assert.Equal(t, bodies("t", "poison"), d.Frames)
			assert.Contains(t, d.Reason, "had this message and no other")
			sub := member()
			closing(t, sub)
			for _, want := range all[1:] {
				m := recv(t, sub)
				requireMsg(t, m, "t", want)
				require.NoError(t, m.Ack())
			}
			require.NoError(t, pub.WaitAcked(limit(t)))
			assert.Empty(t, letters)
		})
	}
}
