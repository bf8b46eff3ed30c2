package socket

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/curve25519"

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

// check returns why the pair is none.
func (k KeyPair) check() error {
	switch {
	case k.Secret == SecretKey{}:
		return errors.New("the secret key is missing")
	case k.Public != k.Secret.Pair().Public:
		return fmt.Errorf("the public key %s is not that of the secret key", k.Public)
	}
	return nil
}

// check returns why the key is none: with a few, anybody would know what is said to its owner.
func (k PublicKey) check() error {
	probe := SecretKey{1}
	if _, err := curve25519.X25519(probe[:], k[:]); err != nil {
		return errors.New("this is no public key: it is zero, or of low order")
	}
	return nil
}
