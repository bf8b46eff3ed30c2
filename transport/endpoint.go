package transport

import (
	"context"
	"net"
	"strings"
)

// Endpoint is a parsed, valid address. Two endpoints are the same address if they are equal. The zero
// Endpoint is none: its Listen and Dial fail.
type Endpoint struct {
	scheme string
	addr   hostPort // tcp, tls+tcp, ws and wss
	source hostPort // tcp and tls+tcp only, and only to dial: where to leave from; zero if anywhere
	name   string   // ipc: the path, @name or *; inproc: the name; ws and wss: the path, empty for /
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

// Scheme returns the name of the transport: "tcp", "tls+tcp", "ipc", "inproc", "ws" or "wss".
func (e Endpoint) Scheme() string { return e.scheme }

// String returns the endpoint's canonical form, which parses to an equal Endpoint. A free port is 0.
func (e Endpoint) String() string {
	switch {
	case e.scheme == "":
		return ""
	case !e.remote():
		return e.scheme + "://" + e.name
	case e.source != hostPort{}:
		return e.scheme + "://" + e.source.String() + ";" + e.addr.String()
	default:
		return e.scheme + "://" + e.addr.String() + e.name
	}
}

// remote reports whether the endpoint has a host and a port.
func (e Endpoint) remote() bool { return e.scheme == "tcp" || e.scheme == "tls+tcp" || e.web() }

// web reports whether the endpoint is one of WebSocket.
func (e Endpoint) web() bool { return e.scheme == "ws" || e.scheme == "wss" }

// Listen is Config.Listen with the zero Config.
func (e Endpoint) Listen(ctx context.Context) (Listener, error) { return (&Config{}).Listen(ctx, e) }

// Dial is Config.Dial with the zero Config.
func (e Endpoint) Dial(ctx context.Context) (net.Conn, error) { return (&Config{}).Dial(ctx, e) }

// bindProblem says why a well-formed endpoint cannot be listened on; empty if it can.
func (e Endpoint) bindProblem() string {
	switch {
	case e.scheme == "":
		return "it is empty; get one from ParseBind"
	case e.source != hostPort{}:
		return "a source address (before the ;) is for connect only; bind " + e.scheme + "://host:port"
	case e.web() && strings.Contains(e.name, "?"):
		return "a query (after the ?) is for connect only"
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
	case e.remote() && e.addr.port == 0:
		return "port 0 or * is for bind only; give the peer's port, 1 to 65535"
	case e.scheme == "ipc" && e.name == "*":
		return "* is for bind only; give the path the listener reports"
	}
	return ""
}
