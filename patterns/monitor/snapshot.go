package monitor

import "time"

// Snapshot is what a process says of itself at one moment. Counters start with what they count and never fall, so that rates are differences, by Time. The names in
// JSON stay as they are; others may be added. What is zero may be left out.
type Snapshot struct {
	Time    time.Time `json:"time"` // by the clock of the process
	Process Process   `json:"process"`
	Sockets []Socket  `json:"sockets"`           // by name
	Logs    []Log     `json:"logs,omitempty"`    // likewise
	Trouble []Trouble `json:"trouble,omitempty"` // what was lost or refused, the latest last
	Omitted int       `json:"omitted,omitempty"` // sockets and logs for which there was no room
}

// Process says which process it is, and how large.
type Process struct {
	ID         string    `json:"id"`   // of this Monitor: another after a restart
	Name       string    `json:"name"` // as given to New
	Host       string    `json:"host"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Go         string    `json:"go"`                // version of Go
	Module     string    `json:"module,omitempty"`  // of the program
	Version    string    `json:"version,omitempty"` // of that module
	Mesh       string    `json:"mesh,omitempty"`    // version of meshmq, if the program is another module
	Platform   string    `json:"platform"`          // such as linux/amd64
	Procs      int       `json:"procs"`             // GOMAXPROCS
	Goroutines int       `json:"goroutines"`
	Memory     uint64    `json:"memory_bytes"` // that Go's runtime has from the system
	Heap       uint64    `json:"heap_bytes"`   // of that, objects, those that are garbage by now among them
}

// Load is what goes through a socket, or through one peer of it, and what waits.
type Load struct {
	MessagesIn    uint64 `json:"messages_in"`
	BytesIn       uint64 `json:"bytes_in"`
	MessagesOut   uint64 `json:"messages_out"`
	BytesOut      uint64 `json:"bytes_out"`
	QueueMessages int    `json:"queue_messages"` // to be written to peers
	QueueBytes    int    `json:"queue_bytes"`
	InboxMessages int    `json:"inbox_messages"` // read, and waiting for Recv
	InboxBytes    int    `json:"inbox_bytes"`
	Unacked       int    `json:"unacked"` // sent and not acknowledged
	Drops         uint64 `json:"drops"`   // messages dropped
	Reconnects    uint64 `json:"reconnects"`
}

// Socket is one socket, and what embeds it.
type Socket struct {
	Name      string   `json:"name"`           // as given to Watch
	Type      string   `json:"type,omitempty"` // such as PULL
	Endpoints []string `json:"endpoints,omitempty"`
	Load
	Dropped      map[string]uint64 `json:"dropped,omitempty"` // Drops by reason, as socket.DropReason has them in words
	Refused      map[string]uint64 `json:"refused,omitempty"` // peers, by socket.Refusal in words
	Forbidden    uint64            `json:"forbidden,omitempty"`
	Missed       uint64            `json:"missed,omitempty"`        // messages that durable subscriptions will never get
	UnackedIn    int               `json:"unacked_in,omitempty"`    // received, and neither acknowledged nor refused yet
	Redelivered  uint64            `json:"redelivered,omitempty"`   // sent again, or received again
	Nacked       uint64            `json:"nacked,omitempty"`        // refused by peers, or by us
	Expired      uint64            `json:"expired,omitempty"`       // leases that ran out
	DeadLettered uint64            `json:"dead_lettered,omitempty"` // given up, those of the spool among them

	Connected int    `json:"connected"`         // peers that are there
	Seeking   int    `json:"seeking"`           // endpoints that a connection is sought for
	GaveUp    int    `json:"gave_up,omitempty"` // endpoints that none is sought for any more
	Peers     []Peer `json:"peers,omitempty"`   // those in trouble first, then those with the most to send
	Others    *Rest  `json:"others,omitempty"`  // the sum of those for which there was no room

	Spool    *Spool    `json:"spool,omitempty"`    // with socket.WithSpool
	Receiver *Receiver `json:"receiver,omitempty"` // Workers, Services, Subscribers, Clients
	Delayed  *Delayed  `json:"delayed,omitempty"`  // Producers
}

// Peer is a connected peer, or an endpoint that a connection is sought for.
type Peer struct {
	Endpoint  string    `json:"endpoint"`
	Address   string    `json:"address,omitempty"`
	Identity  string    `json:"identity,omitempty"` // as it claims
	User      string    `json:"user,omitempty"`     // as the authenticator has it
	Type      string    `json:"type,omitempty"`
	Connected bool      `json:"connected"`
	GaveUp    bool      `json:"gave_up,omitempty"`
	Since     time.Time `json:"since,omitzero"`        // when it was connected
	RTT       float64   `json:"rtt_seconds,omitempty"` // of the last PING
	Load
}

// Rest sums up peers.
type Rest struct {
	Peers     int `json:"peers"`
	Connected int `json:"connected"`
	Load
}

// Spool is the log behind a socket.
type Spool struct {
	Pending      uint64    `json:"pending"` // messages that peers are behind
	Bytes        int64     `json:"bytes"`
	Oldest       time.Time `json:"oldest,omitzero"` // when the oldest of them was sent
	InFlight     int       `json:"in_flight"`
	Delivered    uint64    `json:"delivered"`
	Redelivered  uint64    `json:"redelivered"`
	Settled      uint64    `json:"settled"`
	Failed       uint64    `json:"failed"` // deliveries
	DeadLettered uint64    `json:"dead_lettered"`
	Full         string    `json:"full,omitempty"`    // why there is no room
	Broken       string    `json:"broken,omitempty"`  // what stopped it
	Damaged      string    `json:"damaged,omitempty"` // what opening it found
	Durables     []Durable `json:"durables,omitempty"`
	Others       *Behind   `json:"others,omitempty"` // the sum of those for which there was no room
}

// Durable is a durable subscription.
type Durable struct {
	Name         string `json:"name"`
	Members      int    `json:"members"` // peers that share it now
	Lag          uint64 `json:"lag"`     // messages it has not handled
	InFlight     int    `json:"in_flight"`
	Failed       uint64 `json:"failed"` // deliveries
	DeadLettered uint64 `json:"dead_lettered"`
	Lost         uint64 `json:"lost"`
}

// Behind sums up durable subscriptions.
type Behind struct {
	Durables int    `json:"durables"`
	Lag      uint64 `json:"lag"`
}

// Receiver says how messages fared with their handlers: patterns.Counts.
type Receiver struct {
	Handled    uint64 `json:"handled"`
	Failed     uint64 `json:"failed"`
	Malformed  uint64 `json:"malformed"`
	Expired    uint64 `json:"expired"`
	Unhandled  uint64 `json:"unhandled"`
	Unanswered uint64 `json:"unanswered"`
	InHand     int64  `json:"in_hand"`
}

// Delayed says what waits for its time: patterns.Delays.
type Delayed struct {
	Waiting int    `json:"waiting"`
	GivenUp uint64 `json:"given_up"`
}

// Log is a log that is used without a socket, or in which a Producer has what it delays.
type Log struct {
	Name      string     `json:"name"` // as given to WatchSpool
	Bytes     int64      `json:"bytes"`
	Segments  int        `json:"segments"`
	Appended  uint64     `json:"appended"` // messages, since it was opened
	Syncs     uint64     `json:"syncs"`
	Dropped   uint64     `json:"dropped"`
	Full      string     `json:"full,omitempty"`
	Failed    string     `json:"failed,omitempty"`
	Damaged   string     `json:"damaged,omitempty"`
	Consumers []Consumer `json:"consumers,omitempty"` // those that are behind the most first
	Others    *Behind    `json:"others,omitempty"`    // the sum of those for which there was no room
}

// Consumer is who acknowledges what is in a log.
type Consumer struct {
	Name    string `json:"name"` // empty for a queue's own
	Pending uint64 `json:"pending"`
	Failed  int    `json:"failed"`
}

// Trouble is something that went wrong with a socket, once or more often: events of the same kind, endpoint and reason.
type Trouble struct {
	Socket string    `json:"socket"`
	Kind   string    `json:"kind"` // as socket.EventKind has it in words
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Times  uint64    `json:"times"`           // how often it happened
	Count  uint64    `json:"count,omitempty"` // messages that it was about, where it was
	Text   string    `json:"text"`            // the last event, as it prints
}
