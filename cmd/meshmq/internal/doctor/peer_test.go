package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// TestTakersTakeNothing: a type of socket that is posed as fits none that hands messages to whoever connects.
func TestTakersTakeNothing(t *testing.T) {
	t.Parallel()
	for _, giver := range []zmtp.SocketType{zmtp.Push, zmtp.Dealer, zmtp.Req, zmtp.Pair, zmtp.Client, zmtp.Scatter, zmtp.Channel} {
		assert.Empty(t, taker(giver), giver)
	}
	for _, other := range []zmtp.SocketType{zmtp.Pull, zmtp.Rep, zmtp.Router, zmtp.Pub, zmtp.XPub, zmtp.Sub, zmtp.XSub, zmtp.Server, zmtp.Gather, zmtp.Dish, zmtp.Radio} {
		assert.NotEmpty(t, taker(other), other)
	}
}

// says serves each connection with these bytes, and returns the endpoint. It hangs up when hangUp, else when the other does.
func says(t *testing.T, text string, hangUp bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() { // ended by ln.Close, awaited by Cleanup
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
			if !hangUp {
				_, _ = io.Copy(io.Discard, conn)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	return "tcp://" + ln.Addr().String()
}

func last(all []Finding) Finding { return all[len(all)-1] }

// TestNamesStrangers: what does not speak ZMTP is called by its name, with what to do.
func TestNamesStrangers(t *testing.T) {
	t.Parallel()
	caller := Caller{Timeout: time.Minute}
	for text, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n": "HTTP",
		"SSH-2.0-OpenSSH_9.6\r\n":          "SSH",
		"\x15\x03\x01\x00\x02\x02\x46":     "use tls+tcp://",
		"hello there, who are you?":        "not a ZMTP peer",
	} {
		f := last(caller.Endpoint(t.Context(), says(t, text, false)))
		assert.Equal(t, Fail, f.State, f)
		assert.Contains(t, f.String(), want)
	}
}

// TestSilent: where time is up, it is told what the peer had said by then.
func TestSilent(t *testing.T) {
	t.Parallel()
	var caller Caller
	silent := last(caller.judge("x", &talk{}, os.ErrDeadlineExceeded))
	assert.Equal(t, Fail, silent.State)
	assert.Contains(t, silent.Found, "says nothing")
	assert.Contains(t, last(caller.judge("x", &talk{heard: []byte{0xff}}, os.ErrDeadlineExceeded)).Found, "in the middle")
}

// TestNobodyThere: why nobody was reached has its own words, and advice.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	caller := Caller{Timeout: time.Minute}
	f := last(caller.Endpoint(t.Context(), "ipc://"+t.TempDir()+"/none"))
	assert.Equal(t, Fail, f.State)
	assert.Contains(t, f.Found, "no such file")
	for err, want := range map[error]string{
		syscall.ECONNREFUSED: "nobody listens", context.DeadlineExceeded: "firewall", syscall.EHOSTUNREACH: "routes", fs.ErrPermission: "mode of the socket",
	} {
		found, advice := dialTrouble(fmt.Errorf("dial: %w", err), time.Second)
		assert.Contains(t, found+advice, want)
	}
}

// TestJudgesCertificates: by their time.
func TestJudgesCertificates(t *testing.T) {
	t.Parallel()
	now := founded
	for _, c := range []struct {
		from, until time.Duration
		state       State
	}{{-time.Hour, 2 * soon, Pass}, {-time.Hour, soon / 2, Warn}, {-time.Hour, -time.Minute, Fail}, {time.Hour, 2 * soon, Fail}} {
		f := certificate("x", []*x509.Certificate{{DNSNames: []string{"queue"}, NotBefore: now.Add(c.from), NotAfter: now.Add(c.until)}}, now)
		assert.Equal(t, c.state, f.State, f)
		assert.Contains(t, f.Found, "queue")
	}
	assert.Equal(t, Fail, certificate("x", nil, now).State)
}

// TestTakesNoMessage: a PUSH that waits for a peer has its message when doctor has gone, and gives it to a PULL.
func TestTakesNoMessage(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(), socket.NewPull()
	defer push.Close()
	defer pull.Close()
	addr, err := push.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	sent := make(chan error, 1)
	go func() { sent <- push.Send(t.Context(), []byte("one")) }() // ends when the PULL is there; awaited below
	caller := Caller{Timeout: time.Minute}
	for range 5 {
		f := last(caller.Endpoint(t.Context(), addr))
		assert.Equal(t, Pass, f.State, f)
		assert.Contains(t, f.Found, "a PUSH")
	}
	require.NoError(t, pull.Connect(addr))
	msg, err := pull.Recv(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "one", string(msg.Bytes()))
	require.NoError(t, <-sent)
}

// FuzzEndpointTalks has an endpoint say anything to a handshake and a PING: neither panics nor reads without bound.
func FuzzEndpointTalks(f *testing.F) {
	greeting := append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1}, append([]byte("NULL"), make([]byte, 48)...)...)
	ready := zmtp.AppendCommand(nil, zmtp.CommandReady, zmtp.AppendMetadata(nil, zmtp.Metadata{{Name: zmtp.PropertySocketType, Value: []byte("REP")}}))
	whole := append(append(append([]byte{}, greeting...), ready...), zmtp.AppendPong(nil, []byte("doctor"))...)
	f.Add(whole)
	f.Add(greeting)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x00"))
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		ended := make(chan struct{}, 2)
		go func() { _, _ = io.Copy(io.Discard, theirs); ended <- struct{}{} }()
		go func() { _, _ = theirs.Write(said); theirs.Close(); ended <- struct{}{} }()
		talking := &talk{conn: ours}
		err := talking.shake(zmtp.Req, nil)
		caller := Caller{Timeout: time.Minute}
		for _, finding := range caller.judge("x", talking, err) {
			assert.NotContains(t, finding.String(), "\n")
		}
		assert.LessOrEqual(t, len(talking.heard), maxHeard+4096)
		ours.Close()
		<-ended
		<-ended
	})
}
