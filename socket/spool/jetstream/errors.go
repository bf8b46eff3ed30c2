package jetstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// errTaken ends a spool whose stream is another's now.
var errTaken = fmt.Errorf("another process has taken the spool over (%w): %w", spool.ErrInUse, spool.ErrFailed)

// errGone ends a spool whose stream was deleted.
var errGone = fmt.Errorf("the stream is gone: %w", spool.ErrFailed)

// Codes of the JetStream API that nats.go has no names for.
const (
	codeAccountLimit = 10002 // resource limits exceeded for account
	codeUnavailable  = 10008 // the system is temporarily unavailable
	codeResources    = 10023 // insufficient resources
	codeStorage      = 10047 // insufficient storage resources available
	codeStore        = 10077 // what the store says: maximum messages or bytes exceeded
)

// outOfRoom reports whether an answer to a message says that there is no room for it.
func outOfRoom(e *jetstream.APIError) bool {
	switch e.ErrorCode {
	case codeAccountLimit, codeResources, codeStorage, codeStore, jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return true
	}
	return false
}

// unavailable reports whether an answer says that there will be another one soon.
func unavailable(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && e.ErrorCode == codeUnavailable
}

// outdated reports whether a write was refused because another came before it.
func outdated(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// missing reports whether err says that a message is not there.
func missing(err error) bool { return errors.Is(err, jetstream.ErrMsgNotFound) }

// typed wraps what the servers say in the errors of package spool.
func typed(err error) error {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok && outOfRoom(e) {
		return fmt.Errorf("%w (%w)", spool.ErrFull, err)
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w (%w)", spool.ErrClosed, err)
	}
	return err
}

// backoff is a pause that doubles from 50 ms, about what an election takes, to 1 s.
type backoff time.Duration

func (b *backoff) next() time.Duration {
	*b = min(max(2**b, backoff(50*time.Millisecond)), backoff(time.Second))
	return time.Duration(*b)
}

func (b *backoff) reset() { *b = 0 }
