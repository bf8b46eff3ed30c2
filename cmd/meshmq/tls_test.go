package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/transport/transporttest"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := transporttest.NewAuthority(t)
	files := func(name string) []string {
		cert, key, authority := ca.Files(t.TempDir(), name)
		return []string{"--tls-cert", cert, "--tls-key", key, "--tls-ca", authority}
	}
	pull := start(t, append([]string{"pull", "-b", "tls+tcp://127.0.0.1:0", "--count", "1"}, files("queue")...)...)
	endpoint := pull.endpoint()

	stranger, key, _ := transporttest.NewAuthority(t).Files(t.TempDir(), "stranger")
	start(t, "push", "-c", endpoint, "--tls-cert", stranger, "--tls-key", key, "--tls-ca", files("x")[5], "no").says("no TLS with the peer")
	start(t, "push", "-c", strings.TrimPrefix(endpoint, "tls+"), "no").says("this is TLS")

	ok(t, append([]string{"push", "-c", endpoint, "yes"}, files("worker")...)...)
	got := pull.wait()
	assert.Zero(t, got.code, got.stderr)
	assert.Equal(t, "yes\n", got.stdout)
}
