package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/transporttest"
)

func TestWS(t *testing.T) {
	t.Parallel()
	transporttest.RunFramed(t, &transport.Config{}, func(testing.TB) string { return "ws://127.0.0.1:0" })
}

func TestWSPath(t *testing.T) {
	t.Parallel()
	transporttest.RunFramed(t, &transport.Config{}, func(testing.TB) string { return "ws://*:*/a/b%20c" })
}

func TestWSS(t *testing.T) {
	t.Parallel()
	config := &transport.Config{TLS: certificate(t)}
	transporttest.RunFramed(t, config, func(testing.TB) string { return "wss://127.0.0.1:0/zeromq" })
}

// certificate returns a TLS configuration for both sides of a connection to 127.0.0.1.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: roots}
}
