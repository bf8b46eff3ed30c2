package zmtp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCurve_KeysServeManyHandshakes: keys of NewCurveKeys say what bare ones say, and are not used up by handshakes that end and wipe theirs.
func TestCurve_KeysServeManyHandshakes(t *testing.T) {
	t.Parallel()
	bare := map[byte]CurveKeys{clientKeys: keysOf(clientKeys), serverKeys: keysOf(serverKeys)}
	made := map[byte]CurveKeys{}
	for seed, k := range bare {
		made[seed] = NewCurveKeys(k.Secret)
		assert.Equal(t, k.Public, made[seed].Public)
		assert.Equal(t, CurvePublic(k.Secret), made[seed].Public)
	}
	var first []said
	for _, keys := range []map[byte]CurveKeys{bare, made, made} {
		m, err := CurveClient(keys[clientKeys], keys[serverKeys].Public, random(clientRandom))
		require.NoError(t, err)
		client := secureHandshake(t, Push, m)
		server := secureHandshake(t, Pull, CurveServer(keys[serverKeys], random(serverRandom)))
		all, clientErr, serverErr := converse(client, server, Verdict{Decision: Allow}, nil)
		require.NoError(t, clientErr)
		require.NoError(t, serverErr)
		require.True(t, client.Done() && server.Done())
		client.Traffic()
		server.Traffic()
		if first == nil {
			first = all
		}
		assert.Equal(t, first, all)
	}
}

// BenchmarkCurveHandshake is both sides of one handshake, of keys that are used again.
func BenchmarkCurveHandshake(b *testing.B) {
	ours, theirs := NewCurveKeys(keysOf(clientKeys).Secret), NewCurveKeys(keysOf(serverKeys).Secret)
	for b.Loop() {
		m, err := CurveClient(ours, theirs.Public, random(clientRandom))
		if err != nil {
			b.Fatal(err)
		}
		client, server := secureHandshake(b, Push, m), secureHandshake(b, Pull, CurveServer(theirs, random(serverRandom)))
		if _, clientErr, serverErr := converse(client, server, Verdict{Decision: Allow}, nil); clientErr != nil || serverErr != nil {
			b.Fatal(clientErr, serverErr)
		}
	}
}
