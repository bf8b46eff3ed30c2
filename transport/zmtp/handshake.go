package zmtp

import (
	"errors"
	"fmt"
	"strings"
)

// defaultMaxCommand is the largest handshake command accepted unless Config says otherwise. A READY of libzmq has
// under 300 octets even with the longest identity; 4 KiB leave room for application properties, and a thousand
// connections that never finish their handshake hold no more than 4 MiB.
const defaultMaxCommand = 4096

// Config is what one side brings into a handshake.
type Config struct {
	SocketType SocketType
	Identity   []byte   // at most 255 octets, not beginning with zero; announced by REQ, DEALER and ROUTER only
	Properties Metadata // the application's own properties; their names begin with "X-"
	AsServer   bool     // which side of the mechanism this is; NULL has no sides and ignores it
	// MaxCommand is the size of the largest handshake command accepted, and the most our own may have; 0 means
	// 4096. It is apart from any limit on messages: a small message limit must not refuse a READY.
	MaxCommand int
}

// Peer is what a finished handshake has learnt. Its slices are shared and must not be changed.
type Peer struct {
	// Major and Minor are the version both sides speak: 3.0, or 3.1 with all that is newer.
	Major, Minor byte
	Mechanism    string
	SocketType   SocketType // empty if the peer announced none
	Identity     []byte     // empty if the peer announced none or its type has none
	Metadata     Metadata   // all properties as received
}

// Handshake is one side of greeting and mechanism as a state machine: octets in, octets out. It buffers at most the
// greeting or one command of the peer, and never more than has arrived. It is not safe for concurrent use.
type Handshake struct {
	socketType SocketType
	maxCommand int
	metadata   []byte // ours, encoded
	mechanism  mechanism

	buf     []byte // the greeting or frame being received; bytes that belong to neither are never taken
	greeted bool   // the peer's greeting is complete
	out     []byte // what the Step under way will return
	peer    Peer
	err     error // why it ended
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
	if err := checkProperties(c.Properties); err != nil {
		return nil, fmt.Errorf("zmtp: %w", err)
	}
	if c.MaxCommand == 0 {
		c.MaxCommand = defaultMaxCommand
	}
	h := &Handshake{
		socketType: c.SocketType,
		maxCommand: c.MaxCommand,
		mechanism:  &null{},
		metadata:   appendOwnMetadata(nil, c),
	}
	if size := 1 + len(CommandReady) + len(h.metadata); size > c.MaxCommand {
		return nil, fmt.Errorf("zmtp: READY would have %d octets, want at most %d: shorten the properties",
			size, c.MaxCommand)
	}
	return h, nil
}

// Start returns the octets to send at once: the whole greeting. libzmq holds its own back until it has seen ten.
func (h *Handshake) Start() []byte {
	return appendGreeting(nil, h.mechanism.name())
}

// Step takes octets from the peer, cut anywhere. The first n of in were used; the rest belongs to later frames, since
// a message may ride right behind READY. out is to be sent now, also when err is not nil: then it may hold the
// ERROR command that tells the peer why. err is a *HandshakeError and final: further calls return it again.
func (h *Handshake) Step(in []byte) (n int, out []byte, err error) {
	h.out = nil
	for h.err == nil && !h.Done() && n < len(in) {
		take := h.stepCommand
		if !h.greeted {
			take = h.stepGreeting
		}
		var used int
		used, h.err = take(in[n:])
		n += used
	}
	if h.err != nil || h.Done() {
		h.buf = nil
	}
	return n, h.out, h.err
}

// Done reports whether both sides may send messages: our READY has been returned by Step, the peer's is accepted.
func (h *Handshake) Done() bool { return h.err == nil && h.mechanism.done() }

// Peer is valid once Done.
func (h *Handshake) Peer() Peer { return h.peer }

// stepGreeting takes what it can of the peer's greeting.
func (h *Handshake) stepGreeting(in []byte) (n int, err error) {
	n = min(GreetingSize-len(h.buf), len(in))
	h.buf = append(h.buf, in[:n]...)
	if refused := checkGreeting(h.buf, h.mechanism.name()); refused != nil {
		return n, refused
	}
	if len(h.buf) == GreetingSize {
		h.peer.Major, h.peer.Minor = 3, spokenMinor(h.buf)
		h.peer.Mechanism = h.mechanism.name()
		h.greeted, h.buf = true, h.buf[:0]
		h.mechanism.start(h)
	}
	return n, nil
}

// stepCommand takes what it can of one frame and acts on it when it is whole.
func (h *Handshake) stepCommand(in []byte) (n int, err error) {
	header, missing, err := h.frame()
	for err == nil && missing > 0 {
		if n == len(in) {
			return n, nil
		}
		take := min(missing, len(in)-n)
		h.buf = append(h.buf, in[n:n+take]...)
		n += take
		header, missing, err = h.frame()
	}
	if err != nil {
		return n, err
	}
	body := h.buf[header:]
	h.buf = h.buf[:0]
	return n, h.command(body)
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
	}
	return header, header + int(size) - len(h.buf), nil
}

// command acts on a whole command of the peer.
func (h *Handshake) command(body []byte) error {
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
	return refuse(PeerError, "%q", reason)
}

// acceptMetadata checks the peer's metadata and keeps it. Where the peer's configuration has to change, an ERROR
// command tells it so before we hang up (RFC 37, "The Socket-Type Property").
func (h *Handshake) acceptMetadata(data []byte) error {
	m, err := ParseMetadata(data)
	if err != nil {
		return refuse(BadMetadata, "%s", detail(err))
	}
	value, announced := m.Get(PropertySocketType)
	theirs := SocketType(value)
	if announced && !h.socketType.Compatible(theirs) {
		h.out = AppendError(h.out, fmt.Sprintf("%s cannot talk to %s", h.socketType, printable(value)))
		return refuse(IncompatibleType, "%s cannot talk to %q", h.socketType, printable(value))
	}
	// A peer that does not say what it is may yet have an identity.
	if theirs.announces() || !announced {
		identity, _ := m.Get(PropertyIdentity)
		if err := checkIdentity(identity); err != nil {
			h.out = AppendError(h.out, err.Error())
			return refuse(BadIdentity, "%v", err)
		}
		h.peer.Identity = identity
	}
	h.peer.SocketType, h.peer.Metadata = theirs, m
	return nil
}

// appendOwnMetadata appends what this side announces.
func appendOwnMetadata(dst []byte, c Config) []byte {
	m := Metadata{{PropertySocketType, []byte(c.SocketType)}}
	if c.SocketType.announces() {
		m = append(m, Property{PropertyIdentity, c.Identity})
	}
	return AppendMetadata(dst, append(m, c.Properties...))
}

// checkIdentity holds an identity against RFC 37, "The Identity Property": a leading zero is a ROUTER's to give.
func checkIdentity(identity []byte) error {
	if len(identity) > 255 {
		return fmt.Errorf("an identity of %d octets, want at most 255", len(identity))
	}
	if len(identity) > 0 && identity[0] == 0 {
		return errors.New("an identity begins with a zero octet")
	}
	return nil
}

// checkProperties holds the application's properties against what ParseMetadata of the peer will accept.
func checkProperties(properties Metadata) error {
	if limit := maxProperties - 2; len(properties) > limit { // two are ours
		return fmt.Errorf("%d properties, want at most %d", len(properties), limit)
	}
	for i, p := range properties {
		if err := checkPropertyName(p.Name); err != nil {
			return err
		}
		// RFC 37, "Connection Metadata": names beginning with X- are the application's.
		if len(p.Name) < 2 || !strings.EqualFold(p.Name[:2], "X-") {
			return fmt.Errorf("property %s: want a name beginning with X-", p.Name)
		}
		if _, twice := properties[:i].Get(p.Name); twice {
			return fmt.Errorf("property %s is there twice", p.Name)
		}
	}
	return nil
}

// detail is an error of this package without what HandshakeError.Reason says already.
func detail(err error) string {
	text := strings.TrimPrefix(err.Error(), "zmtp: ")
	text = strings.TrimPrefix(text, "malformed command: ")
	return strings.TrimPrefix(text, "malformed metadata: ")
}
