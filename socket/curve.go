package socket

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// PublicKey is the public half of a long-term key pair of CURVE. It may be known to anybody; it is what a peer is told apart by.
type PublicKey [32]byte

// SecretKey is the secret half. It does not print: Z85 is the way to get it out.
type SecretKey [32]byte

// KeyPair is a long-term key pair of CURVE: who a peer is.
type KeyPair struct {
	Public PublicKey
	Secret SecretKey
}

// NewKeyPair makes a key pair at random (zmq_curve_keypair).
func NewKeyPair() KeyPair {
	var secret SecretKey
	rand.Read(secret[:]) // it never fails: without random octets the process ends
	return secret.Pair()
}

// ParsePublicKey reads a key in Z85, 40 characters, as EncodeZ85 and libzmq write it.
func ParsePublicKey(text string) (PublicKey, error) {
	k, err := parseKey(text)
	return PublicKey(k), err
}

// ParseSecretKey is ParsePublicKey for a secret key. Its errors do not show it.
func ParseSecretKey(text string) (SecretKey, error) {
	k, err := parseKey(text)
	return SecretKey(k), err
}

func parseKey(text string) (key [32]byte, err error) {
	if len(text) != 40 {
		return key, fmt.Errorf("a key of %d characters, want 40 in Z85", len(text))
	}
	b, err := DecodeZ85(text)
	copy(key[:], b)
	return key, err
}

// String returns the key in Z85.
func (k PublicKey) String() string {
	text, _ := EncodeZ85(k[:])
	return text
}

// Z85 returns the key in Z85, for a file that nobody else may read.
func (k SecretKey) Z85() string { return PublicKey(k).String() }

// Pair returns the key with its public half (zmq_curve_public).
func (k SecretKey) Pair() KeyPair { return KeyPair{Public: zmtp.CurvePublic(k), Secret: k} }

// Format keeps the key out of logs, whatever the verb.
func (k SecretKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret key)") }

// prepare returns the pair as handshakes want it, or why it is none.
func (k KeyPair) prepare() (zmtp.CurveKeys, error) {
	if k.Secret == (SecretKey{}) {
		return zmtp.CurveKeys{}, errors.New("the secret key is missing")
	}
	keys := zmtp.NewCurveKeys(k.Secret)
	if k.Public != keys.Public {
		return zmtp.CurveKeys{}, fmt.Errorf("the public key %s is not that of the secret key", k.Public)
	}
	return keys, nil
}

// probe is the key that public keys are tried with.
var probe = sync.OnceValues(func() (*ecdh.PrivateKey, error) { return ecdh.X25519().NewPrivateKey(append(make([]byte, 31), 1)) })

// check returns why the key is none: with a few, anybody would know what is said to its owner.
func (k PublicKey) check() error {
	secret, err := probe()
	if err != nil {
		return err
	}
	public, err := ecdh.X25519().NewPublicKey(k[:])
	if err == nil {
		_, err = secret.ECDH(public)
	}
	if err != nil {
		return errors.New("this is no public key: it is zero, or of low order")
	}
	return nil
}
