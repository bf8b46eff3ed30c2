package reqrep_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/static"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// Of the instances that a registry knows, one that hangs gets nothing more while others are idle.
func TestCallsAreSpread_OverDiscoveredInstances(t *testing.T) {
	t.Parallel()
	var services []*reqrep.Service
	var instances []discovery.Instance
	hanging, gate := make(chan *reqrep.Service, 1), make(chan struct{})
	for i := range 3 {
		s, addr := serve(t)
		require.NoError(t, reqrep.Handle(s, "hang", func(context.Context, Question) (Answer, error) {
			hanging <- s
			<-gate
			return Answer{}, nil
		}))
		services = append(services, s)
		instances = append(instances, discovery.Instance{ID: fmt.Sprint("echo-", i), Service: "echo", Endpoints: []string{addr}})
	}
	registry, err := static.New(instances...)
	require.NoError(t, err)
	client := dial(t, nil)
	follower, err := discovery.Follow(t.Context(), registry, "echo", client)
	require.NoError(t, err)
	defer follower.Close()
	require.NoError(t, client.WaitPeers(within(t), 3))
	hung := make(chan error, 1)
	go func() { _, err := ask(t, client, "hang", ""); hung <- err }() // ended by gate
	slow := <-hanging
	for range 20 {
		_, err := ask(t, client, "echo", "")
		require.NoError(t, err)
	}
	for _, s := range services {
		assert.Equal(t, s != slow, s.Counts().Handled > 0)
	}
	close(gate)
	require.NoError(t, <-hung)
}
