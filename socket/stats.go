package socket

import "time"

// Stats is a snapshot of a socket's counters. Messages are whole messages, not frames; bytes are
// bodies without framing. Counters start with the socket and never fall.
type Stats struct {
	MessagesOut uint64 // accepted by Send; for PUB, XPUB and RADIO once per subscriber queue
	BytesOut    uint64
	MessagesIn  uint64 // returned by Recv
	BytesIn     uint64
	Dropped     map[DropReason]uint64 // by reason, only reasons that occurred
	Refused     map[Refusal]uint64    // peers refused or disconnected, likewise
	Forbidden   uint64                // subscriptions that WithTopicAuthorizer refused
	Acks        AckStats              // of acknowledged links (WithAck)
	Endpoints   []string              // what the socket listens on
	Peers       []PeerStats           // connected peers, and endpoints that a connection is sought for
}

// PeerStats is the part of Stats that concerns one peer or one endpoint given to Connect.
type PeerStats struct {
	Peer          *Peer  // nil while not connected
	Endpoint      string // as given to Connect, or the endpoint it was accepted on
	Connected     bool
	Since         time.Time // when the connection was made, handshake done; zero while not connected
	GaveUp        bool      // no connection is sought any more, see WithReconnectStop
	QueueMessages int       // waiting to be written
	QueueBytes    int
	InboxMessages int // read, waiting for Recv
	InboxBytes    int
	MessagesOut   uint64 // written to the connection's queue by Send
	BytesOut      uint64
	MessagesIn    uint64 // read from the peer
	BytesIn       uint64
	Dropped       map[DropReason]uint64 // by reason, only reasons that occurred
	Reconnects    uint64                // connections made after the first
	LastRTT       time.Duration         // of the last PING answered; zero before
}
