package transport_test

import (
	"testing"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/transporttest"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	config := &transport.Config{TLS: certificate(t)}
	transporttest.RunFramed(t, config, func(testing.TB) string { return "tls+tcp://127.0.0.1:0" })
}
