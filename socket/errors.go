package socket

import (
	"context"
	"errors"
	"strings"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport"
)

// Sentinels that callers decide on. All are found by errors.Is through whatever wraps them.
var (
	// ErrClosed: the socket was closed, before or during the call.
	ErrClosed = errors.New("socket closed")
	// ErrNoPeer: there is no peer that could take the message.
	ErrNoPeer = errors.New("no peer")
	// ErrFull: peers are there, and all their queues stand at the high-water mark.
	ErrFull = errors.New("queue full")
	// ErrState: the call does not fit the state of the pattern, such as a reply without a request.
	ErrState = errors.New("wrong state")
	// ErrTooLarge: the message is larger than WithMaxMessageSize allows or has more frames than WithMaxFrames does, or a peer's was.
	ErrTooLarge = link.ErrTooLarge
	// ErrPeerGone: the peer that was asked went away before it answered.
	ErrPeerGone = errors.New("peer gone")
	// ErrSpooled: messages stay in the spool, which delivers them when it is opened again. What kept them there is wrapped as well: ErrNoPeer, or
	// the end of the context.
	ErrSpooled = errors.New("messages stay in the spool")
	// ErrUnconfirmed: the message has its place in the spool and will be delivered unless the spool fails, but is not known to be
	// safe yet. Sending it again makes two of it.
	ErrUnconfirmed = errors.New("not known to be on disk yet")
	// ErrMissed: messages of a durable subscription are gone from the publisher's log, and were not handled. It is a *MissedError.
	ErrMissed = errors.New("messages were missed")
	// ErrWindow: the window of WithWindow has failed, so that nothing can be marked and acknowledged any more.
	ErrWindow = errors.New("the window of handled messages has failed: close the socket and make another")
	// ErrLease: the lease of the message has run out (WithLease). It was given back, so that another attempt at it settles it.
	ErrLease = errors.New("the lease of the message has run out")
	// ErrStream: two senders have one stream at a time, as one and a copy of its spool do, or send different messages in one place of it.
	ErrStream = errors.New("another sender has this stream: was its spool copied?")
	// ErrOption: an option has an impossible value.
	ErrOption = errors.New("invalid option")
	// ErrGroup: a group of Radio and Dish has more than 255 bytes, or a zero byte among them.
	ErrGroup = errors.New("invalid group")
	// ErrEndpoint: an endpoint is malformed, of an unknown scheme, or not known to the socket.
	ErrEndpoint = transport.ErrEndpoint
	// ErrRoutingID: a routing id is malformed, or in use already.
	ErrRoutingID = errors.New("bad routing id")
	// ErrTimeout: the context's deadline passed. Such an error is also context.DeadlineExceeded.
	ErrTimeout error = timeout{}
)

type timeout struct{}

func (timeout) Error() string   { return context.DeadlineExceeded.Error() }
func (timeout) Timeout() bool   { return true }
func (timeout) Is(e error) bool { return e == context.DeadlineExceeded }

// Error says which operation on which endpoint or peer met Err.
type Error struct {
	Op       string // "bind", "connect", "send", "recv", ...
	Endpoint string // empty where no endpoint is concerned
	Peer     string // address of the peer, empty where none is concerned
	Err      error
}

// Error returns one line: the operation, what it was about, the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	for _, part := range []string{e.Endpoint, e.Peer} {
		if part != "" {
			b.WriteByte(' ')
			b.WriteString(part)
		}
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// blocked is the cause of a call that waited in vain: why it had to wait, and what ended the wait.
type blocked struct{ why, end error }

func (b *blocked) Error() string {
	if b.why == nil {
		return b.end.Error()
	}
	return b.why.Error() + ": " + b.end.Error()
}

func (b *blocked) Is(target error) bool {
	return target == ErrTimeout && errors.Is(b.end, context.DeadlineExceeded)
}

func (b *blocked) Unwrap() []error {
	if b.why == nil {
		return []error{b.end}
	}
	return []error{b.why, b.end}
}
