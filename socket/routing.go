package socket

import "fmt"

// checkRoutingID returns why no peer can have id.
func checkRoutingID(id []byte) error {
	if len(id) == 0 || len(id) > 255 {
		return fmt.Errorf("%w: %d bytes, want 1 to 255", ErrRoutingID, len(id))
	}
	return nil
}

func errTaken(id string) error {
	return fmt.Errorf("%w: %q is in use", ErrRoutingID, id)
}

// ConnectAs is Connect with the routing id that the peer has here, whatever identity it announces (ZMQ_CONNECT_ROUTING_ID). It is
// routable at once: messages are queued until the connection is there, and from one connection to the next, as Push does. The id has 1 to 255
// bytes, the first not zero; another, or one in use, is ErrRoutingID. An endpoint is connected to under one name at a time (ErrState).
func (s *Router) ConnectAs(routingID, endpoint string) error {
	err := checkRoutingID([]byte(routingID))
	if err == nil && routingID[0] == 0 {
		err = fmt.Errorf("%w: %q begins with a zero byte, as those do that a ROUTER makes up", ErrRoutingID, routingID)
	}
	if s.usable() == nil && err != nil {
		return &Error{Op: "connect", Endpoint: endpoint, Err: err}
	}
	return s.connectAs(routingID, endpoint)
}

// Writable reports whether Send to a routing id would find room now (zmq_socket_get_peer_state, ZMQ_POLLOUT). It is ErrNoPeer when no such
// peer is there, nor one being let in that Send would wait for.
func (s *Router) Writable(routingID []byte) (bool, error) {
	const op = "peer state"
	if err := s.usable(); err != nil {
		return false, &Error{Op: op, Err: err}
	}
	s.tableMu.Lock()
	defer s.tableMu.Unlock()
	p, err := s.findLocked(op, routingID)
	switch {
	case err == nil:
		return !p.out.Full(0), nil
	case s.awaitedLocked(routingID):
		return false, nil
	}
	return false, err
}

// KickID is Kick by the routing id of the peer (zmq_disconnect_peer).
func (s *Router) KickID(routingID []byte) error {
	p, err := s.find("kick", routingID)
	if err != nil {
		return err
	}
	return s.Kick(p.peer.Load())
}

func (s *Router) find(op string, id []byte) (*pipe, error) {
	if err := s.usable(); err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	s.tableMu.Lock()
	defer s.tableMu.Unlock()
	return s.findLocked(op, id)
}

func (s *Router) findLocked(op string, id []byte) (*pipe, error) {
	p, ok := s.table.Get(id)
	if !ok {
		return nil, &Error{Op: op, Err: fmt.Errorf("%w: routing id %q is not connected", ErrNoPeer, id)}
	}
	return p, nil
}
