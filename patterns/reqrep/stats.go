package reqrep

import "github.com/sony/gobreaker/v2"

// CallStats says how a Client's calls go.
type CallStats struct {
	Instances []InstanceStats // that are connected
	Retries   uint64          // attempts after a call's first
	Hedges    uint64          // requests to a further instance
	Withheld  uint64          // retries and hedges that WithRetryBudget did not allow
}

// InstanceStats says how the calls to one instance go, since it was connected.
type InstanceStats struct {
	Instance
	InFlight int
	Calls    uint64 // requests sent
	Failures uint64 // of those, what Breaker.Failed says is the instance's failure; not counted without WithBreaker
	Breaker  BreakerState
}

// Instance is one instance of a service, as the client knows it.
type Instance struct {
	Endpoint  string // as given to Connect; its address if it connected to us
	Address   string // of the network
	RoutingID string // see socket.Peer
}

func (at *instance) name() Instance {
	return Instance{Endpoint: at.endpoint, Address: at.peer.Address(), RoutingID: at.peer.RoutingID()}
}

// CallStats returns a snapshot. That a breaker's pause is over shows in it at once.
func (c *Client) CallStats() CallStats {
	c.mu.Lock()
	defer c.unlock()
	stats := CallStats{Retries: c.retries, Hedges: c.hedges, Withheld: c.withheld}
	for _, at := range c.book.instances {
		state := gobreaker.StateClosed
		if at.breaker != nil {
			state = at.breaker.State()
		}
		stats.Instances = append(stats.Instances, InstanceStats{
			Instance: at.name(), InFlight: at.inFlight, Calls: at.calls, Failures: at.failures, Breaker: stateOf(state),
		})
	}
	return stats
}
