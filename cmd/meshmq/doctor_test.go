package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/transport/transporttest"
)

// lo returns the flag that keeps discovery to the loopback interface, whether multicast works there or not.
func lo(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return "--interface=" + i.Name
		}
	}
	t.Skip("no loopback interface")
	return ""
}

// about returns the lines on a subject.
func about(r result, subject string) string {
	var found []string
	for _, l := range lines(r.stdout) {
		if strings.Contains(l, "  "+subject+"  ") {
			found = append(found, l)
		}
	}
	return strings.Join(found, "\n")
}

// A peer that is fit passes, from its address to its PONG; one that nobody has bound is a check that failed.
func TestDoctorEndpoint(t *testing.T) {
	t.Parallel()
	ep := start(t, "pull", "-b", "tcp://127.0.0.1:0").endpoint()
	none := "ipc://" + filepath.Join(t.TempDir(), "none")
	r := meshmq(t, "doctor", lo(t), ep, none, "--timeout", "1m")
	assert.Equal(t, exitCheck, r.code, r.stderr)
	for _, want := range []string{"connected in", "ZMTP 3.1 with mechanism NULL", "accepted by a PULL", "PING answered in"} {
		assert.Contains(t, about(r, ep), want)
	}
	assert.NotContains(t, about(r, ep), "FAIL")
	assert.Contains(t, about(r, none), "FAIL")
	for _, subject := range []string{"processors", "open files", "memory", "clock", "default route"} {
		assert.NotEmpty(t, about(r, subject), subject)
	}
}

// What is wrong with a secured peer is told as what to do; with the right key or authority it passes.
func TestDoctorSecured(t *testing.T) {
	t.Parallel()
	server, other := keygen(t, "server"), keygen(t, "other")
	curve := start(t, "rep", "--echo", "-b", "tcp://127.0.0.1:0", "--curve-secret-key", "@"+server+"_secret").endpoint()
	plain := meshmq(t, "doctor", lo(t), curve, "--timeout", "1m")
	assert.Contains(t, about(plain, curve), "wants CURVE: give --curve-server-key")
	wrong := meshmq(t, "doctor", lo(t), curve, "--timeout", "1m", "--curve-server-key", "@"+other)
	assert.Contains(t, about(wrong, curve), "FAIL")
	right := meshmq(t, "doctor", lo(t), curve, "--timeout", "1m", "--curve-server-key", "@"+server)
	assert.Contains(t, about(right, curve), "accepted by a REP")
	assert.Contains(t, about(right, curve), "PING answered in")

	ca := transporttest.NewAuthority(t)
	cert, key, authority := ca.Files(t.TempDir(), "queue")
	secure := start(t, "pull", "-b", "tls+tcp://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key).endpoint()
	r := meshmq(t, "doctor", lo(t), secure, "--timeout", "1m", "--tls-ca", authority)
	assert.Contains(t, about(r, secure), "certificate for ")
	assert.Contains(t, about(r, secure), "accepted by a PULL")
	_, _, stranger := transporttest.NewAuthority(t).Files(t.TempDir(), "stranger")
	r = meshmq(t, "doctor", lo(t), secure, "--timeout", "1m", "--tls-ca", stranger)
	assert.Contains(t, about(r, secure), "give --tls-ca FILE")
	bare := strings.TrimPrefix(secure, "tls+")
	assert.Contains(t, about(meshmq(t, "doctor", lo(t), bare, "--timeout", "1m"), bare), "use tls+tcp://")
}

// Of a spool is told who holds it, and whether it is sound.
func TestDoctorSpool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outbox")
	push := start(t, "push", "-b", "tcp://127.0.0.1:0", "--spool", dir, "--ack", "--receipts")
	_, err := push.stdin.Write([]byte("one\n"))
	require.NoError(t, err)
	push.prints("1\n")
	assert.Contains(t, about(meshmq(t, "doctor", lo(t), "--spool", dir), "spool "+dir), "not verified")
	push.kill()
	assert.Contains(t, about(meshmq(t, "doctor", lo(t), "--spool", dir), "spool "+dir), "sound: 1 messages")
	r := meshmq(t, "doctor", lo(t), "--json", "--spool", filepath.Join(dir, "no", "no"))
	assert.Equal(t, exitCheck, r.code)
	var f struct{ State, Subject, Found, Advice string }
	out := lines(r.stdout)
	require.NoError(t, json.Unmarshal([]byte(out[len(out)-1]), &f))
	assert.Equal(t, "FAIL", f.State)
	assert.NotEmpty(t, f.Advice)
	_, err = os.Stat(filepath.Join(dir, "no"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// A service is looked up, and each of its instances called.
func TestDoctorByName(t *testing.T) {
	t.Parallel()
	flag, service := loopback(t)
	pull := start(t, "pull", flag, "-b", anyPort, "--announce", service)
	ep := pull.endpoint()
	start(t, "discover", flag, "--service", service, "--watch").prints(ep)
	r := meshmq(t, "doctor", flag, "mdns://"+service, "--timeout", "1m")
	assert.Contains(t, about(r, "mdns://"+service), "found "+ep)
	assert.Contains(t, about(r, ep), "accepted by a PULL")
	nobody := "mdns://test-" + discovery.NewID()
	r = meshmq(t, "doctor", flag, nobody, "--timeout", "500ms")
	assert.Equal(t, exitCheck, r.code)
	assert.Contains(t, about(r, nobody), "nobody was found")
}

func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"nonsense"}, {"tcp://*:5"}, {"inproc://x"}, {"--timeout", "0s"}, {"--curve-secret-key", "x", "tcp://127.0.0.1:1"},
		{"--plain-passwords", "x", "tcp://127.0.0.1:1"}, {"--tls-ca", "x", "tcp://127.0.0.1:1"}, {"--tls-ca", "/no/such", "tls+tcp://127.0.0.1:1"},
	} {
		r := inProcess(append([]string{"doctor"}, args...)...)
		assert.Equal(t, exitUsage, r.code, args)
		assert.Empty(t, r.stdout)
	}
	r := inProcess("doctor", "--interface", "none0")
	assert.Equal(t, exitCheck, r.code)
	assert.Contains(t, r.stdout, "there is no such interface")
}
