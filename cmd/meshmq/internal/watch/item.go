package watch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meshmq/meshmq/patterns/monitor"
)

// column is a number that is shown of each socket.
type column int

const (
	peers column = iota
	in
	out
	queue
	inbox
	unacked
	pending
	oldest
	dead
	failed
	drops
	refused
	columns // how many there are
)

// about says of a column what it is called, how its numbers print, and when they are worse than before.
var about = [columns]struct {
	name  string
	text  func(float64) string
	worse func(before, now float64) bool
	lasts bool // it stands out for markedFor: a counter, which has no way down
}{
	{"peers", number, less, false},
	{"in", number, nil, false},
	{"out", number, nil, false},
	{"queue", number, more, false},
	{"inbox", number, more, false},
	{"unacked", number, more, false},
	{"pending", number, more, false},
	{"oldest", age, more, false},
	{"dead", number, more, true},
	{"failed", number, more, true},
	{"drops", number, more, true},
	{"refused", number, more, true},
}

func more(before, now float64) bool { return now > before }
func less(before, now float64) bool { return now < before }

// SortNames are what rows can be sorted by.
func SortNames() []string {
	names := []string{"name"}
	for _, a := range about {
		names = append(names, a.name)
	}
	return names
}

// item is a row: a socket, a log, a peer, a durable subscription.
type item struct {
	name   string
	kind   string // type of the socket; empty for parts of one
	key    string // among those of the process
	part   bool   // of the item before
	values [columns]float64
	wanted float64 // peers that should be there
}

// items returns what there is of a process, in the order of a column: -1 for names. Parts are peers and durable subscriptions.
func (p *Process) items(by column, parts bool) []item {
	var groups [][]item
	for i := range p.Sockets {
		groups = append(groups, p.ofSocket(&p.Sockets[i], parts))
	}
	for i := range p.Logs {
		groups = append(groups, ofLog(&p.Logs[i], parts))
	}
	if by >= 0 {
		slices.SortStableFunc(groups, func(a, b []item) int { return cmp.Compare(b[0].values[by], a[0].values[by]) })
	}
	return slices.Concat(groups...)
}

func (p *Process) ofSocket(s *monitor.Socket, parts bool) []item {
	it := item{name: s.Name, kind: s.Type, key: s.Name, wanted: float64(s.Connected + s.Seeking + s.GaveUp)}
	it.load(s.Load, p.Rates[s.Name])
	it.values[peers] = float64(s.Connected)
	it.values[dead] = float64(s.DeadLettered)
	it.values[refused] = total(s.Refused) + float64(s.Forbidden)
	it.values[drops] += float64(s.Missed)
	if s.Spool != nil {
		it.values[pending] = float64(s.Spool.Pending)
		it.values[failed] = float64(s.Spool.Failed)
		if !s.Spool.Oldest.IsZero() {
			it.values[oldest] = max(p.Snapshot.Time.Sub(s.Spool.Oldest).Seconds(), 0)
		}
	}
	if s.Delayed != nil {
		it.values[pending] += float64(s.Delayed.Waiting)
	}
	if r := s.Receiver; r != nil {
		it.values[failed] += float64(r.Failed) + float64(r.Malformed) + float64(r.Unhandled)
	}
	group := []item{it}
	if !parts {
		return group
	}
	for i := range s.Peers {
		group = append(group, p.ofPeer(s, &s.Peers[i]))
	}
	if o := s.Others; o != nil {
		it := item{name: fmt.Sprintf("%d others", o.Peers), part: true, wanted: float64(o.Peers)}
		it.load(o.Load, Rates{})
		it.values[peers] = float64(o.Connected)
		group = append(group, it)
	}
	if s.Spool != nil {
		for _, d := range s.Spool.Durables {
			it := item{name: "durable " + d.Name, part: true, wanted: float64(d.Members)}
			it.values[peers], it.values[pending], it.values[unacked] = float64(d.Members), float64(d.Lag), float64(d.InFlight)
			it.values[dead], it.values[failed], it.values[drops] = float64(d.DeadLettered), float64(d.Failed), float64(d.Lost)
			group = append(group, it)
		}
		group = append(group, others(s.Spool.Others)...)
	}
	return group
}

func (p *Process) ofPeer(s *monitor.Socket, of *monitor.Peer) item {
	it := item{name: of.Endpoint, part: true, wanted: 1}
	if of.Connected {
		it.values[peers] = 1
	}
	for _, more := range []string{of.Address, of.Identity, of.User} {
		if more != "" && !strings.HasSuffix(of.Endpoint, "://"+more) {
			it.name += " " + more
		}
	}
	if of.GaveUp {
		it.name += " (gave up)"
	}
	it.load(of.Load, p.ofPeers[peerKey(s, of)])
	return it
}

func ofLog(l *monitor.Log, parts bool) []item {
	it := item{name: l.Name, kind: "log", key: "log " + l.Name}
	it.values[drops] = float64(l.Dropped)
	group := []item{it}
	for _, c := range l.Consumers {
		group[0].values[pending] = max(group[0].values[pending], float64(c.Pending))
		group[0].values[failed] = max(group[0].values[failed], float64(c.Failed))
		if parts {
			it := item{name: cmp.Or(c.Name, "-"), part: true}
			it.values[pending], it.values[failed] = float64(c.Pending), float64(c.Failed)
			group = append(group, it)
		}
	}
	if parts {
		group = append(group, others(l.Others)...)
	}
	return group
}

func others(b *monitor.Behind) []item {
	if b == nil {
		return nil
	}
	it := item{name: fmt.Sprintf("%d others", b.Durables), part: true}
	it.values[pending] = float64(b.Lag)
	return []item{it}
}

func (it *item) load(l monitor.Load, r Rates) {
	it.values[in], it.values[out] = r.MessagesIn, r.MessagesOut
	it.values[queue], it.values[inbox], it.values[unacked], it.values[drops] = float64(l.QueueMessages), float64(l.InboxMessages), float64(l.Unacked), float64(l.Drops)
}

// compare notes what changed for the worse.
func (p *Process) compare(before *Process, now time.Time) {
	p.marks = make(map[string]time.Time)
	was := make(map[string]item)
	for _, it := range before.items(-1, false) {
		was[it.key] = it
	}
	for _, it := range p.items(-1, false) {
		then, known := was[it.key]
		for c, a := range about {
			mark := it.key + " " + a.name
			if until := before.marks[mark]; a.lasts && until.After(now) {
				p.marks[mark] = until
			}
			if known && a.worse != nil && a.worse(then.values[c], it.values[c]) {
				p.marks[mark] = now.Add(markedFor)
			}
			if !p.marks[mark].IsZero() {
				p.Worse = append(p.Worse, mark)
			}
		}
	}
}

func total(by map[string]uint64) (n float64) {
	for _, v := range by {
		n += float64(v)
	}
	return n
}

// number prints what people compare at a glance; none is a dash.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 10 && v != math.Trunc(v):
		return fmt.Sprintf("%.1f", v)
	case v < 1e5:
		return fmt.Sprintf("%.0f", v)
	case v < 1e7:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v < 1e10:
		return fmt.Sprintf("%.0fM", v/1e6)
	}
	return fmt.Sprintf("%.0fG", v/1e9)
}

// age prints seconds.
func age(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 100:
		return fmt.Sprintf("%.0fs", math.Ceil(v))
	case v < 100*60:
		return fmt.Sprintf("%.0fm", v/60)
	case v < 100*3600:
		return fmt.Sprintf("%.0fh", v/3600)
	}
	return fmt.Sprintf("%.0fd", v/86400)
}
