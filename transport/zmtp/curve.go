package zmtp

import (
	"crypto/ecdh"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"
)

// CURVE (RFC 25, and CurveZMQ, RFC 26) in the form that libzmq speaks. S and s are the server's long-term keys, public and secret, C and c
// the client's; S', s', C', c' are made for the connection. Box[X](a->B) is X sealed with the keys a and B. Octets of data behind the name:
//
//	client  HELLO     01 00 | zero 72 | C' 32 | nonce 8 | Box[zero 64](c'->S) 80
//	server  WELCOME   nonce 16 | Box[S' 32, cookie 96](s->C') 144             cookie = nonce 16 | secretbox[C', s'](K) 80
//	client  INITIATE  cookie 96 | nonce 8 | Box[C 32, vouch 96, metadata](c'->S')   vouch = nonce 16 | Box[C', S](c->S') 80
//	server  READY     nonce 8 | Box[metadata](s'->C')
//	both    MESSAGE   nonce 8 | Box[flags 1, body](c'->S' or s'->C')          see Sealer
//
// A nonce has 24 octets, of which the first are the text below. Short ones count up on each side, over all its commands.
const (
	helloNonce    = "CurveZMQHELLO---"
	welcomeNonce  = "WELCOME-"
	cookieNonce   = "COOKIE--"
	initiateNonce = "CurveZMQINITIATE"
	vouchNonce    = "VOUCH---"
	readyNonce    = "CurveZMQREADY---"
	clientNonce   = "CurveZMQMESSAGEC"
	serverNonce   = "CurveZMQMESSAGES"
)

const (
	keySize      = 32
	longNonce    = 16
	shortNonce   = 8
	helloPadding = 72 // the text of RFC 26 says 70, its grammar and libzmq 72: HELLO is not to be shorter than WELCOME
	helloProof   = 64
	cookieSize   = longNonce + 2*keySize + box.Overhead
	vouchSize    = longNonce + 2*keySize + box.Overhead

	helloSize    = 2 + helloPadding + keySize + shortNonce + helloProof + box.Overhead
	welcomeSize  = longNonce + keySize + cookieSize + box.Overhead
	initiateSize = cookieSize + shortNonce + box.Overhead + keySize + vouchSize // and the metadata
	readySize    = shortNonce + box.Overhead                                    // and the metadata
)

const curve = "CURVE"

// CurveKeys are the long-term keys of one side.
type CurveKeys struct {
	Public, Secret [32]byte
	private        *ecdh.PrivateKey // of NewCurveKeys; nil: each handshake makes it of Secret
}

// NewCurveKeys returns both keys of a secret one, with what each handshake would make of it again. It fails for none.
func NewCurveKeys(secret [32]byte) CurveKeys {
	private := privateOf(secret)
	return CurveKeys{Public: [32]byte(private.PublicKey().Bytes()), Secret: secret, private: private}
}

// prepared are the keys with private.
func (k CurveKeys) prepared() CurveKeys {
	if k.private == nil {
		k.private = privateOf(k.Secret)
	}
	return k
}

// privateOf is a secret key as crypto/ecdh has it, which works out the public one: as much work as to agree with a peer, so it is made once.
func privateOf(secret [32]byte) *ecdh.PrivateKey {
	k, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		panic("zmtp: no CURVE where crypto/ecdh has no X25519: " + err.Error()) // GODEBUG=fips140=only
	}
	return k
}

// CurvePublic returns the public key of a secret one. It fails for none.
func CurvePublic(secret [32]byte) [32]byte { return NewCurveKeys(secret).Public }

// CurveClient is the client's side of CURVE (RFC 25), for one handshake with the server whose public key is server: no other can read what it
// says. random is where the keys of the connection come from: crypto/rand.Reader, but in tests.
func CurveClient(keys CurveKeys, server [32]byte, random io.Reader) (Mechanism, error) {
	c := &curveClient{keys: keys.prepared(), server: server}
	c.random = random
	if err := c.generate(); err != nil {
		return nil, err
	}
	return c, nil
}

// CurveServer is the server's side of CURVE (RFC 25), for one handshake: Handshake.Pending returns the client's key, which has proved to have
// its secret, for this server and this connection. random is as for CurveClient.
func CurveServer(keys CurveKeys, random io.Reader) Mechanism {
	s := &curveServer{keys: keys.prepared()}
	s.random = random
	return s
}

// session is what both sides of CURVE have: the keys of the connection, and the nonces.
type session struct {
	random   io.Reader
	secret   *ecdh.PrivateKey // ours for the connection: c' or s'
	public   [32]byte         // C' or S'
	shared   [32]byte         // made of c' and S'
	sent     uint64           // our last short nonce
	received uint64           // the peer's
	ready    bool
}

// generate makes the keys of the connection.
func (s *session) generate() error {
	var secret [32]byte
	defer clear(secret[:])
	if _, err := io.ReadFull(s.random, secret[:]); err != nil {
		return fmt.Errorf("zmtp: random octets for the keys of the connection: %w", err)
	}
	keys := NewCurveKeys(secret)
	s.secret, s.public = keys.private, keys.Public
	return nil
}

// long returns a nonce that ends in random octets.
func (s *session) long(prefix string) (nonce [24]byte, err error) {
	copy(nonce[:], prefix)
	if _, err := io.ReadFull(s.random, nonce[len(prefix):]); err != nil {
		return nonce, fmt.Errorf("zmtp: random octets for a nonce: %w", err)
	}
	return nonce, nil
}

// short returns our next short nonce.
func (s *session) short(prefix string) (nonce [24]byte) {
	s.sent++
	copy(nonce[:], prefix)
	binary.BigEndian.PutUint64(nonce[16:], s.sent)
	return nonce
}

// nonceOf is the nonce of which the peer sent the end.
func nonceOf(prefix string, end []byte) (nonce [24]byte) {
	copy(nonce[copy(nonce[:], prefix):], end)
	return nonce
}

// fresh takes the peer's next short nonce. RFC 26: it is strictly larger than the last; one used twice would open what it sealed.
func (s *session) fresh(b []byte) error {
	n := binary.BigEndian.Uint64(b)
	if n <= s.received {
		return refuse(Replayed, "its nonce is %d after %d", n, s.received)
	}
	s.received = n
	return nil
}

// agree makes the key that two parties share, as box.Precompute does, but refuses the few public keys with which anybody would
// know it.
func agree(key *[32]byte, secret *ecdh.PrivateKey, public *[32]byte) error {
	theirs, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		return refuse(BadKey, "a public key that is none: %v", err)
	}
	shared, err := secret.ECDH(theirs)
	if err != nil {
		return refuse(BadKey, "a public key of low order")
	}
	subkey(key, (*[32]byte)(shared), [16]byte{})
	clear(shared)
	return nil
}

// sealTo appends a box that is sealed with a key made of two others.
func sealTo(dst, message []byte, nonce [24]byte, secret *ecdh.PrivateKey, public *[32]byte) ([]byte, error) {
	var key [32]byte
	defer clear(key[:])
	if err := agree(&key, secret, public); err != nil {
		return nil, err
	}
	return secretbox.Seal(dst, message, &nonce, &key), nil
}

// openFrom opens a box of that kind; what names the box when it does not open.
func openFrom(sealed []byte, nonce [24]byte, secret *ecdh.PrivateKey, public *[32]byte, what string) ([]byte, error) {
	var key [32]byte
	defer clear(key[:])
	if err := agree(&key, secret, public); err != nil {
		return nil, err
	}
	return openWith(sealed, nonce, &key, what)
}

func openWith(sealed []byte, nonce [24]byte, key *[32]byte, what string) ([]byte, error) {
	message, ok := secretbox.Open(nil, sealed, &nonce, key)
	if !ok {
		return nil, refuse(BadKey, "%s does not open", what)
	}
	return message, nil
}

func sealWith(message []byte, nonce [24]byte, key *[32]byte) []byte {
	return secretbox.Seal(nil, message, &nonce, key)
}

// openShort opens the rest of a command: a short nonce and a box.
func (s *session) openShort(command, prefix string, data []byte) ([]byte, error) {
	if len(data) < shortNonce+box.Overhead {
		return nil, wrongSize(command, len(data), "24 or more")
	}
	nonce := data[:shortNonce]
	if err := s.fresh(nonce); err != nil {
		return nil, err
	}
	return openWith(data[shortNonce:], nonceOf(prefix, nonce), &s.shared, command)
}

// forget wipes what would open what was said, and leaves what crypto/ecdh made of the secret key to the garbage collector.
func (s *session) forget() {
	s.secret = nil
	clear(s.shared[:])
}

func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// wrongSize refuses a command by its length.
func wrongSize(command string, have int, want string) error {
	return refuse(MalformedCommand, "%s has %d octets of data, want %s", command, have, want)
}
