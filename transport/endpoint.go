package transport

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// Endpoint is a parsed, valid address. Two endpoints are the same address if they are equal. The zero
// Endpoint is none: its Listen and Dial fail.
type Endpoint struct {
	scheme string
	addr   hostPort // tcp only
	source hostPort // tcp only, and only to dial: where to leave from; zero if anywhere
	name   string   // ipc: the path, @name or *; inproc: the name
}

// ParseBind parses an endpoint to listen on, wildcards allowed. The error is an *EndpointError.
func ParseBind(s string) (Endpoint, error) {
	e, problem := parse(s)
	if problem == "" {
		problem = e.bindProblem()
	}
	if problem != "" {
		return Endpoint{}, &EndpointError{Endpoint: s, Problem: problem}
	}
	return e, nil
}

// ParseConnect parses an endpoint to dial: one that names a single peer, hence no wildcards. Host names
// are not resolved yet, and their case does not matter. The error is an *EndpointError.
func ParseConnect(s string) (Endpoint, error) {
	e, problem := parse(s)
	if problem == "" {
		problem = e.dialProblem()
	}
	if problem != "" {
		return Endpoint{}, &EndpointError{Endpoint: s, Problem: problem}
	}
	if !strings.Contains(e.addr.host, "%") { // the zone of an IPv6 address is an interface, whose case matters
		e.addr.host = strings.ToLower(e.addr.host)
	}
	return e, nil
}

// Scheme returns the name of the transport: "tcp", "ipc" or "inproc".
func (e Endpoint) Scheme() string { return e.scheme }

// String returns the endpoint's canonical form, which parses to an equal Endpoint. A free port is 0.
func (e Endpoint) String() string {
	switch {
	case e.scheme == "":
		return ""
	case e.scheme != "tcp":
		return e.scheme + "://" + e.name
	case e.source != hostPort{}:
		return "tcp://" + e.source.String() + ";" + e.addr.String()
	default:
		return "tcp://" + e.addr.String()
	}
}

// Listen binds the endpoint and listens on it. ctx bounds only the call, not the listener's life. If another
// listener has the address the error is syscall.EADDRINUSE.
func (e Endpoint) Listen(ctx context.Context) (Listener, error) {
	if problem := e.bindProblem(); problem != "" {
		return nil, &EndpointError{Endpoint: e.String(), Problem: problem}
	}
	var ln Listener
	var err error
	switch e.scheme {
	case "tcp":
		ln, err = listenTCP(ctx, e)
	case "ipc":
		ln, err = listenIPC(ctx, e)
	case "inproc":
		ln, err = listenInproc(e)
	}
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", e, callError(ctx, err))
	}
	return ln, nil
}

// Dial connects to the endpoint; it blocks until connected, refused, or ctx ends, and the error is then
// ctx.Err(). A host name is resolved at each call and all its addresses are tried. An inproc name that
// nobody has bound yet is waited for.
func (e Endpoint) Dial(ctx context.Context) (net.Conn, error) {
	if problem := e.dialProblem(); problem != "" {
		return nil, &EndpointError{Endpoint: e.String(), Problem: problem}
	}
	var conn net.Conn
	var err error
	switch e.scheme {
	case "tcp":
		conn, err = dialTCP(ctx, e)
	case "ipc":
		conn, err = dialIPC(ctx, e)
	case "inproc":
		conn, err = dialInproc(ctx, e)
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", e, callError(ctx, err))
	}
	return conn, nil
}

// bindProblem says why a well-formed endpoint cannot be listened on; empty if it can.
func (e Endpoint) bindProblem() string {
	switch {
	case e.scheme == "":
		return "it is empty; get one from ParseBind"
	case e.source != hostPort{}:
		return "a source address (before the ;) is for connect only; bind tcp://host:port"
	}
	return ""
}

// dialProblem says why a well-formed endpoint cannot be dialled; empty if it can.
func (e Endpoint) dialProblem() string {
	switch {
	case e.scheme == "":
		return "it is empty; get one from ParseConnect"
	case e.addr.host == "*":
		return "* is for bind only; name the host to connect to"
	case e.scheme == "tcp" && e.addr.port == 0:
		return "port 0 or * is for bind only; give the peer's port, 1 to 65535"
	case e.scheme == "ipc" && e.name == "*":
		return "* is for bind only; give the path the listener reports"
	}
	return ""
}
