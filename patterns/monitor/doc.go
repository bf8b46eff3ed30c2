// Package monitor lets a process be looked at while it runs: which peers are there, what is stuck, what was lost, how fast is it.
//
//	m := monitor.New("order-desk")
//	defer m.Close()
//	err := m.Watch("orders", worker) // any socket, Worker, Service, Producer, Subscriber, ...
//	addr, err := m.Bind("tcp://127.0.0.1:0")
//	go m.Run(ctx)
//	_, err = node.Announce(monitor.Service, addr, nil) // so that meshmq top finds it
//
// A [Monitor] is a reqrep.Service with one method, which answers with a [Snapshot]. meshmq top and meshmq dash show it; a program asks with [Get].
//
// # What it costs
//
// What is watched knows nothing of it: sockets count anyway, and are asked for their Stats when somebody looks, at most ten times a second however many look. Events are
// followed all the time, which makes each drop cost a lock and an entry of a map more than it does without any reader of events.
//
// # How large a Snapshot is
//
// It has up to 200 sockets and 200 logs, and [Snapshot.Omitted] says how many more there are. Of a socket it has up to 40 peers, or fewer where there are many
// sockets, 1000 in all or 4 of each; those that are in trouble come first, then those with the most to send, and [Socket.Others] sums up the rest. So it is with durable subscriptions, by how far they are behind, and
// [Spool.Others]. Of what went wrong it has the last 64 kinds of things, with how often each happened. Texts have at most 160 bytes. All in all that is a megabyte or two at most, and some
// kilobytes in most processes.
//
// # Who may ask
//
// Whoever can connect: names, addresses and numbers of messages are told to anybody, messages and keys to nobody. Bind to loopback or ipc, or give New
// patterns.WithSocketOptions with CURVE, or TLS, and who is let in.
//
// # Goroutines
//
// Run is that of reqrep.Service. For each socket that is watched a goroutine follows its events, begun by Watch, ended by Forget, Close, Shutdown and by the end of the socket; Close and Shutdown
// wait for all of them. No lock is held while what is watched is asked.
package monitor
