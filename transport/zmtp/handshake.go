package zmtp

import (
	"bytes"
	"fmt"
)

// defaultMaxCommand is the largest handshake command accepted unless Config says otherwise. A READY of libzmq has
// under 300 octets even with the longest identity; 4 KiB leave room for application properties, and a thousand
// connections that never finish their handshake hold no more than 4 MiB.
const defaultMaxCommand = 4096

// maxIdentity is the longest identity (RFC 37, "The Identity Property").
const maxIdentity = 255

// Config is what one side brings into a handshake.
type Config struct {
	SocketType SocketType
	Identity   []byte   // at most 255 octets, not beginning with zero; announced by REQ, DEALER and ROUTER only
	Properties Metadata // the application's own properties; their names begin with "X-"
	// Mechanism is the security mechanism, of one handshake only; nil is NULL. The peer must have the same one.
	Mechanism Mechanism
	// Authenticate has NULL ask who the peer is before it lets it in, see Handshake.Pending. Servers of the other mechanisms
	// always do.
	Authenticate bool
	// MaxCommand is the size of the largest handshake command accepted, and the most our own may have; 0 means
	// 4096. It is apart from any limit on messages: a small message limit must not refuse a READY.
	MaxCommand int
	// MaxBytes bounds all that the peer sends, its greeting included; 0 means no bound but that on each command.
	MaxBytes int
	// MaxProperties is how many properties a side may have, its socket type and identity among them; 0 means 32.
	MaxProperties int
	// Downgrade lets peers in that speak no more than ZMTP 2.0 or 1.0, which have no security and no metadata. It
	// counts only where there is nothing to downgrade: RFC 37 has any mechanism but NULL refuse them. Socket types
	// that came after them refuse them too.
	Downgrade bool
	// Admit, if not nil, is asked when the peer has greeted us and shown that it may come in, as far as it must, before
	// anything is said that lets it send messages. An error ends the handshake; Step returns it as it is.
	Admit func() error
	// Identify, if not nil, is asked when the peer has said who it is. An error ends the handshake; Step returns it as it is,
	// and the peer gets what it is to be told in an ERROR command, unless that is empty.
	Identify func(Peer) (tell string, err error)
	// Patient has NULL say READY only when Identify has let the peer in; the other mechanisms have their server wait for
	// the client anyway. It is for the side that accepts: if both were patient, both would wait.
	Patient bool
}

// Peer is what a finished handshake has learnt. Its slices are shared and must not be changed.
type Peer struct {
	// Major and Minor are the version both sides speak: 1.0, 2.0, 3.0, or 3.1 with all that is newer. The octets behind
	// the handshake with a peer of 1.0 go through Upgrader and Downgrader.
	Major, Minor byte
	Mechanism    string
	SocketType   SocketType // empty if the peer announced none; 1.0 has no way to
	Identity     []byte     // empty if the peer announced none or its type has none
	Metadata     Metadata   // all properties as received; none before 3.0
	PublicKey    [32]byte   // the long-term key that a CURVE client has proved to have the secret of; else zero
	UserID       string     // of the Verdict about the peer
	Granted      Metadata   // of the Verdict about the peer
}

// Handshake is one side of greeting and mechanism as a state machine: octets in, octets out. It buffers at most the
// greeting or one command of the peer, and never more than has arrived. It is not safe for concurrent use.
type Handshake struct {
	socketType SocketType
	identity   []byte // ours, as far as our type announces it
	maxCommand int
	maxBytes   int
	properties int    // how many the peer may have
	taken      int    // octets of the peer's greeting and whole commands
	metadata   []byte // ours, encoded
	mechanism  Mechanism
	downgrade  bool
	admit      func() error
	identify   func(Peer) (string, error)

	greeting [GreetingSize]byte // ours
	start    []byte             // the part of it that goes out at once
	sent     int                // octets of it that were returned
	buf      []byte             // the greeting or frame being received; bytes that belong to neither are never taken
	greeted  bool               // the peer's greeting is complete
	agreed   bool               // the peer is of an older version, and all is said
	pending  *Credentials       // what waits for Answer
	out      []byte             // what the Step under way will return
	peer     Peer
	err      error // why it ended
}

// NewHandshake prepares a handshake. It copies what it needs of c, and fails if c could not be announced: an unknown
// socket type, an identity above 255 octets or with a leading zero, a property that is not "X-..." or is there
// twice, or all of it above MaxCommand.
func NewHandshake(c Config) (*Handshake, error) {
	if _, known := peersOf[c.SocketType]; !known {
		return nil, fmt.Errorf("zmtp: unknown socket type %q", c.SocketType)
	}
	if err := checkIdentity(c.Identity); err != nil {
		return nil, fmt.Errorf("zmtp: %w", err)
	}
	if c.MaxProperties == 0 {
		c.MaxProperties = maxProperties
	}
	if err := checkProperties(c.Properties, c.MaxProperties); err != nil {
		return nil, fmt.Errorf("zmtp: %w", err)
	}
	if c.MaxCommand == 0 {
		c.MaxCommand = defaultMaxCommand
	}
	h := &Handshake{
		socketType: c.SocketType,
		maxCommand: c.MaxCommand,
		maxBytes:   c.MaxBytes,
		properties: c.MaxProperties,
		taken:      GreetingSize,
		metadata:   appendOwnMetadata(nil, c),
		admit:      c.Admit,
		identify:   c.Identify,
	}
	if c.SocketType.announces() {
		h.identity = bytes.Clone(c.Identity)
	}
	if c.Mechanism == nil {
		c.Mechanism = &null{patient: c.Patient, authenticate: c.Authenticate}
	}
	h.secure(c.Mechanism, c.Downgrade && !c.Authenticate)
	if size := c.Mechanism.overhead() + len(h.metadata); size > c.MaxCommand {
		return nil, fmt.Errorf("zmtp: our metadata would make a command of %d octets, want at most %d: shorten the properties",
			size, c.MaxCommand)
	}
	return h, nil
}

// secure sets the mechanism and, with it, whether older versions are spoken.
func (h *Handshake) secure(m Mechanism, downgrade bool) {
	h.mechanism = m
	_, old := oldCodes[h.socketType]
	// RFC 37, "Detecting ZMTP 1.0 and 2.0 Peers": with any other mechanism such a peer is refused at once.
	h.downgrade = downgrade && old && m.name() == "NULL"
	padding := uint64(0)
	h.sent = GreetingSize
	if h.downgrade {
		padding = uint64(len(h.identity)) + 1
		h.sent = greetingMajor
	}
	h.greeting = ourGreeting(m.name(), m.role() == server, padding)
	h.start = h.greeting[:h.sent:h.sent]
}

// Start returns the octets to send at once. That is the whole greeting, or, with Downgrade, the ten octets that a peer of
// 1.0 takes for the header of its identity frame and libzmq waits for; Step returns the rest as soon as the peer has shown
// its version.
func (h *Handshake) Start() []byte { return h.start }

// HoldsBack reports whether part of our greeting waits for the peer to show its version. A peer that waits for all of it
// before it says anything would wait forever: see Rest.
func (h *Handshake) HoldsBack() bool {
	return h.err == nil && h.peer.Major == 0 && h.sent < GreetingSize
}

// Rest returns the part of our greeting that was held back, to be sent when the peer has said nothing for a while. An
// older peer that speaks up after it is refused: it has been greeted in words it does not know.
func (h *Handshake) Rest() []byte {
	h.out = nil
	if h.HoldsBack() {
		h.greet(GreetingSize)
	}
	return h.out
}

// greet appends our greeting up to its octet number end.
func (h *Handshake) greet(end int) {
	if end > h.sent {
		h.out = append(h.out, h.greeting[h.sent:end]...)
		h.sent = end
	}
}

// Step takes octets from the peer, cut anywhere. The first n of in were used; the rest belongs to later frames, since
// a message may ride right behind READY. out is to be sent now, also when err is not nil: then it may hold the
// ERROR command that tells the peer why. err is a *HandshakeError, or what Admit or Identify returned, and final: further calls
// return it again.
func (h *Handshake) Step(in []byte) (n int, out []byte, err error) {
	h.out = nil
	for h.err == nil && h.pending == nil && !h.Done() && n < len(in) {
		var used int
		used, h.err = h.take(in[n:])
		n += used
	}
	if h.err != nil || h.Done() {
		h.buf = nil
	}
	return n, h.out, h.err
}

// Done reports whether both sides may send messages: our READY has been returned by Step, the peer's is accepted.
func (h *Handshake) Done() bool { return h.err == nil && (h.agreed || h.mechanism.done()) }

// Peer is valid once Done.
func (h *Handshake) Peer() Peer { return h.peer }

// take takes what it can of what comes next.
func (h *Handshake) take(in []byte) (n int, err error) {
	switch {
	case h.greeted:
		return h.stepCommand(in)
	case h.peer.Major == 0:
		return h.stepVersion(in)
	case h.peer.Major < 3:
		return h.stepOld(in)
	}
	return h.stepGreeting(in)
}

// stepVersion takes the octets that show the peer's version, and none beyond: what follows them differs.
func (h *Handshake) stepVersion(in []byte) (n int, err error) {
	for n < len(in) {
		h.buf = append(h.buf, in[n])
		n++
		major, refused := versionOf(h.buf)
		switch {
		case refused != nil:
			return n, refused
		case major >= 3:
			h.peer.Major = 3
			h.greet(GreetingSize)
			return n, nil
		case major > 0:
			if err := h.startOld(major); err != nil {
				return n, err
			}
			used, err := h.stepOld(in[n:])
			return n + used, err
		case len(h.buf) == greetingMajor: // no ZMTP 1.0, which has no version
			h.greet(greetingMinor)
		}
	}
	return n, nil
}

// stepGreeting takes what it can of the rest of the peer's greeting.
func (h *Handshake) stepGreeting(in []byte) (n int, err error) {
	n = min(GreetingSize-len(h.buf), len(in))
	h.buf = append(h.buf, in[:n]...)
	if refused := checkMechanism(h.buf, h.mechanism.name()); refused != nil {
		return n, refused
	}
	if len(h.buf) < GreetingSize {
		return n, nil
	}
	h.peer.Minor, h.peer.Mechanism = spokenMinor(h.buf), h.mechanism.name()
	if h.mechanism.role() == server && h.buf[greetingServer] == 1 {
		return n, refuse(RoleMismatch, "both sides are servers of %s", h.mechanism.name())
	}
	h.greeted, h.buf = true, h.buf[:0]
	return n, h.mechanism.start(h)
}

func (h *Handshake) admitted() error {
	if h.admit == nil {
		return nil
	}
	return h.admit()
}

// stepCommand takes what it can of one frame and acts on it when it is whole.
func (h *Handshake) stepCommand(in []byte) (n int, err error) {
	n, header, err := h.collect(in, h.frame)
	if err != nil || header == 0 {
		return n, err
	}
	body := h.buf[header:]
	h.taken += len(h.buf)
	h.buf = h.buf[:0]
	return n, h.command(body)
}

// collect takes what is missing of the frame in buf, by the word of measure, and nothing behind it. header is 0 while the
// frame is not whole.
func (h *Handshake) collect(in []byte, measure func() (header, missing int, err error)) (n, header int, err error) {
	header, missing, err := measure()
	for err == nil && missing > 0 {
		if n == len(in) {
			return n, 0, nil
		}
		take := min(missing, len(in)-n)
		h.buf = append(h.buf, in[n:n+take]...)
		n += take
		header, missing, err = measure()
	}
	return n, header, err
}

// frame looks at the frame in buf: how long its header is and how many octets of it are certainly still missing.
// While the header is cut short that is one, so that nothing behind a frame is ever taken. It refuses what is not
// a command, and a size above maxCommand before any of it is buffered.
func (h *Handshake) frame() (header, missing int, err error) {
	flags, size, header, err := ParseHeader(h.buf)
	switch {
	case err != nil:
		return 0, 0, refuse(MalformedCommand, "%s", detail(err))
	case header == 0:
		return 0, 1, nil
	case flags&FlagCommand == 0:
		return 0, 0, refuse(UnexpectedCommand, "a message in place of a handshake command")
	case size > uint64(h.maxCommand):
		return 0, 0, refuse(TooLarge, "%d octets, want at most %d", size, h.maxCommand)
	case h.maxBytes > 0 && h.taken+header+int(size) > h.maxBytes:
		return 0, 0, refuse(TooLarge, "%d octets in all, want at most %d", h.taken+header+int(size), h.maxBytes)
	}
	return header, header + int(size) - len(h.buf), nil
}

// command acts on a whole command of the peer.
func (h *Handshake) command(body []byte) error {
	if h.mechanism.name() == plain {
		body = ungarbled(body)
	}
	name, data, err := ParseCommand(body)
	if err != nil {
		return refuse(MalformedCommand, "%s", detail(err))
	}
	if string(name) != CommandError {
		return h.mechanism.command(h, string(name), data)
	}
	reason, err := ParseError(data)
	if err != nil {
		return refuse(MalformedCommand, "%s", detail(err))
	}
	return refuse(PeerError, "%q%s", reason, statuses[reason])
}

// statuses say what the reasons mean that libzmq gives: the status codes of ZAP (RFC 27).
var statuses = map[string]string{
	"300": ": it has us try later", "400": ": it does not let us in", "500": ": it failed to find out whether to let us in",
}

// Closed says what it means that the peer closes the connection before the handshake is done: a *HandshakeError where that is the way to
// say what is wrong, else nil.
func (h *Handshake) Closed() error {
	switch {
	case h.err != nil:
		return nil
	case h.greeted:
		return h.mechanism.closed()
	case h.peer.Major != 1 && h.peer.Major != 2 && h.sent == GreetingSize && len(h.buf) > greetingSigned: // so does libzmq, which has read ours
		return refuse(MechanismMismatch, "the peer closed the connection on our greeting: is its mechanism another than %s?", h.mechanism.name())
	}
	return nil
}
