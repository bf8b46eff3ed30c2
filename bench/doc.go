// Command bench measures meshmq against its peers in one run, in turns, and writes a table in Markdown. It is a module of its own, so that
// nobody who uses meshmq downloads what it is measured against.
//
//	libzmq       needs a C compiler and libzmq with headers (Debian: libzmq3-dev)
//	zmq4         go-zeromq/zmq4
//	nats         NATS core, with its server
//	raw          the limit: what Go and the system do without a protocol
//
// Each prints what `meshmq bench --json` prints. Run it on a machine that does nothing else:
//
//	cd bench && go run . [-rounds 5] [-seconds 1] [-only fanin]
//
// bench/all.sh runs all of it, draws the curves, and writes both down.
//
// What it costs that nothing is lost, next to JetStream, is a program of its own: durable. So is what typed calls, events and jobs
// cost, next to NATS, google.golang.org/grpc, net/http and net/rpc: patterns. all.sh runs both, too.
package main
