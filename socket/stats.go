package socket

import (
	"time"

	"github.com/meshmq/meshmq/socket/spool"
)

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
	Missed      uint64                // messages that durable subscriptions will never get: those of ours (WithDurable), or of our subscribers (WithSpool)
	Untaken     uint64                // bytes that were written and that the systems of peers had not taken when they were given up: see Shutdown
	Acks        AckStats              // of acknowledged links (WithAck)
	Spool       *SpoolStats           // of WithSpool, nil without
	Window      *WindowStats          // of WithWindow, nil without
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
	Unacked       int // sent and not acknowledged, those waiting to be written among them, with WithAck
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

// SpoolStats is the part of Stats that concerns the spool. Delivered and what follows count since the socket was made.
type SpoolStats struct {
	Messages     uint64         // in the spool and not settled: what peers are behind
	Bytes        int64          // what the spool takes on disk, allocated space and what is settled but not let go of yet included
	Oldest       time.Time      // when the oldest message that is not settled was sent; zero if there is none
	Next         uint64         // the number that the next message will get
	InFlight     int            // messages that peers have been sent, and have not settled
	Delivered    uint64         // handed to peers, again ones included
	Redelivered  uint64         // of those, known to be delivered again
	Settled      uint64         // acknowledged, or written to a peer that does not acknowledge
	Failed       uint64         // deliveries that failed: see WithAttempts
	DeadLettered uint64         // given up
	Full         error          // why there is no room, nil while there is
	Durables     []DurableStats // of publishers: the durable subscriptions, by name
	Broken       error          // what stopped the spool, nil while it works

	// Recovery is what was found when the spool was opened: damage, and an end that was torn. It is nil for a Spool that does not say.
	Recovery *spool.Recovery
}

// WindowStats is the part of Stats that concerns the window.
type WindowStats struct {
	// Recovery is what was found when the window was opened: marks that are missing, damage, and an end that was torn. It is nil for a Window that does not say.
	Recovery *spool.Recovery
}
