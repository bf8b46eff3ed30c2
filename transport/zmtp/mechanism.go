package zmtp

// Mechanism is one side of a security mechanism, for one handshake: what follows the greetings up to the peer's metadata. It is made
// by PlainClient, PlainServer, CurveClient and CurveServer; nil is NULL.
//
// It sends by appending to Handshake.out and hands over the peer's metadata with Handshake.acceptMetadata. It calls
// Handshake.admitted before it says what lets the peer send messages, and Handshake.identified when it knows the peer.
type Mechanism interface {
	// name is the mechanism's name in the greeting.
	name() string
	// role tells the sides apart, where there are two.
	role() role
	// overhead is how much longer than our metadata its largest command is.
	overhead() int
	// start is called once, when the peer's greeting is complete.
	start(h *Handshake) error
	// command takes a whole command of the peer, ERROR excepted.
	command(h *Handshake, name string, data []byte) error
	// allowed goes on after Handshake.ask, whose question was answered with Allow.
	allowed(h *Handshake) error
	// done reports whether both sides have said all.
	done() bool
	// closed says what it means that the peer closes the connection now, nil for nothing special.
	closed() error
}

// role is a side of a mechanism.
type role uint8

const (
	equal role = iota // NULL has no sides
	client
	server
)

// null is NULL (RFC 37, "The NULL Security Mechanism"): one READY each way, in any order.
type null struct {
	patient      bool // the peer says READY first
	authenticate bool // somebody decides about the peer
	ready        bool // the peer's READY was accepted
}

func (*null) name() string  { return "NULL" }
func (*null) role() role    { return equal }
func (*null) overhead() int { return 1 + len(CommandReady) }
func (*null) closed() error { return nil }

// start sends READY without waiting for the peer's. In 3.1 the connecting side speaks first, in 3.0 both must
// speak before they wait; speaking at once satisfies both and cannot deadlock, nor can waiting on the accepting side alone.
func (n *null) start(h *Handshake) error {
	if n.patient && n.authenticate { // a peer that may not come in takes no place
		return nil
	}
	if err := h.admitted(); err != nil {
		return err
	}
	if !n.patient {
		h.out = AppendCommand(h.out, CommandReady, h.metadata)
	}
	return nil
}

func (n *null) command(h *Handshake, name string, data []byte) error {
	if name != CommandReady {
		return unexpected(name, CommandReady)
	}
	if err := h.acceptMetadata(data); err != nil {
		return err
	}
	if n.authenticate {
		h.ask(Credentials{})
		return nil
	}
	return n.accept(h)
}

func (n *null) allowed(h *Handshake) error {
	if n.patient {
		if err := h.admitted(); err != nil {
			return err
		}
	}
	return n.accept(h)
}

func (n *null) accept(h *Handshake) error {
	if err := h.identified(); err != nil {
		return err
	}
	if n.patient {
		h.out = AppendCommand(h.out, CommandReady, h.metadata)
	}
	n.ready = true
	return nil
}

func (n *null) done() bool { return n.ready }

// unexpected refuses a command that has no place in the handshake now.
func unexpected(name, want string) error {
	return refuse(UnexpectedCommand, "command %q in place of %s", printable([]byte(name)), want)
}
