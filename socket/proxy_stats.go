package socket

// ProxyStats is a snapshot of a proxy's counters (STATISTICS of zmq_proxy_steerable). Messages are whole messages; bytes are those of
// all frames, routing ids included. Counters start with the proxy and never fall.
type ProxyStats struct {
	// Frontend and Backend are what came in and went out at either side. When one socket is both, Frontend has what came in and Backend
	// what went out.
	Frontend, Backend ProxyTraffic

	Unroutable     uint64 // dropped: the ROUTER's peer they were for is gone, or takes nothing (see WithRouteWait)
	Refused        uint64 // dropped: not what the other socket sends, such as too large or without a routing id
	CaptureDropped uint64 // went on without a copy, because the capture socket had no room
	Paused         bool
}

// ProxyTraffic is what one side of a proxy received and sent.
type ProxyTraffic struct {
	MessagesIn, BytesIn   uint64
	MessagesOut, BytesOut uint64
	InHand                int // 1 while a message came in here that is neither sent nor dropped yet
}

// Stats returns a snapshot of the counters. It does not wait for messages under way.
func (p *Proxy) Stats() ProxyStats {
	var s ProxyStats
	p.mu.Lock()
	s.Paused = p.paused
	p.mu.Unlock()
	for _, w := range p.ways {
		from, to := &s.Frontend, &s.Backend
		if w.back {
			from, to = to, from
		}
		to.MessagesOut, to.BytesOut = w.sent.Load(), w.sentBytes.Load()
		unroutable, refused := w.unroutable.Load(), w.refused.Load()
		from.MessagesIn, from.BytesIn = w.taken.Load(), w.takenBytes.Load() // after the others: it is no less than their sum
		s.Unroutable += unroutable
		s.Refused += refused
		s.CaptureDropped += w.uncaptured.Load()
		from.InHand = int(min(from.MessagesIn-to.MessagesOut-unroutable-refused, 1))
	}
	return s
}
