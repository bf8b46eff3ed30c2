package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// ErrEndpoint is what every *EndpointError is, for errors.Is.
var ErrEndpoint = errors.New("invalid endpoint")

// EndpointError says why an endpoint is refused. Trying again cannot help; the text has to change.
type EndpointError struct {
	Endpoint string // as it was given
	Problem  string // what is wrong, and what would be right
}

// Error returns one line that names the endpoint, cut short if it is absurdly long, and the problem.
func (e *EndpointError) Error() string {
	return fmt.Sprintf("%v %.160q: %s", ErrEndpoint, e.Endpoint, e.Problem)
}

// Unwrap returns ErrEndpoint.
func (e *EndpointError) Unwrap() error { return ErrEndpoint }

// callError is the error of a call under ctx: ctx's own if that is why the call ended. Package net has other words
// for it, and where its deadline strikes a moment before ctx notices, other errors.
func callError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	}
	return cause(err)
}

// cause strips what package net wraps around an error. Its layers name the address once more, in
// another spelling than the endpoint the user wrote, which our own message names already.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return err
}
