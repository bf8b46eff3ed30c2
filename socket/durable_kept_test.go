package socket_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestDurable_NewNamesAreKept: a subscription that has begun goes on where it was, and never begins anew: also when the power goes as soon as its first subscriber knows of it.
func TestDurable_NewNamesAreKept(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	o := spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Policy: spool.OS} // which syncs nothing of itself
	publisher := func(disk spool.FS) (*socket.Pub, string) {
		log, err := spool.OpenFS(disk, o)
		require.NoError(t, err)
		pub := socket.NewPub(socket.WithSpoolOn(socket.SpoolOf(log)))
		closing(t, pub)
		return pub, bind(t, pub, "tcp://127.0.0.1:0")
	}
	pub, endpoint := publisher(disk)
	publish(t, pub, 0, 5)
	event := watch(t, pub)
	sub := durable(t, endpoint, "jobs", spool.End())
	event(socket.Resumed) // said at once with the answer
	after := disk.Synced()
	require.NoError(t, sub.Close())

	pub, endpoint = publisher(after)
	publish(t, pub, 5, 10) // before the subscriber is back
	require.Len(t, pub.Durables(), 1)
	assert.Equal(t, uint64(5), pub.Durables()[0].Position)
	sub = durable(t, endpoint, "jobs", spool.End())
	defer sub.Close()
	requireOrdinals(t, sub, 5, 10)
}
