// Package discovery finds the instances of a service and keeps sockets connected to them.
//
// A Registry is where programs announce what they offer and watch what others offer. Its
// implementations are in the folders below: mdns for a LAN, dir for the processes of one
// machine, dns for zones in which somebody keeps records of services, static for lists written by
// hand. All of them keep the same promises, which the kit in discoverytest checks, but that nothing
// can be announced by dns.
//
//	Registry.Announce ---> [ LAN, directory, zone, memory ] ---> Registry.Watch ---> Follow ---> socket
//
// Follow turns the events of a Watch into Connect and Disconnect calls on anything that has
// these two methods; sockets do. Node does both jobs for a program: it announces its services,
// follows those of others, never follows itself, and withdraws everything on Close.
//
// What is discovered comes from strangers: it is bounded and checked (Instance.Validate) before
// a caller sees it, and it says where a peer might be, never who it is. Decide about trust with
// WithFilter and with the security of the socket.
//
// # Goroutines
//
// Watch runs on its caller's goroutine. Each Follower has one goroutine, and one more for each
// connection that has outlived its record; Follower.Close ends them and waits. Node starts none
// itself. No lock is held while a registry or a socket is called, but for a Follower's own,
// which only orders its calls to the socket; sockets never call back into it.
package discovery
