package monitor

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/meshmq/meshmq/patterns/internal/watched"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// Bounds of a Snapshot, which doc.go explains.
const (
	maxSockets   = 200
	maxLogs      = 200
	maxOfOne     = 40 // peers of a socket, and durable subscriptions: a screen of them
	maxOfAll     = 1000
	minOfOne     = 4
	maxEndpoints = 16
	maxText      = 160 // a line of a terminal
)

// Snapshot returns what Get tells, of this moment. It is the caller's.
func (m *Monitor) Snapshot() Snapshot {
	sockets, logs := m.watched.Read()
	s := Snapshot{Time: time.Now().Round(0), Process: m.process.now(), Trouble: m.trouble.list(), Sockets: []Socket{}}
	s.Omitted = max(len(sockets)-maxSockets, 0) + max(len(logs)-maxLogs, 0)
	sockets, logs = sockets[:min(len(sockets), maxSockets)], logs[:min(len(logs), maxLogs)]
	room := min(max(maxOfAll/max(len(sockets)+len(logs), 1), minOfOne), maxOfOne)
	for _, r := range sockets {
		s.Sockets = append(s.Sockets, takeSocket(r, room))
	}
	for _, r := range logs {
		s.Logs = append(s.Logs, takeLog(r, room))
	}
	return s
}

// takeSocket has room for so many peers.
func takeSocket(r watched.SocketReading, room int) Socket {
	st := r.Stats
	s := Socket{
		Name: clip(r.Name), Type: clip(r.Type),
		Load:    Load{MessagesIn: st.MessagesIn, BytesIn: st.BytesIn, MessagesOut: st.MessagesOut, BytesOut: st.BytesOut, Unacked: st.Acks.UnackedOut, Drops: sum(st.Dropped)},
		Dropped: inWords(st.Dropped), Refused: inWords(st.Refused),
		Forbidden: st.Forbidden, Missed: st.Missed, UnackedIn: st.Acks.UnackedIn, Redelivered: st.Acks.RedeliveredOut + st.Acks.RedeliveredIn,
		Nacked: st.Acks.NackedOut + st.Acks.NackedIn, Expired: st.Acks.ExpiredIn, DeadLettered: st.Acks.DeadLettered,
	}
	for _, ep := range st.Endpoints[:min(len(st.Endpoints), maxEndpoints)] {
		s.Endpoints = append(s.Endpoints, clip(ep))
	}
	s.takePeers(st.Peers, room)
	if st.Spool != nil {
		s.Spool = takeSpool(st.Spool, room)
		s.Unacked = max(s.Unacked, s.Spool.InFlight)
		s.Redelivered = max(s.Redelivered, st.Spool.Redelivered)
		s.DeadLettered = max(s.DeadLettered, st.Spool.DeadLettered)
	}
	if c := r.Counts; c != nil {
		s.Receiver = &Receiver{c.Handled, c.Failed, c.Malformed, c.Expired, c.Unhandled, c.Unanswered, c.InHand}
	}
	if d := r.Delays; d != nil {
		s.Delayed = &Delayed{d.Waiting, d.GivenUp}
	}
	return s
}

// takePeers counts all, and has room for some.
func (s *Socket) takePeers(all []socket.PeerStats, room int) {
	for i := range all {
		p := &all[i]
		switch {
		case p.Connected:
			s.Connected++
		case p.GaveUp:
			s.GaveUp++
		default:
			s.Seeking++
		}
		s.QueueMessages += p.QueueMessages
		s.QueueBytes += p.QueueBytes
		s.InboxMessages += p.InboxMessages
		s.InboxBytes += p.InboxBytes
		s.Reconnects += p.Reconnects
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b socket.PeerStats) int {
		return cmp.Or(compareTrouble(a, b), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	for i, p := range all {
		if i < room {
			s.Peers = append(s.Peers, takePeer(p))
			continue
		}
		if s.Others == nil {
			s.Others = new(Rest)
		}
		s.Others.add(p)
	}
}

// compareTrouble puts first who is not connected, then who has had messages dropped, then who has the most waiting.
func compareTrouble(a, b socket.PeerStats) int {
	if a.Connected != b.Connected {
		if b.Connected {
			return -1
		}
		return 1
	}
	waiting := func(p socket.PeerStats) int { return max(p.QueueMessages, p.Unacked) + p.InboxMessages }
	return cmp.Or(cmp.Compare(sum(b.Dropped), sum(a.Dropped)), cmp.Compare(waiting(b), waiting(a)))
}

func (r *Rest) add(p socket.PeerStats) {
	r.Peers++
	if p.Connected {
		r.Connected++
	}
	l := loadOf(p)
	r.MessagesIn += l.MessagesIn
	r.BytesIn += l.BytesIn
	r.MessagesOut += l.MessagesOut
	r.BytesOut += l.BytesOut
	r.QueueMessages += l.QueueMessages
	r.QueueBytes += l.QueueBytes
	r.InboxMessages += l.InboxMessages
	r.InboxBytes += l.InboxBytes
	r.Unacked += l.Unacked
	r.Drops += l.Drops
	r.Reconnects += l.Reconnects
}

func loadOf(p socket.PeerStats) Load {
	return Load{p.MessagesIn, p.BytesIn, p.MessagesOut, p.BytesOut, p.QueueMessages, p.QueueBytes, p.InboxMessages, p.InboxBytes, p.Unacked, sum(p.Dropped), p.Reconnects}
}

func takePeer(p socket.PeerStats) Peer {
	peer := Peer{Endpoint: clip(p.Endpoint), Connected: p.Connected, GaveUp: p.GaveUp, Since: p.Since.Round(0), RTT: p.LastRTT.Seconds(), Load: loadOf(p)}
	if p.Peer != nil {
		peer.Address, peer.Identity, peer.User, peer.Type = clip(p.Peer.Address()), clip(p.Peer.Identity()), clip(p.Peer.UserID()), clip(p.Peer.SocketType())
	}
	return peer
}

func takeSpool(st *socket.SpoolStats, room int) *Spool {
	s := &Spool{
		Pending: st.Messages, Bytes: st.Bytes, Oldest: st.Oldest.Round(0), InFlight: st.InFlight, Delivered: st.Delivered, Redelivered: st.Redelivered,
		Settled: st.Settled, Failed: st.Failed, DeadLettered: st.DeadLettered, Full: reason(st.Full), Broken: reason(st.Broken),
	}
	if st.Recovery != nil {
		s.Damaged = reason(st.Recovery.Err())
	}
	all := slices.Clone(st.Durables)
	slices.SortStableFunc(all, func(a, b socket.DurableStats) int { return cmp.Compare(b.Lag, a.Lag) })
	for i, d := range all {
		if i < room {
			s.Durables = append(s.Durables, Durable{clip(d.Name), d.Members, d.Lag, d.InFlight, d.Failed, d.DeadLettered, d.Lost})
			continue
		}
		s.Others = s.Others.plus(d.Lag)
	}
	return s
}

func takeLog(r watched.LogReading, room int) Log {
	st := r.Stats
	l := Log{
		Name: clip(r.Name), Bytes: st.Bytes, Segments: len(st.Segments), Appended: st.Appended, Syncs: st.Syncs, Dropped: st.Dropped,
		Full: reason(st.Full), Failed: reason(st.Failed), Damaged: reason(st.Recovery.Err()),
	}
	all := slices.Clone(st.Consumers)
	slices.SortStableFunc(all, func(a, b spool.ConsumerInfo) int { return cmp.Compare(b.Pending, a.Pending) })
	for i, c := range all {
		if i < room {
			l.Consumers = append(l.Consumers, Consumer{clip(c.Name), c.Pending, c.Failed})
			continue
		}
		l.Others = l.Others.plus(c.Pending)
	}
	return l
}

// plus returns b with one more, which lags that far.
func (b *Behind) plus(lag uint64) *Behind {
	if b == nil {
		b = new(Behind)
	}
	b.Durables++
	b.Lag += lag
	return b
}

func sum[K comparable](by map[K]uint64) (n uint64) {
	for _, v := range by {
		n += v
	}
	return n
}

func inWords[K interface {
	comparable
	String() string
}](by map[K]uint64) map[string]uint64 {
	if len(by) == 0 {
		return nil
	}
	words := make(map[string]uint64, len(by))
	for k, n := range by {
		words[k.String()] += n
	}
	return words
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return clip(err.Error())
}

// clip returns s with what does not print escaped as in Go, and cut off where it is too long.
func clip(s string) string {
	short := cut(s, maxText)
	if !utf8.ValidString(short) || strings.ContainsFunc(short, func(r rune) bool { return !unicode.IsPrint(r) }) {
		short = strconv.Quote(short)
		short = short[1 : len(short)-1]
	}
	if len(short) > maxText || len(short) < len(s) {
		short = cut(short, maxText-len("...")) + "..."
	}
	return short
}

// cut returns what of s fits into n bytes, in whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
