// Package dns is a registry for where multicast does not reach: the Domain Name System. Who runs a zone says where a service is, by
// records that are there already in many places, such as Kubernetes' for headless services and Consul's (WithTCP).
//
//	registry, err := dns.New("shop.example.com")                          // asks the system's servers
//	node := discovery.NewNode(registry, "order-desk")
//	follower, err := node.Follow("orders", producer)                      // all that _orders._tcp.shop.example.com has
//
// An instance is an SRV record (RFC 2782) of _SERVICE._tcp.DOMAIN: its endpoint has the record's target and port, and its Meta
// the record's priority and weight, for a discovery.WithFilter that wants only some. The target is resolved, by the system, when it is connected to. With WithPort an
// instance is an address of SERVICE.DOMAIN instead, for zones that have no SRV records.
//
//	_orders._tcp.shop.example.com. 30 IN SRV 0 0 5555 one.shop.example.com.      tcp://one.shop.example.com:5555
//	orders.shop.example.com.       30 IN A   10.0.0.7                            tcp://10.0.0.7:5555, WithPort(5555)
//
// Kubernetes has both for a headless service: SRV records by the name of a port, _PORT._tcp.NAME.NAMESPACE.svc.cluster.local, for which the
// domain is NAME.NAMESPACE.svc.cluster.local and the service is called PORT, and addresses of NAME.NAMESPACE.svc.cluster.local.
//
// # What may be relied on
//
// Records are asked for again when their time to live is over, or that of their absence (RFC 2308), but not sooner or later than WithPeriod says. A server that does not
// answer, or fails, is no sign that a service is gone: the next one is asked, and what is known stays until nobody has answered for as long as WithPatience
// says; then it is Down, Expired. WithOnError is told meanwhile.
//
// Answers are bounded: 1024 instances, aliases (CNAME) of eight steps, and what a packet holds. They are as true as the way to the server: plain DNS can be forged on it.
//
// Announce is refused, with the record that the zone would want: see ErrReadOnly.
//
// The package starts no goroutine: Watch asks on its caller's. It has no lock.
package dns
