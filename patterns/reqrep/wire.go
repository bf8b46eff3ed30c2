package reqrep

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Headers of requests, replies and controls. Numbers are decimal.
const (
	headerTimeout = "timeout"      // request: milliseconds the caller goes on waiting
	headerAttempt = "attempt"      // request: which attempt it is; 1 where there is none
	headerValue   = "value-type"   // request, reply: name of the type of the value in the body; none if the type has no name
	headerCall    = "call"         // request: the client's number of this attempt, which controls about it name
	headerWindow  = "window"       // request: asks for a stream, so many items and bytes ahead: "64/1048576"
	headerItem    = "stream-item"  // reply: which item of the stream it is, from 1
	headerEnd     = "stream-end"   // reply: the stream ends here, after so many items
	headerTaken   = "stream-taken" // control: how many items were taken
	headerCode    = "error-code"   // reply: the Code, if it is an error
	headerMessage = "error"        // reply: the Message, if it is an error
	headerRetry   = "error-retry"  // reply: the error is Retryable, after so many milliseconds
)

// Names of methods that every service has begin with a dollar sign, and so do the types of controls. A control is about the request
// that is its causation, and asks for no reply. It goes to peers that announce the property.
const (
	reserved      = "$"
	controlCancel = "$cancel" // nobody waits for the reply any more
	controlTaken  = "$taken"  // more of a stream may be sent

	controlsProperty = "X-Mesh-Calls"
	controlsVersion  = "1"
)

// controlsOption announces that this peer understands controls.
func controlsOption() socket.Option { return socket.WithProperty(controlsProperty, controlsVersion) }

// understands reports whether a peer knows what to make of controls.
func understands(p *socket.Peer) bool {
	_, ok := p.Property(controlsProperty)
	return ok
}

// maxTimeout is about 24 days: far beyond any wait, and within what every language's int holds in milliseconds.
const maxTimeout = (1<<31 - 1) * time.Millisecond

// formatTimeout rounds up, so that a deadline is not over before the caller thinks so.
func formatTimeout(left time.Duration) string {
	left = min(max(left, 0), maxTimeout)
	return strconv.FormatInt(int64((left+time.Millisecond-1)/time.Millisecond), 10)
}

// numberOf returns the number that a header is, and whether there is the header.
func numberOf(e *codec.Envelope, header string, bits int) (n uint64, there bool, err error) {
	text := e.Header(header)
	if text == "" {
		return 0, false, nil
	}
	n, err = strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, true, fmt.Errorf("%w: %s %.20q, want a number of %d bits", patterns.ErrMalformed, header, text, bits)
	}
	return n, true, nil
}

// timeoutOf returns the time a request allows, and whether it limits it at all.
func timeoutOf(e *codec.Envelope) (left time.Duration, limited bool, err error) {
	ms, limited, err := numberOf(e, headerTimeout, 31)
	if err != nil {
		return 0, false, fmt.Errorf("%w: timeout %.20q, want milliseconds", patterns.ErrMalformed, e.Header(headerTimeout))
	}
	return time.Duration(ms) * time.Millisecond, limited, nil
}

// window is how much of a stream may be on its way.
type window struct{ items, bytes int }

// maxWindow of items or bytes is 256 Mi: what fits an int anywhere, and is no limit in practice.
const maxWindow = 1 << 28

func (w window) String() string { return strconv.Itoa(w.items) + "/" + strconv.Itoa(w.bytes) }

// checkValue refuses a value of another type than want. An empty name on either side suits all.
func checkValue(e *codec.Envelope, want string) error {
	if has := e.Header(headerValue); want != "" && has != "" && has != want {
		return fmt.Errorf("%w %.100q: want %q", patterns.ErrType, has, want)
	}
	return nil
}

// decode reads a reply.
func (c *Client) decode(e *codec.Envelope, v any) error {
	if err := checkValue(e, wire.NameOf(c.conf.Schemas, reflect.TypeOf(v))); err != nil {
		return err
	}
	return wire.Decode(e, c.conf.Codec, c.conf.Schemas, v)
}

// decode reads a request of method m.
func (s *Service) decode(m *method, e *codec.Envelope, v any) error {
	if err := checkValue(e, m.info.In); err != nil {
		return err
	}
	return wire.Decode(e, s.conf.Codec, s.conf.Schemas, v)
}

// valueHeader returns the header that names the type of v, appended to dst, or dst if it has no name.
func valueHeader(dst []codec.Header, schemas patterns.Schemas, v any) []codec.Header {
	if v == nil {
		return dst
	}
	if name := wire.NameOf(schemas, reflect.TypeOf(v)); name != "" {
		return append(dst, codec.Header{Key: headerValue, Value: name})
	}
	return dst
}

// windowOf returns the window of a request, and whether it asks for a stream.
func windowOf(e *codec.Envelope) (w window, streams bool, err error) {
	text := e.Header(headerWindow)
	if text == "" {
		return window{}, false, nil
	}
	items, bytes, _ := strings.Cut(text, "/")
	w.items, err = strconv.Atoi(items)
	if err == nil {
		w.bytes, err = strconv.Atoi(bytes)
	}
	if err != nil || w.items < 1 || w.items > maxWindow || w.bytes < 1 || w.bytes > maxWindow {
		return window{}, true, fmt.Errorf("%w: window %.40q, want items/bytes, 1 to %d each", patterns.ErrMalformed, text, maxWindow)
	}
	return w, true, nil
}

// headers returns the headers by which e travels.
func (e *Error) headers() []codec.Header {
	e = e.bounded()
	headers := []codec.Header{{Key: headerCode, Value: string(e.Code)}, {Key: headerMessage, Value: e.Message}}
	if e.Retryable || e.RetryAfter > 0 {
		headers = append(headers, codec.Header{Key: headerRetry, Value: formatTimeout(e.RetryAfter)})
	}
	return headers
}

// errorOf returns the error that a reply is, nil if it is none.
func errorOf(e *codec.Envelope) *Error {
	code := e.Header(headerCode)
	if code == "" {
		return nil
	}
	failure := &Error{Code: Code(code), Message: e.Header(headerMessage)}
	ms, retryable, err := numberOf(e, headerRetry, 31)
	if err == nil && retryable {
		failure.Retryable, failure.RetryAfter = true, time.Duration(ms)*time.Millisecond
	}
	return failure
}
