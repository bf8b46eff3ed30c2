package jetstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// fault is errors of package spool in other words: what there is to do about streams is not what is done about files.
type fault struct {
	says string
	is   []error
}

func (f *fault) Error() string   { return f.says }
func (f *fault) Unwrap() []error { return f.is }

// foreign returns the error of a stream that is no spool's, or another's.
func foreign(c jetstream.StreamConfig) error {
	says := "give the spool another name, or delete the stream"
	if _, ours := c.Metadata[metaVersion]; ours {
		owner := c.Name
		if c.Metadata[metaID] == "" {
			owner = strings.TrimSuffix(owner, stateName(""))
		}
		says = fmt.Sprintf("it is that of spool %s, with what that holds: give this one another name", owner)
	}
	return &fault{fmt.Sprintf("stream %s is not of this spool: %s", c.Name, says), []error{spool.ErrForeign}}
}

// damaged returns the error of a spool of which the servers have lost something.
func (s *Spool) damaged(format string, args ...any) error {
	return &fault{fmt.Sprintf(format, args...) + ": restore both streams from a backup, or open what is left with Options.Repair", []error{spool.ErrDamaged}}
}

// ErrDenied is returned where a stream was sealed, or set to deny_purge or deny_delete, and the spool has to remove something from it. Open returns it for a spool.Queue that may not let
// go of what is acknowledged, and calls that remove a consumer or a dead letter where neither is permitted.
var ErrDenied = errors.New("it was set to let nothing be removed, which servers do not undo: read what it holds with the nats tool, and open a spool of another name")

func denied(stream string) error { return fmt.Errorf("stream %s: %w", stream, ErrDenied) }

// What ends a spool. Each says what to do.
var (
	errTaken     = &fault{"another process has taken the spool over: close this one, and end that process before it is opened here again", []error{spool.ErrInUse, spool.ErrFailed}}
	errGone      = &fault{"the stream is gone, and what it held: restore it from a backup, or open what is left with Options.Repair", []error{spool.ErrFailed}}
	errReplaced  = &fault{"the stream was deleted and made anew by somebody else: delete that one, and open what is left with Options.Repair", []error{spool.ErrForeign, spool.ErrFailed}}
	errChanged   = fmt.Errorf("somebody has given the stream other subjects: opening the spool again sets them right: %w", spool.ErrFailed)
	errSealed    = fmt.Errorf("the stream was sealed, for good: read what it holds with the nats tool, and open a spool of another name: %w", spool.ErrFailed)
	errKept      = fmt.Errorf("somebody has set deny_purge of the stream: %w: %w", ErrDenied, spool.ErrFailed)
	errNoAccount = fmt.Errorf("JetStream is not enabled for the account of this connection: enable it on the servers: %w", spool.ErrFailed)
	errPayload   = fmt.Errorf("max_payload of the servers is less than a message or position has: raise it again: %w", spool.ErrFailed)
	errRefused   = fmt.Errorf("the servers refuse it for good: undo what was changed of the stream: %w", spool.ErrFailed)
)

// errForbidden is of what the servers do not answer to.
var errForbidden = errors.New("the user of this connection lacks a permission: give it on the servers")

// Codes of the JetStream API that nats.go has no names for.
const (
	codeAccountLimit = 10002 // resource limits exceeded for account
	codeCreate       = 10049 // error creating store for stream
	codeSealed       = 10109 // invalid operation on sealed stream
	codeUnavailable  = 10008 // the system is temporarily unavailable
	codeResources    = 10023 // insufficient resources
	codeStorage      = 10047 // insufficient storage resources available
	codeSequence     = 10043 // no message of that sequence is there to be deleted
	codeDelete       = 10057 // what was asked to be deleted was not, as when the stream denies it
	codePurge        = 10110 // the same of a purge
	codeStore        = 10077 // what the store says: maximum messages or bytes exceeded
)

// outOfRoom reports whether an answer to a message says that there is no room for it.
func outOfRoom(e *jetstream.APIError) bool {
	switch e.ErrorCode {
	case codeAccountLimit, codeResources, codeStorage, codeStore:
		return true
	}
	return false
}

// unavailable reports whether an answer says that there will be another one soon.
func unavailable(err error) bool {
	return refused(err, codeUnavailable)
}

// alreadyMade reports whether a stream could not be made because one of that name was, or was removed, at that moment: for another process, or for a request of ours that was given up.
func alreadyMade(err error) bool {
	return refused(err, codeCreate) || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse)
}

// outdated reports whether a write was refused because another came before it.
func outdated(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// lasting returns what ends the spool if the servers go on saying err, nil if that passes by itself, or with room, or with another look at the stream: nobody answers, a
// leader is being elected, there is too much to do. What was asked for is the same the next time, so an answer that finds fault with it (4xx) stays as well.
func lasting(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w (%w)", errPayload, err)
	}
	e, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || outOfRoom(e) || outdated(err) {
		return nil
	}
	why := errRefused
	switch e.ErrorCode {
	case jetstream.JSErrCodeStreamNotFound:
		return errGone
	case codeSealed:
		return errSealed
	case jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		why = errNoAccount
	default:
		if e.Code < 400 || e.Code >= 500 || e.Code == http.StatusConflict || e.Code == http.StatusTooManyRequests {
			return nil
		}
	}
	return fmt.Errorf("%w (%w)", why, err)
}

// refused reports whether err has this code.
func refused(err error, code jetstream.ErrorCode) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && e.ErrorCode == code
}

// missing reports whether err says that a message is not there, or was not to be deleted.
func missing(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) || refused(err, codeSequence)
}

// typed wraps what the servers say in the errors of package spool.
func typed(err error) error {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok && outOfRoom(e) {
		return fmt.Errorf("%w (%w)", spool.ErrFull, err)
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w (%w)", spool.ErrClosed, err)
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: raise max_payload of the servers (%w)", spool.ErrTooLarge, err)
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
