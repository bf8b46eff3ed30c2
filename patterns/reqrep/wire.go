package reqrep

import (
	"fmt"
	"strconv"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

// Headers of requests and replies.
const (
	headerTimeout = "timeout"    // request: milliseconds the caller goes on waiting
	headerCode    = "error-code" // reply: the Code, if it is an error
	headerMessage = "error"      // reply: the Message, if it is an error
)

// maxTimeout is about 24 days: far beyond any wait, and within what every language's int holds in milliseconds.
const maxTimeout = (1<<31 - 1) * time.Millisecond

// formatTimeout rounds up, so that a deadline is not over before the caller thinks so.
func formatTimeout(left time.Duration) string {
	left = min(max(left, 0), maxTimeout)
	return strconv.FormatInt(int64((left+time.Millisecond-1)/time.Millisecond), 10)
}

// timeoutOf returns the time a request allows, and whether it limits it at all.
func timeoutOf(e *codec.Envelope) (left time.Duration, limited bool, err error) {
	text := e.Header(headerTimeout)
	if text == "" {
		return 0, false, nil
	}
	ms, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, false, fmt.Errorf("%w: timeout %.20q, want milliseconds", patterns.ErrMalformed, text)
	}
	return time.Duration(ms) * time.Millisecond, true, nil
}

// errorOf returns the error that a reply is, nil if it is none.
func errorOf(e *codec.Envelope) *Error {
	code := e.Header(headerCode)
	if code == "" {
		return nil
	}
	return &Error{Code: Code(code), Message: e.Header(headerMessage)}
}
