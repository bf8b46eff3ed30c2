package sockettest

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An unused endpoint refuses connections until the test listens there, and again after it does.
func TestUnused(t *testing.T) {
	t.Parallel()
	addr := strings.TrimPrefix(Unused(t), "tcp://")
	for range 3 {
		_, err := net.Dial("tcp", addr)
		require.Error(t, err)
		ln, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		assert.NoError(t, conn.Close())
		require.NoError(t, ln.Close())
	}
}
