package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metric is one number of T.
type metric[T any] struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  func(s *T) float64
	labels []string // values of those that desc has beyond the object's name
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("meshmq_"+name, help, labels, nil)
}

func (m *metric[T]) collect(out chan<- prometheus.Metric, s *T, labels ...string) {
	out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), append(labels, m.labels...)...)
}

// view is what is known of a socket, its peers summed up.
type view struct {
	socket.Stats
	now                        time.Time
	spool                      socket.SpoolStats // zero without
	opened                     spool.Recovery    // of the spool, zero if it does not say
	window                     spool.Recovery    // likewise
	connected, seeking         int
	out, outBytes, in, inBytes int // queues
	reconnects                 uint64
}

func newView(s socket.Stats, now time.Time) *view {
	v := &view{Stats: s, now: now}
	if s.Spool != nil {
		v.spool = *s.Spool
		if r := s.Spool.Recovery; r != nil {
			v.opened = *r
		}
	}
	if s.Window != nil && s.Window.Recovery != nil {
		v.window = *s.Window.Recovery
	}
	for _, p := range s.Peers {
		switch {
		case p.Connected:
			v.connected++
		case !p.GaveUp:
			v.seeking++
		}
		v.out, v.outBytes = v.out+p.QueueMessages, v.outBytes+p.QueueBytes
		v.in, v.inBytes = v.in+p.InboxMessages, v.inBytes+p.InboxBytes
		v.reconnects += p.Reconnects
	}
	return v
}

func ofSockets(name, help string, kind prometheus.ValueType, value func(v *view) float64) metric[view] {
	return metric[view]{desc: newDesc(name, help, "socket"), kind: kind, value: value}
}

// text returns what peers have named as a label, which must be UTF-8.
func text(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

func flag(set bool) float64 {
	if set {
		return 1
	}
	return 0
}

var (
	queueMessages = newDesc("socket_queue_messages", "Messages that wait: to be written (out), or for Recv (in).", "socket", "direction")
	queueBytes    = newDesc("socket_queue_bytes", "Bytes of the messages that wait.", "socket", "direction")
	peers         = newDesc("socket_peers", "Peers that are connected, and endpoints that a connection is sought for.", "socket", "state")
	unacked       = newDesc("socket_unacked_messages", "Messages that are neither acknowledged nor refused yet.", "socket", "direction")
	redelivered   = newDesc("socket_redelivered_messages_total", "Messages sent again (out), or received again (in).", "socket", "direction")
	nacked        = newDesc("socket_nacked_messages_total", "Messages that were refused, by peers (out) or here (in).", "socket", "direction")

	dropped = newDesc("socket_dropped_messages_total", "Messages dropped, by reason.", "socket", "reason")
	refused = newDesc("socket_refused_peers_total", "Peers refused or disconnected for what they did, by reason.", "socket", "reason")

	receiverMessages = newDesc("receiver_messages_total", "Messages by how they fared.", "socket", "outcome")
	receiverInHand   = newDesc("receiver_in_hand", "Messages with a handler, or calls in flight.", "socket")

	delayedMessages = newDesc("delayed_messages", "Messages of a producer that wait for their time.", "socket")
	delayedGivenUp  = newDesc("delayed_given_up_messages_total", "Messages that were too large when it was their time.", "socket")
)

var ofSocket = []metric[view]{
	ofSockets("socket_sent_messages_total", "Messages accepted by Send.", counter, func(v *view) float64 { return float64(v.MessagesOut) }),
	ofSockets("socket_sent_bytes_total", "Bytes of the messages accepted by Send.", counter, func(v *view) float64 { return float64(v.BytesOut) }),
	ofSockets("socket_received_messages_total", "Messages returned by Recv.", counter, func(v *view) float64 { return float64(v.MessagesIn) }),
	ofSockets("socket_received_bytes_total", "Bytes of the messages returned by Recv.", counter, func(v *view) float64 { return float64(v.BytesIn) }),
	ofSockets("socket_reconnects", "Connections made after the first, of those that are there.", gauge, func(v *view) float64 { return float64(v.reconnects) }),
	ofSockets("socket_missed_messages_total", "Messages that durable subscriptions will never get.", counter, func(v *view) float64 { return float64(v.Missed) }),
	ofSockets("socket_duplicate_messages_total", "Messages that came again after they were handled.", counter, func(v *view) float64 { return float64(v.Acks.DuplicatesIn) }),
	ofSockets("socket_conflicting_messages_total", "Messages with the id of another that was handled.", counter, func(v *view) float64 { return float64(v.Acks.ConflictsIn) }),
	ofSockets("socket_expired_leases_total", "Messages given back because they were not settled in time.", counter, func(v *view) float64 { return float64(v.Acks.ExpiredIn) }),
	ofSockets("socket_dead_letters_total", "Messages given up.", counter, func(v *view) float64 { return float64(v.Acks.DeadLettered) }),
	{peers, gauge, func(v *view) float64 { return float64(v.connected) }, []string{"connected"}},
	{peers, gauge, func(v *view) float64 { return float64(v.seeking) }, []string{"seeking"}},
	{queueMessages, gauge, func(v *view) float64 { return float64(v.out) }, []string{"out"}},
	{queueMessages, gauge, func(v *view) float64 { return float64(v.in) }, []string{"in"}},
	{queueBytes, gauge, func(v *view) float64 { return float64(v.outBytes) }, []string{"out"}},
	{queueBytes, gauge, func(v *view) float64 { return float64(v.inBytes) }, []string{"in"}},
	{unacked, gauge, func(v *view) float64 { return float64(v.Acks.UnackedOut) }, []string{"out"}},
	{unacked, gauge, func(v *view) float64 { return float64(v.Acks.UnackedIn) }, []string{"in"}},
	{redelivered, counter, func(v *view) float64 { return float64(v.Acks.RedeliveredOut) }, []string{"out"}},
	{redelivered, counter, func(v *view) float64 { return float64(v.Acks.RedeliveredIn) }, []string{"in"}},
	{nacked, counter, func(v *view) float64 { return float64(v.Acks.NackedOut) }, []string{"out"}},
	{nacked, counter, func(v *view) float64 { return float64(v.Acks.NackedIn) }, []string{"in"}},
}

var ofSpool = []metric[view]{
	ofSockets("spool_messages", "Messages in the spool that are not settled.", gauge, func(v *view) float64 { return float64(v.spool.Messages) }),
	ofSockets("spool_bytes", "Bytes the spool takes on disk.", gauge, func(v *view) float64 { return float64(v.spool.Bytes) }),
	ofSockets("spool_oldest_age_seconds", "Age of the oldest message that is not settled, 0 if there is none.", gauge, (*view).oldestAge),
	ofSockets("spool_in_flight_messages", "Messages of the spool that peers have been sent.", gauge, func(v *view) float64 { return float64(v.spool.InFlight) }),
	ofSockets("spool_delivered_messages_total", "Messages handed to peers, again ones included.", counter, func(v *view) float64 { return float64(v.spool.Delivered) }),
	ofSockets("spool_redelivered_messages_total", "Messages handed to peers again.", counter, func(v *view) float64 { return float64(v.spool.Redelivered) }),
	ofSockets("spool_settled_messages_total", "Messages done with.", counter, func(v *view) float64 { return float64(v.spool.Settled) }),
	ofSockets("spool_failed_deliveries_total", "Deliveries that failed.", counter, func(v *view) float64 { return float64(v.spool.Failed) }),
	ofSockets("spool_dead_letters_total", "Messages given up.", counter, func(v *view) float64 { return float64(v.spool.DeadLettered) }),
	ofSockets("spool_full", "1 while there is no room.", gauge, func(v *view) float64 { return flag(v.spool.Full != nil) }),
	ofSockets("spool_broken", "1 if the spool has stopped.", gauge, func(v *view) float64 { return flag(v.spool.Broken != nil) }),
	ofSockets("spool_torn_bytes", "Bytes as of a write that was cut short, cut off its end, and its dead letters', when the spool was opened.", gauge, func(v *view) float64 { return float64(v.opened.Torn + v.opened.TornLetters) }),
	ofSockets("spool_damaged_places", "Places that could not be read when the spool was opened.", gauge, func(v *view) float64 { return float64(len(v.opened.Damage)) }),
	ofSockets("spool_acks_lost", "1 if acknowledgements may have been among them.", gauge, func(v *view) float64 { return flag(v.opened.AcksLost()) }),
}

var ofWindow = []metric[view]{
	ofSockets("window_torn_bytes", "Bytes as of a write that was cut short, cut off its end when the window was opened.", gauge, func(v *view) float64 { return float64(v.window.Torn) }),
	ofSockets("window_damaged_places", "Places that could not be read when the window was opened.", gauge, func(v *view) float64 { return float64(len(v.window.Damage)) }),
	ofSockets("window_missing_marks", "Marks that could not be read then.", gauge, func(v *view) float64 { return float64(v.window.Missing) }),
}

func (v *view) oldestAge() float64 {
	if v.spool.Oldest.IsZero() {
		return 0
	}
	return max(v.now.Sub(v.spool.Oldest).Seconds(), 0)
}

func ofDurables(name, help string, kind prometheus.ValueType, value func(d *socket.DurableStats) float64) metric[socket.DurableStats] {
	return metric[socket.DurableStats]{desc: newDesc(name, help, "socket", "durable"), kind: kind, value: value}
}

var ofDurable = []metric[socket.DurableStats]{
	ofDurables("durable_lag_messages", "Messages in the log that the durable subscription has not handled.", gauge, func(d *socket.DurableStats) float64 { return float64(d.Lag) }),
	ofDurables("durable_in_flight_messages", "Messages its members have been sent.", gauge, func(d *socket.DurableStats) float64 { return float64(d.InFlight) }),
	ofDurables("durable_members", "Peers that share it.", gauge, func(d *socket.DurableStats) float64 { return float64(d.Members) }),
	ofDurables("durable_redelivered_messages_total", "Messages sent to its members again.", counter, func(d *socket.DurableStats) float64 { return float64(d.Redelivered) }),
	ofDurables("durable_failed_deliveries_total", "Deliveries that failed.", counter, func(d *socket.DurableStats) float64 { return float64(d.Failed) }),
	ofDurables("durable_dead_letters_total", "Messages given up.", counter, func(d *socket.DurableStats) float64 { return float64(d.DeadLettered) }),
	ofDurables("durable_lost_messages_total", "Messages that were gone before they were delivered.", counter, func(d *socket.DurableStats) float64 { return float64(d.Lost) }),
}

func collectSocket(out chan<- prometheus.Metric, name string, s socket.Stats, now time.Time) {
	v := newView(s, now)
	for _, m := range ofSocket {
		m.collect(out, v, name)
	}
	for reason, n := range s.Dropped {
		out <- prometheus.MustNewConstMetric(dropped, counter, float64(n), name, reason.String())
	}
	for reason, n := range s.Refused {
		out <- prometheus.MustNewConstMetric(refused, counter, float64(n), name, reason.String())
	}
	if s.Window != nil {
		for _, m := range ofWindow {
			m.collect(out, v, name)
		}
	}
	if s.Spool == nil {
		return
	}
	for _, m := range ofSpool {
		m.collect(out, v, name)
	}
	for i := range s.Spool.Durables {
		for _, m := range ofDurable {
			m.collect(out, &s.Spool.Durables[i], name, text(s.Spool.Durables[i].Name))
		}
	}
}

func collectReceiver(out chan<- prometheus.Metric, name string, c patterns.Counts) {
	for outcome, n := range map[string]uint64{
		"handled": c.Handled, "failed": c.Failed, "malformed": c.Malformed, "expired": c.Expired, "unhandled": c.Unhandled, "unanswered": c.Unanswered,
	} {
		out <- prometheus.MustNewConstMetric(receiverMessages, counter, float64(n), name, outcome)
	}
	out <- prometheus.MustNewConstMetric(receiverInHand, gauge, float64(c.InHand), name)
}

func collectDelays(out chan<- prometheus.Metric, name string, d patterns.Delays) {
	out <- prometheus.MustNewConstMetric(delayedMessages, gauge, float64(d.Waiting), name)
	out <- prometheus.MustNewConstMetric(delayedGivenUp, counter, float64(d.GivenUp), name)
}
