// Package transport carries bytes between sockets: it turns an endpoint such as tcp://127.0.0.1:5555
// into a listener or a connection, and knows nothing about messages.
//
//	tcp://host:port        ParseConnect: an IP address or a DNS name, resolved anew by each Dial
//	tcp://src:0;host:port  ParseConnect: the same, leaving from the address or interface src
//	tcp://host:port        ParseBind: an IP address, an interface, or a DNS name of this host
//	tcp://*:port           ParseBind: every interface, IPv4 and, where the host has it, IPv6
//	tcp://host:*           ParseBind: a free port; 0 means the same
//	tls+tcp://host:port    tcp under TLS, 1.2 or later, in all the forms above; see Config.TLS
//	ipc:///run/app.sock    a Unix socket by its path, at most 107 bytes
//	ipc://@name            a Unix socket in Linux's abstract namespace: no file, gone with its process
//	ipc://*                ParseBind: a Unix socket at a fresh path in the folder for temporary files
//	inproc://name          memory within this process; listeners and dialers come in any order
//	ws://host:port/path    ZMTP over WebSocket (ZWS 2.0, RFC 45); hosts and ports as for tcp, port 80 if none is given
//	wss://host:port/path   the same over TLS, see Config.TLS; port 443 if none is given
//
// The path of a bound ws endpoint is the only one that it answers to; without a path, or with /, it answers to all.
// 0.0.0.0 binds IPv4 only, [::] binds what * does. No endpoint holds a space, not even in a path. Nonsense
// is refused when it is parsed, with an *EndpointError; what only the host can tell (does the interface
// exist, is the port free) shows in Listen or Dial.
//
// Listen on a path replaces a socket file whose listener is dead. To find out it connects once, so a
// listener that is alive sees a connection that ends at once. Any other file is left alone: both are
// "address already in use". Close removes the socket file.
//
// # Real addresses
//
// Listener.Endpoint reports the address that was bound, with wildcards filled in. All interfaces have
// no address of their own, so tcp://*:0 reports tcp://0.0.0.0:43211: ParseConnect takes that as it
// stands and reaches this host; a peer elsewhere puts a host of ours in the place of 0.0.0.0.
//
// # Connections
//
// A conn of tls+tcp agrees upon TLS in its first Read or Write, under its deadlines; one that strikes then leaves it unusable. So does a
// write deadline that strikes later, as in crypto/tls, but not a read deadline. CloseWrite and Close say close_notify without waiting for
// a peer that does not read. TLSState says who the peer has proved to be.
//
// Conns of tcp and ipc are plain *net.TCPConn and *net.UnixConn, unless Config.Dialer makes others. A conn of inproc behaves as these do
// and has more methods: CloseWrite, TryRead and TryWrite, which never block, WriteParts and ReadBody, which hand memory over, and OnWanted, which tells a writer that the reader waits. Reads, writes
// and Close may run at once. A read deadline in the past wakes a blocked Read, loses no data and leaves
// the conn usable.
//
// A conn of ws and wss carries nothing but ZMTP, see package internal/ws: a greeting of 64 octets, then frames. TLS and the HTTP upgrade
// happen in its first Read or Write, under its deadlines. A Write that a deadline ends midway leaves it unusable for writing.
//
// # Goroutines and locks
//
// The package starts no goroutine: Accept, Dial, Read and Write work on their caller's. The locks of inproc,
// outer first: inprocListener.mu, the table of names, stream.writing, stream.mu.
package transport
