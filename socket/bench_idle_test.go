package socket_test

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// idlePeer is the most memory that a peer may cost which says nothing, buffers of the system aside. It takes 12 KiB, some of which is the other
// side of its connection, in the same process; the rest is for other versions of Go.
const idlePeer = 13 << 10

// BenchmarkIdlePeers reports what a peer costs that says nothing, and fails when that is too much. Heartbeats are on. Once is enough,
// whatever b.N: it is an average already.
func BenchmarkIdlePeers(b *testing.B) {
	const peers = 1000
	router := socket.NewRouter()
	endpoint, err := router.Bind("tcp://127.0.0.1:0")
	must(b, err)
	before := inUse()
	conns := make([]net.Conn, peers)
	for i := range conns {
		conns[i] = dialIdle(b, endpoint)
	}
	must(b, router.WaitPeers(b.Context(), peers))
	each := (inUse() - before) / peers
	b.ReportMetric(float64(each), "B/peer")
	b.ReportMetric(0, "ns/op")
	if each > idlePeer {
		b.Fatalf("%d bytes for each idle peer, want at most %d", each, idlePeer)
	}
	for _, c := range conns {
		c.Close()
	}
	must(b, router.Close())
}

func inUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first only empties pools halfway
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// dialIdle connects a DEALER that does its handshake and no more.
func dialIdle(b *testing.B, endpoint string) net.Conn {
	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
	must(b, err)
	h, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.Dealer})
	must(b, err)
	_, err = conn.Write(h.Start())
	must(b, err)
	for buf := make([]byte, 1); !h.Done(); {
		_, err := io.ReadFull(conn, buf)
		must(b, err)
		_, out, err := h.Step(buf)
		must(b, err)
		_, err = conn.Write(out)
		must(b, err)
	}
	return conn
}
