package servertest

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// startCluster starts three servers that know each other.
func startCluster(t *testing.T) []*node {
	t.Helper()
	var ports []int
	var routes []*url.URL
	for range 3 { // all are needed before the first server starts
		at, err := netip.ParseAddrPort(strings.TrimPrefix(sockettest.Unused(t), "tcp://"))
		require.NoError(t, err)
		ports = append(ports, int(at.Port()))
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: at.String()})
	}
	var nodes []*node
	for i, port := range ports {
		nodes = append(nodes, startNode(t, func(o *server.Options) {
			o.ServerName = fmt.Sprint("server-", i)
			o.Cluster = server.ClusterOpts{Name: "three", Host: "127.0.0.1", Port: port}
			o.Routes = routes
		}))
	}
	return nodes
}

// TestCluster: of three servers the one that leads the stream is killed in the middle of traffic, then another, each time without a farewell
// to the rest. Everything that was confirmed is in the stream exactly once, and in order, as all three say in the end.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	nc := connect(t, nodes...)
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	var s *jetstream.Spool
	for end := time.Now().Add(time.Minute); s == nil; { // until a leader of all is elected
		s, err = jetstream.Open(bounded(t), nc, "orders", jetstream.Options{Replicas: 3, Patience: 3 * time.Second})
		if time.Now().After(end) {
			require.NoError(t, err)
		}
	}
	defer func() {
		if s != nil {
			_ = s.Close()
		}
	}()
	w := startSender(t, s, 16)
	for range 2 {
		w.more(t, 100)
		leader := ""
		require.Eventually(t, func() bool {
			stream, err := js.Stream(context.Background(), "orders") // each with a limit of its own: one may be lost with a leader
			if err == nil {
				leader = stream.CachedInfo().Cluster.Leader
			}
			return leader != ""
		}, time.Minute, 50*time.Millisecond)
		for _, n := range nodes {
			if n.Name() == leader {
				n.stop()
				w.more(t, 100) // with two
				n.start(t)
			}
		}
	}
	w.more(t, 100)
	given := w.end()
	requireStored(t, s, given)
	require.NoError(t, s.Flush(bounded(t)))
	require.NoError(t, s.Close())
	s, err = jetstream.Open(bounded(t), nc, "orders", jetstream.Options{Replicas: 3, Patience: 3 * time.Second})
	require.NoError(t, err)
	assert.Equal(t, uint64(len(given)+1), s.State().Next)
	requireStored(t, s, given)
}
