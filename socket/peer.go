package socket

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Peer describes one connected peer. It is immutable; a reconnected peer is another Peer.
type Peer struct {
	identity   string
	routingID  string
	number     uint32
	address    string
	endpoint   string
	socketType string
	major      byte
	minor      byte
	metadata   zmtp.Metadata
	ackIn      bool   // its messages are acknowledged
	ackOut     bool   // it acknowledges ours
	takes      extent // at most, with ackOut or WithPeerLimits; zero where it does not say
	takesAny   int    // how large a message may be, whatever its frames; zero where it does not say

	credentials *Credentials
	mechanism   string
	publicKey   PublicKey
	userID      string
	granted     zmtp.Metadata
	tls         *tls.ConnectionState
}

// Identity returns the identity that the peer announced, empty if it announced none.
func (p *Peer) Identity() string { return p.identity }

// RoutingID returns the first frame that a Router shows and expects for this peer: its identity, or
// one made up by this socket. For a Stream it is the id of the connection. Empty on sockets that do not route by id.
func (p *Peer) RoutingID() string { return p.routingID }

// Number returns the number by which a Server or P2P sends to this peer: Msg.RoutingID of the peer's messages. Zero on sockets of other
// types.
func (p *Peer) Number() uint32 { return p.number }

// Address returns the peer's network address, such as "127.0.0.1:40312".
func (p *Peer) Address() string { return p.address }

// Credentials returns who the peer's process runs as, and whether that is known: over ipc on Linux. It is the system that says so, as of
// the moment when the peer connected, or bound.
func (p *Peer) Credentials() (Credentials, bool) {
	if p.credentials == nil {
		return Credentials{}, false
	}
	return *p.credentials, true
}

// TLS returns what was agreed upon in the TLS handshake, the peer's certificate among it; ok is false where the connection is not of tls+tcp
// or wss.
func (p *Peer) TLS() (state tls.ConnectionState, ok bool) {
	if p.tls == nil {
		return state, false
	}
	return *p.tls, true
}

// TLSName returns who the peer has proved to be: the first DNS name in its certificate, or else its first URI, e-mail or IP address, or its common name.
// It is empty where the peer has shown no certificate of an authority that we trust. Unlike the identity, nobody can make it up.
func (p *Peer) TLSName() string { return verifiedName(p.tls) }

// verifiedName is TLSName.
func verifiedName(t *tls.ConnectionState) string {
	if t == nil || len(t.VerifiedChains) == 0 {
		return ""
	}
	cert := t.PeerCertificates[0]
	switch {
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	case len(cert.URIs) > 0:
		return cert.URIs[0].String()
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String()
	}
	return cert.Subject.CommonName
}

// tlsOf returns nil for a connection without TLS, or whose TLS handshake went wrong. It must be over.
func tlsOf(conn net.Conn) *tls.ConnectionState {
	state, ok := transport.TLSState(conn)
	if !ok || !state.HandshakeComplete {
		return nil
	}
	return &state
}

// Endpoint returns the endpoint of ours that the connection belongs to: as given to Connect, or
// the bound address it was accepted on.
func (p *Peer) Endpoint() string { return p.endpoint }

// SocketType returns the peer's ZeroMQ socket type in upper case, such as "PULL"; empty if the peer did not say, as
// ZMTP 1.0 peers cannot.
func (p *Peer) SocketType() string { return p.socketType }

// Version returns the ZMTP version that the connection speaks: "3.1", "3.0", "2.0" or "1.0"; empty on a Stream, which speaks none.
func (p *Peer) Version() string {
	if p.major == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d", p.major, p.minor)
}

// ours reports whether the peer is a socket of this library.
func (p *Peer) ours() bool {
	_, ours := p.metadata.Get(meshProperty)
	return ours
}

// Mechanism returns the security mechanism of the connection: NULL, PLAIN or CURVE; empty on a Stream, which has none.
func (p *Peer) Mechanism() string { return p.mechanism }

// PublicKey returns the key that the peer has proved to be the owner of, and whether there is one: with CURVE.
func (p *Peer) PublicKey() (PublicKey, bool) { return p.publicKey, p.publicKey != PublicKey{} }

// UserID returns who the authenticator says the peer is (the User-Id of RFC 27); empty where none was asked or it did not say.
func (p *Peer) UserID() string { return p.userID }

// Property returns a metadata property of the peer, and whether there is one: one that the authenticator gave it, or else one that it
// announced in its handshake (RFC 37, names are case-insensitive; those starting X- are the application's).
func (p *Peer) Property(name string) (string, bool) {
	v, ok := p.granted.Get(name)
	if !ok {
		v, ok = p.metadata.Get(name)
	}
	return string(v), ok
}
