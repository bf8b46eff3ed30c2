package socket

import (
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// spoolConfig is what options set about spools.
type spoolConfig struct {
	openSpool func() (Spool, error) // nil: the socket has none

	// Of the spool once it is open; life is zero if it does not say.
	stream spool.ID
	life   uint64
}

// spoolTypes are the types of sockets that can send from a spool. Others answer a peer that is there, or leave it to each peer what it gets.
var spoolTypes = []zmtp.SocketType{zmtp.Push, zmtp.Dealer, zmtp.Pub, zmtp.XPub}

// publishes reports whether a spool is the log of a publisher.
func (c *config) publishes() bool { return c.typ == zmtp.Pub || c.typ == zmtp.XPub }

// WithSpool has a PUSH or DEALER keep messages in a directory of their own until they are acknowledged, so that none that Send accepted is lost
// to the end of this process, of a peer or of the power. The directory is opened, and made if it is missing, when the socket is; what is in it from
// before is delivered first. An error of spool.Open makes the socket unusable, as a wrong option does. Close lets it go. What was found
// damaged is an event at once (SpoolTrouble), for WithEventHandler alone, and in Stats. So is an end that looks as if a crash had cut a write
// short, which is no damage and is cut off (SpoolTorn): where one did, with spool.Always Send had confirmed nothing of it, with other policies it is part of what they allow to be
// lost; what was written last before a crash and has rotted looks the same. Both are told of the dead letters, too.
//
// Send returns nil when the message is as safe as options.Policy says; one sync carries what all callers of Send queued meanwhile. It needs no peer. While there
// is no room (options.Quota, Reserve, the disk) it blocks, rejects (ErrFull) or drops the oldest, as options.Full says. When ctx ends while the message is on its way to the
// disk the error is ErrUnconfirmed. After a failed write, which is an event (SpoolTrouble), every Send is a spool.ErrFailed, and so is what waits for the spool, Shutdown and WaitAcked too; what is on disk is delivered still. Enqueue and Flush are Send in two
// steps.
//
// Messages are delivered in the order they were sent, each to the peer that has least outstanding. With WithAck here and at the peer a message stays until
// the peer has acknowledged it; it gets it again, it or another, if the connection ends before. To other peers, those of libzmq among them, a message is
// done with when it is written, so use WithAck, and WithAckRequired to have no others. Positions are
// on disk a moment later (50 ms): after a crash the messages of that moment are delivered again.
//
// WithRetry and WithAttempts say what becomes of a message that its receiver refuses; in the end it goes to the dead letters of the spool.
// Shutdown waits until everything is settled, Close for the linger period while peers are there; what is left stays, and is an ErrSpooled. It is not for use
// with WithConflate and WithReroute.
//
// With a PUB or XPUB the directory is the log of what was published, of the kind spool.Topic: options.Retention bounds it, by age, bytes and number of messages, and
// nothing else does but the quota: what is handled makes no room in it, and Shutdown waits for nobody to handle it. Send returns nil when the message is as safe as the
// policy says, and has by then been given to the subscribers that are connected, as ever: at most once. Those with WithDurable are fed from the log alone, each name at its own place, and hold up nobody: see there, and
// XPub.Durables. It is not for use with WithNoDrop, WithDropPolicy(Block), WithInvertMatching and WithManual; Block from WithPeerDropPolicy is DropNewest.
// Default: off.
func WithSpool(dir string, options spool.Options) Option {
	return only("WithSpool", func(c *config) {
		c.openSpool = func() (Spool, error) {
			options := options
			if options.Kind == 0 && c.publishes() {
				options.Kind = spool.Topic
			}
			if err := c.suits(options.Kind); err != nil {
				return nil, err
			}
			log, err := spool.Open(dir, options)
			if err != nil {
				return nil, err
			}
			return SpoolOf(log), nil
		}
	}, spoolTypes...)
}

// WithSpoolOn is WithSpool with a Spool that is open already. It belongs to the socket from then on, whose Close closes it.
func WithSpoolOn(s Spool) Option {
	return func(c *config) error {
		if s == nil {
			return bad("WithSpoolOn", "nil", "want a Spool")
		}
		return only("WithSpoolOn", func(c *config) { c.openSpool = func() (Spool, error) { return s, nil } }, spoolTypes...)(c)
	}
}

// announce has peers told which stream the spool is, and since when it is open, if it says that. One with an owner of its own making sees to copies itself.
func (c *config) announce(s Spool) {
	if lives, ok := s.(interface{ Life() uint64 }); ok {
		c.stream, _ = s.Stream()
		c.life = lives.Life()
	}
}

// checkKind finds a spool of the wrong kind, if it says what it is.
func (c *config) checkKind(s Spool) error {
	if k, ok := s.(interface{ Kind() spool.Kind }); ok {
		return c.suits(k.Kind())
	}
	return nil
}

// suits finds out whether a spool of a kind, 0 being the default, can be that of the socket.
func (c *config) suits(k spool.Kind) error {
	switch {
	case c.publishes() && k != spool.Topic:
		return fmt.Errorf("a %s lets go of what is acknowledged: use spool.Topic", k)
	case !c.publishes() && k != spool.Queue && k != 0:
		return fmt.Errorf("a %s keeps what is acknowledged: use spool.Queue", k)
	}
	return nil
}

var errSpoolOnly = errors.New("messages stay in the spool until they are settled")

// checkSpool finds what a spool cannot be combined with.
func (c *config) checkSpool() error {
	if c.openSpool == nil {
		return nil
	}
	for option, set := range map[string]bool{"WithConflate": c.conflate, "WithReroute": c.reroute} {
		if set {
			return fmt.Errorf("%w: WithSpool and %s: %w", ErrOption, option, errSpoolOnly)
		}
	}
	if !c.publishes() {
		return nil
	}
	for option, set := range map[string]bool{"WithNoDrop": c.noDrop, "WithDropPolicy(Block)": c.policed && c.policy == Block, "WithInvertMatching": c.invert, "WithManual": c.manual} {
		if set {
			return fmt.Errorf("%w: WithSpool and %s exclude each other on a %s socket", ErrOption, option, c.typ)
		}
	}
	return nil
}
