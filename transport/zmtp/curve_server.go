package zmtp

import (
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/secretbox"
)

// curveServer waits for HELLO, says WELCOME, waits for INITIATE, says READY. Between WELCOME and INITIATE it remembers nothing but the key of
// the cookie (RFC 26, "The WELCOME Command"), which only this connection has: a cookie is worth nothing on another.
type curveServer struct {
	session
	keys      CurveKeys
	cookieKey [32]byte
	welcomed  bool
	theirs    [32]byte // C'
}

func (*curveServer) name() string           { return curve }
func (*curveServer) role() role             { return server }
func (*curveServer) overhead() int          { return 1 + len(CommandReady) + readySize }
func (*curveServer) start(*Handshake) error { return nil }
func (*curveServer) closed() error          { return nil }
func (s *curveServer) done() bool           { return s.ready }

func (s *curveServer) command(h *Handshake, name string, data []byte) error {
	switch {
	case !s.welcomed && name != CommandHello:
		return unexpected(name, CommandHello)
	case !s.welcomed:
		return s.takeHello(h, data)
	case name != CommandInitiate:
		return unexpected(name, CommandInitiate)
	}
	return s.takeInitiate(h, data)
}

func (s *curveServer) takeHello(h *Handshake, data []byte) error {
	if len(data) != helloSize {
		return wrongSize(CommandHello, len(data), "194")
	}
	if data[0] != 1 || data[1] != 0 {
		return refuse(MalformedCommand, "HELLO is of version %d.%d, want 1.0", data[0], data[1])
	}
	padding, rest := data[2:2+helloPadding], data[2+helloPadding:]
	theirs, nonce, sealed := [32]byte(rest), rest[keySize:keySize+shortNonce], rest[keySize+shortNonce:]
	if !same(padding, make([]byte, helloPadding)) {
		return refuse(MalformedCommand, "the padding of HELLO is not zero")
	}
	if err := s.fresh(nonce); err != nil {
		return err
	}
	var key [32]byte // for HELLO and WELCOME both
	defer clear(key[:])
	if err := agree(&key, s.keys.private, &theirs); err != nil {
		return err
	}
	proof, err := openWith(sealed, nonceOf(helloNonce, nonce), &key, "HELLO")
	if err != nil {
		return err
	}
	if !same(proof, make([]byte, helloProof)) {
		return refuse(MalformedCommand, "what is sealed in HELLO is not zero")
	}
	return s.welcome(h, &theirs, &key)
}

// welcome makes the keys of the connection, puts them into the cookie and forgets them.
func (s *curveServer) welcome(h *Handshake, theirs, key *[32]byte) error {
	if err := s.generate(); err != nil {
		return err
	}
	if _, err := io.ReadFull(s.random, s.cookieKey[:]); err != nil {
		return fmt.Errorf("zmtp: random octets for a cookie: %w", err)
	}
	baked, err := s.long(cookieNonce)
	if err != nil {
		return err
	}
	nonce, err := s.long(welcomeNonce)
	if err != nil {
		return err
	}
	secret := s.secret.Bytes()
	remembered := append(theirs[:len(theirs):len(theirs)], secret...)
	inside := append([]byte(nil), s.public[:]...)
	inside = append(inside, baked[len(cookieNonce):]...)
	inside = secretbox.Seal(inside, remembered, &baked, &s.cookieKey)
	h.out = AppendCommand(h.out, CommandWelcome, nonce[len(welcomeNonce):], secretbox.Seal(nil, inside, &nonce, key))
	clear(remembered)
	clear(secret)
	s.secret = nil
	s.welcomed = true
	return nil
}

func (s *curveServer) takeInitiate(h *Handshake, data []byte) error {
	if len(data) < initiateSize {
		return wrongSize(CommandInitiate, len(data), "248 or more")
	}
	cookie, rest := data[:cookieSize], data[cookieSize:]
	remembered, err := openWith(cookie[longNonce:], nonceOf(cookieNonce, cookie[:longNonce]), &s.cookieKey, "the cookie of INITIATE")
	clear(s.cookieKey[:]) // a cookie is good once
	if err != nil {
		return err
	}
	s.theirs, s.secret = [32]byte(remembered), privateOf([32]byte(remembered[keySize:]))
	clear(remembered)
	if err := agree(&s.shared, s.secret, &s.theirs); err != nil {
		return err
	}
	inside, err := s.openShort(CommandInitiate, initiateNonce, rest)
	if err != nil {
		return err
	}
	public, vouch, metadata := [32]byte(inside), inside[keySize:keySize+vouchSize], inside[keySize+vouchSize:]
	if err := s.checkVouch(vouch, &public); err != nil {
		return err
	}
	h.peer.PublicKey = public
	if err := h.acceptMetadata(metadata); err != nil {
		return err
	}
	h.ask(Credentials{PublicKey: public})
	return nil
}

// checkVouch makes sure that the owner of the client's long-term key is behind this connection, and means us: with a vouch for another
// server, that one could pose as the client here. libzmq does not look at the second.
func (s *curveServer) checkVouch(vouch []byte, public *[32]byte) error {
	vouched, err := openFrom(vouch[longNonce:], nonceOf(vouchNonce, vouch[:longNonce]), s.secret, public, "the vouch of INITIATE")
	if err != nil {
		return err
	}
	if !same(vouched[:keySize], s.theirs[:]) {
		return refuse(BadKey, "the vouch of INITIATE is for another connection")
	}
	if !same(vouched[keySize:], s.keys.Public[:]) {
		return refuse(BadKey, "the vouch of INITIATE is for another server")
	}
	return nil
}

func (s *curveServer) allowed(h *Handshake) error {
	if err := h.admitted(); err != nil {
		return err
	}
	if err := h.identified(); err != nil {
		return err
	}
	nonce := s.short(readyNonce)
	h.out = AppendCommand(h.out, CommandReady, nonce[16:], sealWith(h.metadata, nonce, &s.shared))
	s.ready = true
	return nil
}

// traffic hands over what messages are sealed with.
func (s *curveServer) traffic() (*Sealer, *Opener) {
	return newTraffic(&s.session, serverNonce, clientNonce)
}

// forget wipes the keys.
func (s *curveServer) forget() {
	s.session.forget()
	s.keys = CurveKeys{}
	clear(s.cookieKey[:])
}
