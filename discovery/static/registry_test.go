package static_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
	"github.com/meshmq/meshmq/discovery/static"
)

func TestMain(m *testing.M) { discoverytest.Main(m) }

func TestRegistry(t *testing.T) {
	t.Parallel()
	discoverytest.Run(t, func(t *testing.T) (one, other discovery.Registry) {
		r, err := static.New()
		require.NoError(t, err)
		return r, r
	})
}

func TestNewChecks(t *testing.T) {
	t.Parallel()
	in := discoverytest.New("orders")
	_, err := static.New(in, in)
	assert.EqualError(t, err, "static registry: two instances have the id "+in.ID)
	in.Service = ""
	_, err = static.New(in)
	assert.ErrorContains(t, err, "service name is empty")
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers")
	require.NoError(t, os.WriteFile(path, []byte(`# the shop
orders=tcp://10.0.0.7:5555,ipc:///run/orders

 prices = tcp://x:1
`), 0o600))
	_, err := static.Load(path)
	require.ErrorContains(t, err, "line 4")
	require.ErrorContains(t, err, `service name "prices "`)

	require.NoError(t, os.WriteFile(path, []byte("# the shop\norders=tcp://10.0.0.7:5555,ipc:///run/orders\n\n"), 0o600))
	r, err := static.Load(path)
	require.NoError(t, err)
	want, err := static.Parse("orders=tcp://10.0.0.7:5555,ipc:///run/orders")
	require.NoError(t, err)
	got := discoverytest.Watch(t, r, "orders").Next(want.ID)
	assert.Equal(t, discovery.Event{Kind: discovery.Up, Instance: want}, got)
	assert.Equal(t, []string{"tcp://10.0.0.7:5555", "ipc:///run/orders"}, got.Instance.Endpoints)
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := static.Load(filepath.Join(dir, "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)

	path := filepath.Join(dir, "big")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("# filler\n", 1<<17)), 0o600))
	_, err = static.Load(path)
	assert.ErrorContains(t, err, "more than 1048576 bytes")

	require.NoError(t, os.WriteFile(path, []byte("a=tcp://x:1\na=tcp://x:1\n"), 0o600))
	_, err = static.Load(path)
	assert.ErrorContains(t, err, "two instances")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"orders=tcp://10.0.0.7:5555", "a=ipc:///x,tcp://[::1]:7", "=", "a=b", "a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		in, err := static.Parse(s)
		if err == nil {
			require.NoError(t, in.Validate())
		}
	})
}
