package transport_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

// leaveStale leaves at path what a listener that was killed leaves there.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, ln.Close())
	require.FileExists(t, path)
}

func TestIPCReplacesStaleSocket(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	leaveStale(t, path)
	ln := listen(t, "ipc://"+path)
	conn, err := dial(context.Background(), t, ln.Endpoint())
	require.NoError(t, err)
	assert.IsType(t, &net.UnixConn{}, conn)
	conn.Close()
}

func TestIPCCloseRemovesItsFile(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	ln := listen(t, "ipc://"+path)
	require.FileExists(t, path)
	require.NoError(t, ln.Close())
	assert.NoFileExists(t, path)

	fresh := listen(t, "ipc://*")
	path, _ = strings.CutPrefix(fresh.Endpoint(), "ipc://")
	assert.Equal(t, filepath.Clean(os.TempDir()), filepath.Dir(path))
	require.FileExists(t, path)
	require.NoError(t, fresh.Close())
	assert.NoFileExists(t, path)
}

// What took the place of the socket's file is not ours to remove; that nothing did is no error.
func TestIPCCloseLeavesOtherFiles(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	ln := listen(t, "ipc://"+path)
	require.NoError(t, os.Remove(path))
	other := listen(t, "ipc://"+path)
	require.NoError(t, ln.Close())
	conn, err := dial(context.Background(), t, other.Endpoint())
	require.NoError(t, err)
	conn.Close()

	require.NoError(t, os.Remove(path))
	assert.NoError(t, other.Close())
}

func TestIPCKeepsFileInTheWay(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err := tryListen(t, "ipc://"+path)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.Equal(t, "bind ipc://"+path+": address already in use by a file that is no socket", err.Error())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(content))

	link := socketPath(t)
	require.NoError(t, os.Symlink(path, link))
	_, err = tryListen(t, "ipc://"+link)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.FileExists(t, link)
}

func TestIPCBindProblems(t *testing.T) {
	t.Parallel()
	path := socketPath(t) + "/nosuch/s"
	_, err := tryListen(t, "ipc://"+path)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Equal(t, "bind ipc://"+path+": no such file or directory", err.Error())
}

// raceToListen returns the listeners of many that bind at the same moment.
func raceToListen(t *testing.T, endpoint string) []transport.Listener {
	t.Helper()
	var mu sync.Mutex
	var won []transport.Listener
	var wg sync.WaitGroup
	ready := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			<-ready
			ln, err := tryListen(t, endpoint)
			if err != nil {
				assert.ErrorIs(t, err, syscall.EADDRINUSE)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, ln)
		})
	}
	close(ready)
	wg.Wait()
	return won
}
