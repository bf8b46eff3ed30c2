package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// keygen makes certificate files and returns the path of the public one.
func keygen(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	assert.Equal(t, []string{path, path + "_secret"}, lines(ok(t, "keygen", "--out", path)))
	return path
}

func TestKeygen(t *testing.T) {
	t.Parallel()
	assert.Regexp(t, regexp.MustCompile(`^public-key \S{40}\nsecret-key \S{40}\n$`), ok(t, "keygen"))
	path := keygen(t, "key")
	r := meshmq(t, "keygen", "--out", path)
	assert.Equal(t, exitError, r.code)
	assert.Contains(t, r.stderr, "key_secret: file exists")
	assert.Equal(t, exitUsage, meshmq(t, "keygen", "--name", "x").code)
}

// Peers with the right keys talk, in files or spelt out.
func TestCurveFlags(t *testing.T) {
	t.Parallel()
	server, client := keygen(t, "server"), keygen(t, "client")
	pull := start(t, "pull", "-b", "tcp://127.0.0.1:0", "--count", "2", "--curve-secret-key", "@"+server+"_secret")
	ok(t, "push", "-c", pull.endpoint(), "--curve-server-key", "@"+server, "--curve-secret-key", "@"+client+"_secret", "known")
	ok(t, "push", "-c", pull.endpoint(), "--curve-server-key", "@"+server, "anybody")
	assert.Equal(t, []string{"known", "anybody"}, lines(pull.wait().stdout))
}

// With --curve-allow those talk whose keys are in the directory, and others are told.
func TestCurveAllow(t *testing.T) {
	t.Parallel()
	server, client, other := keygen(t, "server"), keygen(t, "client"), keygen(t, "other")
	allowed := t.TempDir()
	require.NoError(t, os.Chmod(allowed, 0o700))
	public, err := os.ReadFile(client)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(allowed, "anna.key"), public, 0o600))
	pull := start(t, "pull", "-b", "tcp://127.0.0.1:0", "--count", "1", "--curve-secret-key", "@"+server+"_secret", "--curve-allow", allowed)
	for _, args := range [][]string{{"--curve-secret-key", "@" + other + "_secret"}, nil} {
		r := meshmq(t, append([]string{"push", "-c", pull.endpoint(), "--curve-server-key", "@" + server, "x"}, args...)...)
		assert.Equal(t, exitError, r.code)
		assert.Contains(t, r.stderr, `refused by the peer: "400": it does not let us in`)
	}
	ok(t, "push", "-c", pull.endpoint(), "--curve-server-key", "@"+server, "--curve-secret-key", "@"+client+"_secret", "known")
	assert.Equal(t, "known\n", pull.wait().stdout)
}

func TestPlainFlags(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(users, []byte("# who may come in\nanna:sesame\n"), 0o600))
	pull := start(t, "pull", "-b", "tcp://127.0.0.1:0", "--count", "1", "--plain-passwords", users)
	r := meshmq(t, "push", "-c", pull.endpoint(), "--plain-user", "anna", "--plain-password", "wrong", "x")
	assert.Equal(t, exitError, r.code)
	assert.Contains(t, r.stderr, `refused by the peer: "400": it does not let us in`)
	ok(t, "push", "-c", pull.endpoint(), "--plain-user", "anna", "--plain-password", "sesame", "hello")
	assert.Equal(t, "hello\n", pull.wait().stdout)
}

// A peer that refuses us for good ends the verb, with the reason.
func TestRefused(t *testing.T) {
	t.Parallel()
	server, other := keygen(t, "server"), keygen(t, "other")
	pull := start(t, "pull", "-b", "tcp://127.0.0.1:0", "--curve-secret-key", "@"+server+"_secret")
	ep := pull.endpoint()
	for _, tc := range []struct {
		why  string
		args []string
	}{
		{"wrong key", []string{"push", "-c", ep, "--curve-server-key", "@" + other, "x"}},
		{"mechanism mismatch", []string{"push", "-c", ep, "x"}},
		{"mechanism mismatch", []string{"req", "-c", ep, "--plain-user", "u", "--plain-password", "p", "x"}},
		{"mechanism mismatch", []string{"sub", "-c", ep}},
		{"role mismatch", []string{"push", "-c", ep, "--curve-secret-key", "@" + other + "_secret", "x"}},
	} {
		r := meshmq(t, tc.args...)
		assert.Equal(t, exitError, r.code, "%v: %s", tc.args, r.stderr)
		assert.Contains(t, r.stderr, "refused: "+ep+": "+tc.why, tc.args)
	}
}

func TestSecurityUsage(t *testing.T) {
	t.Parallel()
	server := keygen(t, "server")
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Chmod(server+"_secret", 0o644))
	}
	const key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"one security mechanism", []string{"--curve-server-key", key, "--plain-user", "u"}},
		{"--plain-password without --plain-user", []string{"--plain-password", "p"}},
		{"--curve-public-key alone", []string{"--curve-public-key", key}},
		{"--curve-public-key without --curve-secret-key", []string{"--curve-public-key", key, "--curve-server-key", key}},
		{"--curve-allow: only a server of CURVE", []string{"--curve-allow", "."}},
		{"--curve-allow: only a server of CURVE", []string{"--curve-allow", ".", "--curve-server-key", key}},
		{"a key of 3 characters, want 40 in Z85, or @FILE", []string{"--curve-server-key", "abc"}},
		{"no such file", []string{"--curve-server-key", "@" + server + "x"}},
		{"there is none in", []string{"--curve-secret-key", "@" + server}},
		{"chmod 600", []string{"--curve-secret-key", "@" + server + "_secret"}},
		{"chmod 600", []string{"--plain-user", "u", "--plain-password", "@" + server + "_secret"}},
		{"is not that of the secret key", []string{"--curve-secret-key", "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs", "--curve-public-key", "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"}},
	} {
		r := meshmq(t, append([]string{"push", "-c", "tcp://127.0.0.1:1", "x"}, tc.args...)...)
		assert.Equal(t, exitUsage, r.code, "%v: %s", tc.args, r.stderr)
		assert.Contains(t, r.stderr, tc.want)
		assert.NotContains(t, r.stderr, "D:)Q", "the secret key")
	}
}
