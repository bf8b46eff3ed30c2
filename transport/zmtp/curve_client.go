package zmtp

// curveClient says HELLO, waits for WELCOME, says INITIATE, waits for READY.
type curveClient struct {
	session
	keys     CurveKeys
	server   [32]byte // its public key, S
	hello    [32]byte // made of c' and S, for HELLO and WELCOME both
	welcomed bool
}

func (*curveClient) name() string             { return curve }
func (*curveClient) role() role               { return client }
func (*curveClient) overhead() int            { return 1 + len(CommandInitiate) + initiateSize }
func (*curveClient) allowed(*Handshake) error { return nil }
func (c *curveClient) done() bool             { return c.ready }

// closed: RFC 26 has a server that cannot open HELLO say nothing but goodbye, RFC 27 one that knows no answer to INITIATE yet, status 300.
func (c *curveClient) closed() error {
	if c.welcomed {
		return unanswered()
	}
	return refuse(BadKey, "the peer closed the connection on our HELLO: is the server key its public key?")
}

func (c *curveClient) start(h *Handshake) error {
	if err := agree(&c.hello, c.secret, &c.server); err != nil {
		return err
	}
	nonce := c.short(helloNonce)
	proof := sealWith(make([]byte, helloProof), nonce, &c.hello)
	h.out = AppendCommand(h.out, CommandHello, []byte{1, 0}, make([]byte, helloPadding), c.public[:], nonce[16:], proof)
	return nil
}

func (c *curveClient) command(h *Handshake, name string, data []byte) error {
	switch {
	case !c.welcomed && name == CommandHello:
		return refuse(RoleMismatch, "both sides are clients of CURVE")
	case !c.welcomed && name != CommandWelcome:
		return unexpected(name, CommandWelcome)
	case !c.welcomed:
		return c.takeWelcome(h, data)
	case name != CommandReady:
		return unexpected(name, CommandReady)
	}
	return c.takeReady(h, data)
}

func (c *curveClient) takeWelcome(h *Handshake, data []byte) error {
	if len(data) != welcomeSize {
		return wrongSize(CommandWelcome, len(data), "160")
	}
	inside, err := openWith(data[longNonce:], nonceOf(welcomeNonce, data[:longNonce]), &c.hello, "WELCOME")
	clear(c.hello[:])
	if err != nil {
		return err
	}
	c.welcomed = true
	theirs, cookie := [32]byte(inside), inside[keySize:]
	if err := agree(&c.shared, c.secret, &theirs); err != nil {
		return err
	}
	if err := h.admitted(); err != nil {
		return err
	}
	return c.initiate(h, &theirs, cookie)
}

// initiate shows the server who we are: our key, and a box that only its owner can make, for this server and this connection.
func (c *curveClient) initiate(h *Handshake, theirs *[32]byte, cookie []byte) error {
	vouched, err := c.long(vouchNonce)
	if err != nil {
		return err
	}
	vouch, err := sealTo(nil, append(c.public[:len(c.public):len(c.public)], c.server[:]...), vouched, c.keys.private, theirs)
	if err != nil {
		return err
	}
	inside := append([]byte(nil), c.keys.Public[:]...)
	inside = append(append(inside, vouched[len(vouchNonce):]...), vouch...)
	inside = append(inside, h.metadata...)
	nonce := c.short(initiateNonce)
	h.out = AppendCommand(h.out, CommandInitiate, cookie, nonce[16:], sealWith(inside, nonce, &c.shared))
	return nil
}

func (c *curveClient) takeReady(h *Handshake, data []byte) error {
	metadata, err := c.openShort(CommandReady, readyNonce, data)
	if err != nil {
		return err
	}
	if err := h.acceptMetadata(metadata); err != nil {
		return err
	}
	h.peer.PublicKey = c.server
	if err := h.identified(); err != nil {
		return err
	}
	c.ready = true
	return nil
}

// traffic hands over what messages are sealed with.
func (c *curveClient) traffic() (*Sealer, *Opener) {
	return newTraffic(&c.session, clientNonce, serverNonce)
}

// forget wipes the keys.
func (c *curveClient) forget() {
	c.session.forget()
	c.keys = CurveKeys{}
	clear(c.hello[:])
}
