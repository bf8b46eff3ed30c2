package socket_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// save puts the public certificate of a key into a file, whole.
func save(t *testing.T, key socket.PublicKey, metadata map[string]string, path string) {
	t.Helper()
	aside := filepath.Join(t.TempDir(), "new")
	require.NoError(t, socket.CurveCertificate{Public: key, Metadata: metadata}.Save(aside))
	require.NoError(t, os.Rename(aside, path))
}

func TestAllowKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	joe, ann, eve, server := socket.NewKeyPair(), socket.NewKeyPair(), socket.NewKeyPair(), socket.NewKeyPair()
	save(t, joe.Public, nil, filepath.Join(dir, "joe.key"))
	save(t, ann.Public, map[string]string{"user-id": "Ann B.", "X-Role": "admin"}, filepath.Join(dir, "ann"))
	save(t, joe.Public, nil, filepath.Join(dir, "twice"))
	for _, name := range []string{".hidden", "backup~", "joe.key_secret"} {
		save(t, eve.Public, nil, filepath.Join(dir, name))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rubbish"), text("curve\n    public-key = \"x\"\n"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))

	keys := socket.AllowKeys(dir)
	ask := func(key socket.PublicKey) socket.Verdict {
		return keys.Authenticate(t.Context(), socket.Request{Mechanism: "CURVE", PublicKey: key})
	}
	assert.Equal(t, socket.Verdict{Decision: socket.Allow, UserID: "joe"}, ask(joe.Public))
	assert.Equal(t, socket.Verdict{Decision: socket.Allow, UserID: "Ann B.", Metadata: zmtp.Metadata{{Name: "X-Role", Value: text("admin")}}}, ask(ann.Public))
	v := ask(eve.Public)
	assert.Equal(t, socket.Deny, v.Decision)
	assert.Contains(t, v.Reason, eve.Public.String())
	assert.Equal(t, socket.Deny, keys.Authenticate(t.Context(), socket.Request{Mechanism: "NULL", PublicKey: joe.Public}).Decision)
	problems := keys.Problems()
	require.Len(t, problems, 2)
	assert.ErrorContains(t, problems[0], "rubbish: line 2: public-key: a key of 1 characters")
	assert.ErrorContains(t, problems[1], `twice: its key is that of "joe" already`)

	router := socket.NewRouter(socket.WithCurveServer(server), socket.WithAuthenticator(keys))
	in := socket.NewDealer(socket.WithCurveClient(joe, server.Public))
	out := socket.NewDealer(socket.WithCurveClient(eve, server.Public), swift())
	closing(t, router, in, out)
	refused := watch(t, router)
	endpoint := bind(t, router, "tcp://127.0.0.1:0")
	require.NoError(t, out.Connect(endpoint))
	e := refused(socket.HandshakeFailed)
	assert.ErrorContains(t, e.Err, "denied: its key "+eve.Public.String())
	assert.Equal(t, socket.RefusedDenied, e.Refusal)
	require.NoError(t, in.Connect(endpoint))
	send(t, in, "hello")
	assert.Equal(t, "joe", recv(t, router).Peer().UserID())

	// A key that is put there opens the door, one that is taken away closes it.
	save(t, eve.Public, nil, filepath.Join(dir, "eve"))
	send(t, out, "me too")
	assert.Equal(t, "eve", recv(t, router).Peer().UserID())
	require.NoError(t, os.Remove(filepath.Join(dir, "eve")))
	require.Eventually(t, func() bool { return ask(eve.Public).Decision == socket.Deny }, sockettest.Timeout, 10*time.Millisecond)
	require.NoError(t, os.RemoveAll(dir))
	require.Eventually(t, func() bool { return ask(joe.Public).Decision == socket.Fail }, sockettest.Timeout, 10*time.Millisecond)
}

func TestAllowKeys_Options(t *testing.T) {
	t.Parallel()
	server := socket.WithCurveServer(socket.NewKeyPair())
	open := t.TempDir()
	require.NoError(t, os.Chmod(open, 0o777))
	for problem, opts := range map[string][]socket.Option{
		"may be written by everybody on this host (mode 0777): chmod o-w": {server, socket.WithAuthenticator(socket.AllowKeys(open))},
		"no such file":            {server, socket.WithAuthenticator(socket.AllowKeys(filepath.Join(t.TempDir(), "x")))},
		"only to WithCurveServer": {socket.WithAuthenticator(socket.All(socket.AllowKeys(t.TempDir())))},
	} {
		_, err := socket.NewPull(opts...).Bind("tcp://127.0.0.1:0")
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, problem)
	}
}

// Who may write to the directory says who comes in: everybody may not, at any time. What only opens when somebody else does is not opened.
func TestAllowKeys_Guarded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	dir, joe, eve := t.TempDir(), socket.NewKeyPair().Public, socket.NewKeyPair().Public
	save(t, joe, nil, filepath.Join(dir, "joe"))
	save(t, eve, nil, filepath.Join(dir, "eve"))
	require.NoError(t, os.Chmod(filepath.Join(dir, "eve"), 0o666))
	require.NoError(t, exec.Command("mkfifo", filepath.Join(dir, "fifo")).Run())
	keys := socket.AllowKeys(dir)
	ask := func(key socket.PublicKey) socket.Decision {
		return keys.Authenticate(t.Context(), socket.Request{Mechanism: "CURVE", PublicKey: key}).Decision
	}
	assert.Equal(t, socket.Allow, ask(joe))
	assert.Equal(t, socket.Deny, ask(eve))
	require.Len(t, keys.Problems(), 2)
	assert.ErrorContains(t, keys.Problems()[0], "eve may be written by everybody on this host (mode 0666): chmod o-w ")
	assert.ErrorContains(t, keys.Problems()[1], "fifo: it is no regular file")
	require.NoError(t, os.Chmod(dir, 0o777))
	require.Eventually(t, func() bool { return ask(joe) == socket.Fail }, sockettest.Timeout, 10*time.Millisecond)
	require.NoError(t, os.Chmod(dir, 0o700))
	require.Eventually(t, func() bool { return ask(joe) == socket.Allow }, sockettest.Timeout, 10*time.Millisecond)
}
