package socket_test

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/transporttest"
)

// A ZAP handler that says nothing, answers another request, says 300 to a crowd or gives a user id that is too long keeps those out whom it was asked
// about, and nobody else.
func TestAttack28_ZAPHandler(t *testing.T) {
	handler := socket.NewRouter()
	closing(t, handler)
	at := bind(t, handler, "inproc://"+t.Name())
	go func() { // ends with the handler
		for m := range handler.Messages(t.Context()) {
			answer := [][]byte{m.Frames[0], nil, text("1.0"), m.Frames[3], text("200"), nil, text("user"), nil}
			switch string(m.Frames[8]) { // who asks
			case "nothing":
				continue
			case "another":
				answer[3] = text("0")
			case "long":
				answer[6] = text(strings.Repeat("u", 256))
			case "later":
				answer[4] = text("300")
			}
			_ = handler.Send(try(), answer...)
		}
	}()
	crowd := func(b *besieged, count int, users ...string) (wait func()) {
		var all []*sockettest.RawPeer
		for _, user := range users {
			for range count {
				p := b.dial()
				p.Write([]byte(hello("PLAIN") + command("HELLO", string([]byte{byte(len(user))})+user+"\x00")))
				all = append(all, p)
			}
		}
		return func() {
			b.serves() // also a PAIR: who is not in takes no place
			for _, p := range all {
				p.ExpectClosed()
			}
		}
	}
	comesWith = "PLAIN"
	defer func() { comesWith = "" }()
	auth := socket.WithAuthenticator(socket.ZAP{Domain: "siege", Endpoint: at})
	assault(t, nil, func(g *siege) {
		g.atOnce(socket.RefusedUndecided, 9, func(b *besieged) func() { return crowd(b, 3, "nothing", "another", "long") })
	}, socket.WithPlainServer(), auth, socket.WithAuthTimeout(time.Second))
	assault(t, nil, func(g *siege) {
		g.atOnce(socket.RefusedDeferred, 10, func(b *besieged) func() { return crowd(b, 10, "later") })
	}, socket.WithPlainServer(), auth, socket.WithAuthTimeout(20*time.Second), socket.WithHandshakeTimeout(30*time.Second))
}

// Those whose certificate is expired, of another authority or missing, who ask for a name of 10 KiB, speak an old TLS or none at all, are not let in.
func TestAttack29_TLS(t *testing.T) {
	ca, other := transporttest.NewAuthority(t), transporttest.NewAuthority(t)
	expired := ca.Mutual("late", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	stranger := &tls.Config{RootCAs: ca.Pool(), Certificates: other.Mutual("stranger").Certificates}
	bare := &tls.Config{RootCAs: ca.Pool()}
	old := ca.Mutual("old")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	wordy := &tls.Config{ServerName: strings.Repeat("a.", 5<<10) + "a", InsecureSkipVerify: true}
	intruders := []*tls.Config{expired, stranger, bare, old, wordy, nil}
	comesThrough = ca.Mutual("good")
	comesThrough.ServerName = "127.0.0.1"
	defer func() { comesThrough = nil }()
	assault(t, types{"PULL", "PUB", "ROUTER"}, func(g *siege) {
		g.each(socket.RefusedTLS, len(intruders), func(b *besieged) {
			for _, with := range intruders {
				conn, err := net.Dial("tcp", b.bound[strings.LastIndexByte(b.bound, '/')+1:])
				require.NoError(t, err)
				if with != nil {
					with = with.Clone()
					with.ServerName = cmp.Or(with.ServerName, "127.0.0.1")
					conn = tls.Client(conn, with)
				}
				_ = conn.SetDeadline(time.Now().Add(sockettest.Timeout))
				_, _ = conn.Write([]byte(hello("NULL") + ready(b.peer)))
				for err == nil {
					_, err = conn.Read(make([]byte, 512))
				}
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "%s: it is not refused", b.typ)
				conn.Close()
			}
		})
	}, socket.WithTLS(ca.Mutual("besieged")))
}
