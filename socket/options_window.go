package socket

import (
	"context"
	"fmt"

	"github.com/meshmq/meshmq/socket/spool"
)

// Window remembers which messages were handled: *spool.Window, on disk, or something of the application's own, such as the table that its
// handlers write to. Its methods are called by many goroutines, with no lock held.
type Window interface {
	// Seen reports whether a message was handled, by its place or by its id. It is asked for each message before Recv returns it. Marked messages
	// are seen from then on, until they are too old or too many.
	Seen(m spool.Mark) bool
	// Mark remembers messages that were handled. When it returns nil they stay marked, whatever ends; only then are they acknowledged. An error
	// that wraps spool.ErrFailed or spool.ErrClosed is for good; after others it is called again, with the same messages and more.
	Mark(ctx context.Context, marks ...spool.Mark) error
}

// clasher is a Window that tells two messages in one place, or with one id, apart, as *spool.Window does.
type clasher interface {
	Clash(m spool.Mark) (place, id bool)
}

// windowConfig is what options set about windows.
type windowConfig struct {
	openWindow func() (Window, func() error, error) // nil: there is none
	messageID  func(Msg) (string, []byte)           // nil: messages are known by their place
}

// checkWindow finds what a window cannot be combined with.
func (c *config) checkWindow() error {
	switch {
	case c.openWindow != nil && !c.ack:
		return fmt.Errorf("%w: WithWindow without WithAck: what is not acknowledged does not come again", ErrOption)
	case c.messageID != nil && c.openWindow == nil:
		return fmt.Errorf("%w: WithMessageID without WithWindow", ErrOption)
	}
	return nil
}

// WithWindow has messages handled effectively once: which ones were is kept in a directory of its own, and one that comes again is not returned by Recv but
// acknowledged again, and counted (AckStats.DuplicatesIn). The directory is opened, and made if it is missing, when the socket is; an error of
// spool.OpenWindow makes the socket unusable, as a wrong option does. Marks that damage took are an event at once (WindowTrouble),
// and so is an end that looks as if a crash had cut a write short (WindowTorn), for WithEventHandler alone; both are in Stats. Close lets it go. It needs WithAck, and concerns messages on acknowledged links.
//
// A message is known by its place in its sender's stream (Msg.Mark), and by its id if there is WithMessageID. It is marked when it is acknowledged (Msg.Ack, the
// next Recv), by one sync for all that were acknowledged meanwhile, and the acknowledgement goes out after that, never before.
// A sync begins when 256 messages wait for it, or half of the credit, after WithAckDelay, and when Recv finds nothing to return. Neither Msg.Ack nor Recv waits for it.
// So acknowledgements arrive later by about a sync; WithAckCredit must cover what is handled meanwhile. What is refused, or never acknowledged, is not marked.
// Msg.Ack marks a message also when its connection has ended, so that the copy that is on its way is dropped.
//
// A copy that arrives while an earlier one is being handled waits, as part of the credit: it is acknowledged when the earlier one is marked, and returned
// when that one is refused. It waits for as long as the application has neither acknowledged nor refused the earlier one, so see to it that each message is one or the other.
//
// What is promised: a message that was marked is not returned again while the window remembers it (spool.WindowOptions: Count, Age), by this process or one after it. What is not:
// a process that ends after its handler is done and before the mark is on disk handles those messages again: what was acknowledged during one sync and the one before, if the disk keeps up, and no more than the credit (WithAckCredit) of each peer. A handler makes that impossible by writing Msg.Mark, or its id, in
// the transaction of what it does, under a unique index, and by taking a conflict for done; or with WithWindowOn and a Window that reads that table. Nor is a message
// handled once that goes to receivers with windows of their own, as when its first receiver is cut off: have such receivers share one.
// Count must be above what can come again: the credit of all peers, and what a sender with a spool sends within the 50 ms that its positions may be behind.
//
// When the disk is full nothing is acknowledged, and so, when the credit is used up, nothing more comes; it is tried again each second (the event WindowTrouble). After a failed write or
// sync, which is final, Recv and Msg.Ack return an ErrWindow, and what was acknowledged and not marked comes again when the connections end: close the socket and make another.
//
// Two connections that send different messages in one place of a stream are those of a sender and of a copy of its spool: the one that comes second is ended with ErrStream (RefusedStream),
// and so each time it comes with such a message; its messages stay with it. Peers that are not trusted alike should not share a window: each can claim places in the stream of another.
// Default: off.
func WithWindow(dir string, options spool.WindowOptions) Option {
	return only("WithWindow", func(c *config) {
		c.openWindow = func() (Window, func() error, error) {
			w, err := spool.OpenWindow(dir, options)
			if err != nil {
				return nil, nil, err
			}
			return w, w.Close, nil
		}
	}, ackTypes...)
}

// WithWindowOn is WithWindow with a window that is open already, and stays the caller's, who closes it after the socket. Several sockets can share
// one; a copy that comes to one of them while the message is being handled at another is then returned all the same.
func WithWindowOn(w Window) Option {
	return func(c *config) error {
		if w == nil {
			return bad("WithWindowOn", "nil", "want a Window")
		}
		return only("WithWindowOn", func(c *config) {
			c.openWindow = func() (Window, func() error, error) { return w, nil, nil }
		}, ackTypes...)(c)
	}
}

// WithMessageID has a window know messages by ids as well, such as that of an envelope: what a sender sends twice is handled once then, not just what comes
// twice. id gets messages as Recv returns them, before Recv does, from whoever calls it, and must return the same for the same message, which it must not
// change; "" is for messages without. Ids of more than 64 bytes are known by their SHA-256. It needs WithWindow. Default: none.
//
// body is what all messages with that id are to say; nil stands for all of the message, an empty one says nothing. It must be the same bytes whenever the
// message is sent, which the encoding of a map may not be. The first that is handled wins: one with its id and another body, told by a CRC-32C, is refused for
// good, so that its sender has it as a dead letter, is counted (AckStats.ConflictsIn) and is an event (Conflicted). A Window of your own takes it for a
// duplicate, unless it has the method Clash of *spool.Window.
func WithMessageID(id func(Msg) (id string, body []byte)) Option {
	return func(c *config) error {
		if id == nil {
			return bad("WithMessageID", "nil", "want a function")
		}
		return only("WithMessageID", func(c *config) { c.messageID = id }, ackTypes...)(c)
	}
}
