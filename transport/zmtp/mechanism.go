package zmtp

// mechanism is one side of a security mechanism: what follows the greetings up to the peer's metadata. It sends
// by appending to Handshake.out and hands over the peer's metadata with Handshake.acceptMetadata.
type mechanism interface {
	// name is the mechanism's name in the greeting.
	name() string
	// start is called once, when the peer's greeting is complete.
	start(h *Handshake)
	// command takes a whole command of the peer, ERROR excepted.
	command(h *Handshake, name string, data []byte) error
	// done reports whether both sides have said all.
	done() bool
}

// null is NULL (RFC 37, "The NULL Security Mechanism"): one READY each way, in any order.
type null struct {
	patient bool // the peer says READY first
	ready   bool // the peer's READY was accepted
}

func (*null) name() string { return "NULL" }

// start sends READY without waiting for the peer's. In 3.1 the connecting side speaks first, in 3.0 both must
// speak before they wait; speaking at once satisfies both and cannot deadlock, nor can waiting on the accepting side alone.
func (n *null) start(h *Handshake) {
	if !n.patient {
		h.out = AppendCommand(h.out, CommandReady, h.metadata)
	}
}

func (n *null) command(h *Handshake, name string, data []byte) error {
	if name != CommandReady {
		return refuse(UnexpectedCommand, "command %q in place of READY", printable([]byte(name)))
	}
	if err := h.acceptMetadata(data); err != nil {
		return err
	}
	if n.patient {
		h.out = AppendCommand(h.out, CommandReady, h.metadata)
	}
	n.ready = true
	return nil
}

func (n *null) done() bool { return n.ready }
