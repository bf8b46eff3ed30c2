package dir

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

func TestMain(m *testing.M) { discoverytest.Main(m) }

func open(t *testing.T, path string, opts ...Option) *Registry {
	t.Helper()
	r, err := New(path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	discoverytest.Run(t, func(t *testing.T) (one, other discovery.Registry) {
		path := filepath.Join(t.TempDir(), "peers")
		return open(t, path, WithTTL(maxTTL)), open(t, path, WithTTL(maxTTL)) // whatever the machine does meanwhile
	})
}

// A process that is killed leaves its file behind and refreshes it no more.
func TestKilledExpires(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	in := discoverytest.New("orders")
	require.NoError(t, write(path, in, time.Minute))
	w := discoverytest.Watch(t, open(t, path), "orders")
	require.Equal(t, discovery.Up, w.Next(in.ID).Kind)
	age := func(d time.Duration) {
		at := time.Now().Add(-d)
		require.NoError(t, os.Chtimes(file(path, in.ID), at, at))
	}
	age(time.Minute)
	assert.Equal(t, discovery.Event{Kind: discovery.Down, Instance: in, Expired: true}, w.Next(in.ID))
	assert.FileExists(t, file(path, in.ID))

	age(3 * time.Minute) // the next to announce clears it away
	discoverytest.Announce(t, open(t, path), discoverytest.New("orders"))
	assert.NoFileExists(t, file(path, in.ID))
}

func TestRefreshKeepsAlive(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	r := open(t, path, WithTTL(minTTL))
	in := discoverytest.New("orders")
	discoverytest.Announce(t, r, in)
	long := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(file(path, in.ID), long, long))
	assert.Equal(t, discovery.Up, discoverytest.Watch(t, r, "orders").Next(in.ID).Kind)

	require.NoError(t, os.Remove(file(path, in.ID)))
	assert.Eventually(t, func() bool { _, err := os.Stat(file(path, in.ID)); return err == nil }, time.Minute, 10*time.Millisecond,
		"a file that someone removed is written anew")
}

func TestHostileFiles(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	r := open(t, path)
	for name, content := range map[string]string{
		"a.json":       `{"id":"b","service":"orders","endpoints":["tcp://x:1"],"ttl_ms":3000}`,
		"forever.json": `{"id":"forever","service":"orders","endpoints":["tcp://x:1"],"ttl_ms":9000000000000000000}`,
		"badep.json":   `{"id":"badep","service":"orders","endpoints":["tcp://x:99999"],"ttl_ms":3000}`,
		"nul.json":     "\x00\x00",
		"empty.json":   "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte(content), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(path, "folder.json"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(path, "big.json"), make([]byte, maxFile+1), 0o600))
	future := discoverytest.New("orders")
	require.NoError(t, write(path, future, time.Second))
	require.NoError(t, os.Chtimes(file(path, future.ID), time.Now().Add(time.Hour), time.Now().Add(time.Hour)))

	live, expired, err := read(path, "")
	require.NoError(t, err)
	assert.Empty(t, live)
	assert.Equal(t, map[string]bool{future.ID: true}, expired)

	good := discoverytest.New("orders")
	discoverytest.Announce(t, r, good)
	assert.Equal(t, good, discoverytest.Watch(t, r, "orders").Next(good.ID).Instance)
}

func TestClose(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	r := open(t, path)
	in := discoverytest.New("orders")
	discoverytest.Announce(t, r, in)
	w := discoverytest.Watch(t, r, "orders")
	w.Next(in.ID)
	require.NoError(t, r.Close())
	assert.NoFileExists(t, file(path, in.ID))
	assert.ErrorIs(t, w.Err(), discovery.ErrClosed)
	_, err := r.Announce(t.Context(), in)
	assert.ErrorIs(t, err, discovery.ErrClosed)
	assert.NoError(t, r.Close())
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	occupied := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(occupied, nil, 0o600))
	_, err := New(occupied)
	assert.ErrorContains(t, err, occupied)
	_, err = New(t.TempDir(), WithTTL(time.Millisecond))
	assert.ErrorContains(t, err, "ttl 1ms: want 300ms to 1h0m0s")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"a","service":"orders","endpoints":["tcp://x:1"],"meta":{"k":"v"},"ttl_ms":3000}`))
	f.Add([]byte(`{"id":"a","ttl_ms":-1}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, ttl, err := parse("a", b)
		if err == nil {
			require.NoError(t, in.Validate())
			require.Equal(t, "a", in.ID)
			require.True(t, ttl >= minTTL && ttl <= maxTTL)
		}
	})
}
