package codec

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// Names of headers with a meaning of their own: the trace context of the sender,
// as W3C Trace Context defines it. This package carries them as they are.
const (
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

// Limits of an envelope. Append refuses to write what Decode would refuse to
// read, so a sender learns of it first.
const (
	// MaxName is the most bytes in Type, Source or Codec: what a DNS name may
	// have, and more than names that people read need.
	MaxName = 255
	// MaxHeaders is the most headers. It also bounds the search for a header.
	MaxHeaders = 64
	// MaxHeaderBytes is the most bytes in all keys and values together: the 8 KiB
	// that W3C Baggage may take, and as much for the rest.
	MaxHeaderBytes = 16 << 10
)

// Header is one piece of metadata. Both parts are UTF-8, the key is not empty.
type Header struct{ Key, Value string }

// Envelope is a message body with what a receiver must know about it. Every
// field may be zero, and arrives as it was sent, but for Time, which loses its
// location and monotonic reading, and for the difference between nil and empty.
//
// An Envelope is plain data: not safe for concurrent use while it changes, and a
// copy shares Headers and Body with the original.
type Envelope struct {
	ID            ID        // of this message
	CorrelationID ID        // of the first message of the conversation; zero in that one: see Conversation
	CausationID   ID        // of the message whose handling sent this one
	Time          time.Time // when it was made, to the nanosecond, in UTC once decoded
	SchemaVersion uint32    // of Type; how Body is to be read
	Type          string    // what Body is, such as "orders.created"
	Source        string    // the service that sent it
	Codec         string    // name of the codec that wrote Body, for ByName
	Headers       []Header  // in the order sent, no key twice
	Body          []byte    // bytes of Codec; after Decode a part of the input
}

// Stamp sets Time to now, and ID to a new one if it is zero, by one look at the
// clock. A wall clock that is set shows in both within 10 ms.
func (e *Envelope) Stamp() {
	e.Time = now()
	if e.ID.IsZero() {
		e.ID = newID(max(e.Time.UnixNano(), 0))
	}
}

// Conversation returns the id of the conversation that e is part of: the CorrelationID, or in the first message, which has none, the ID.
func (e *Envelope) Conversation() ID {
	if e.CorrelationID.IsZero() {
		return e.ID
	}
	return e.CorrelationID
}

// Header returns the value of the header key, or "" if there is none. Keys are
// case-sensitive; those that travel beyond this module are best in lower case.
func (e *Envelope) Header(key string) string {
	for i := range e.Headers {
		if e.Headers[i].Key == key {
			return e.Headers[i].Value
		}
	}
	return ""
}

// SetHeader gives the header key a value, in its place if it is there and at the
// end if not. In place means that it changes in copies of e, too.
func (e *Envelope) SetHeader(key, value string) {
	for i := range e.Headers {
		if e.Headers[i].Key == key {
			e.Headers[i].Value = value
			return
		}
	}
	e.Headers = append(e.Headers, Header{key, value})
}

// check applies the rules of the format that the Go types do not.
func (e *Envelope) check() error {
	if err := checkName("type", e.Type); err != nil {
		return err
	}
	if err := checkName("source", e.Source); err != nil {
		return err
	}
	if err := checkName("codec", e.Codec); err != nil {
		return err
	}
	if n := uint64(len(e.Body)); n > math.MaxUint32 {
		return fmt.Errorf("envelope body: %w: %d bytes, want at most %d", ErrLimit, n, uint32(math.MaxUint32))
	}
	return e.checkHeaders()
}

func checkName(field, s string) error {
	if s == "" {
		return nil
	}
	if len(s) > MaxName {
		return fmt.Errorf("envelope %s: %w: %d bytes, want at most %d", field, ErrLimit, len(s), MaxName)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("envelope %s: %w: %q is not UTF-8", field, ErrMalformed, s)
	}
	return nil
}

// checkHeaders refuses a key twice because readers differ in which of the two
// they believe.
func (e *Envelope) checkHeaders() error {
	if len(e.Headers) > MaxHeaders {
		return fmt.Errorf("envelope headers: %w: %d headers, want at most %d", ErrLimit, len(e.Headers), MaxHeaders)
	}
	size := 0
	for i, h := range e.Headers {
		size += len(h.Key) + len(h.Value)
		if size > MaxHeaderBytes {
			return fmt.Errorf("envelope headers: %w: want at most %d bytes in all", ErrLimit, MaxHeaderBytes)
		}
		if h.Key == "" || !utf8.ValidString(h.Key) || !utf8.ValidString(h.Value) {
			return fmt.Errorf("envelope header %d: %w: %q: %.40q, want UTF-8 and a key", i, ErrMalformed, h.Key, h.Value)
		}
		for _, earlier := range e.Headers[:i] {
			if earlier.Key == h.Key {
				return fmt.Errorf("envelope header %d: %w: key %q is there twice", i, ErrMalformed, h.Key)
			}
		}
	}
	return nil
}
