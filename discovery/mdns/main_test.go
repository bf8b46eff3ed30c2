package mdns

import (
	"context"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

func TestMain(m *testing.M) {
	if os.Getenv(peerEnv) != "" {
		os.Exit(peerMain())
	}
	discoverytest.Main(m)
}

// loopback returns the name of the loopback interface, or skips the test where multicast does
// not work on it.
func loopback(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			if err := Probe(context.Background(), i.Name); err != nil {
				t.Skipf("multicast does not work on loopback: %v", err)
			}
			return i.Name
		}
	}
	t.Skip("there is no loopback interface")
	return ""
}

// open returns a registry on loopback, as another program would have.
func open(t *testing.T, opts ...Option) *Registry {
	t.Helper()
	r, err := New(append([]Option{WithInterfaces(loopback(t))}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRegistryOnLoopback(t *testing.T) {
	t.Parallel()
	discoverytest.Run(t, func(t *testing.T) (one, other discovery.Registry) {
		return open(t), open(t)
	})
}
