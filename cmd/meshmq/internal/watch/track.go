// Package watch makes of what monitors tell what people look at: tables, a live screen, a page. It starts no goroutine and asks nobody; the
// verbs top and dash do.
//
//	answers --> Tracker: rates, what changed for the worse, who is gone --> View --> WriteTable, Screen, Page, JSON
//
// What monitors tell is what strangers say. Tracker bounds it, and takes out what does not print.
package watch

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshmq/meshmq/patterns/monitor"
)

const (
	// markedFor is how long a counter that grew stands out: for people who look away for a moment.
	markedFor = 10 * time.Second
	// goneFor is how long a process is shown that went away.
	goneFor = 10 * time.Minute
	// maxProcesses is what a person can look through, and bounds what strangers can have us keep.
	maxProcesses = 250
)

// The states of a process.
const (
	Up     = "up"     // it answered
	Silent = "silent" // it is connected and did not answer in time
	Gone   = "gone"   // it answered before, and is not connected
	Absent = "absent" // nobody was ever connected there
)

// Answer is what was heard of one endpoint.
type Answer struct {
	Endpoint  string
	Connected bool
	Err       error            // why there is no Snapshot, nil if there is
	Snapshot  monitor.Snapshot // what it says
}

// Rates are per second, since the answer before.
type Rates struct {
	MessagesIn  float64 `json:"messages_in"`
	BytesIn     float64 `json:"bytes_in"`
	MessagesOut float64 `json:"messages_out"`
	BytesOut    float64 `json:"bytes_out"`
}

// Process is what is known of one. The Snapshot is the last that it told.
type Process struct {
	Endpoint string           `json:"endpoint"`
	State    string           `json:"state"`
	Seen     time.Time        `json:"seen,omitzero"` // when it answered last
	Error    string           `json:"error,omitempty"`
	Rates    map[string]Rates `json:"rates,omitempty"` // by socket, from the second answer on
	Worse    []string         `json:"worse,omitempty"` // "SOCKET COLUMN": what changed for the worse
	monitor.Snapshot

	ofPeers map[string]Rates
	marks   map[string]time.Time // of Worse: until when
}

// View is everything at one moment.
type View struct {
	Time      time.Time  `json:"time"`
	Processes []*Process `json:"processes"`         // by name; not to be changed
	Omitted   int        `json:"omitted,omitempty"` // further ones that answered, for which there was no room
}

// Alive is how many processes have answered.
func (v View) Alive() (n int) {
	for _, p := range v.Processes {
		if p.State == Up {
			n++
		}
	}
	return n
}

// Tracker remembers what processes said before. The zero Tracker knows of none. It is for one goroutine.
type Tracker struct {
	known []*Process
}

// Note takes the answers of a round, one for each endpoint, and returns how things stand.
func (t *Tracker) Note(now time.Time, answers []Answer) View {
	answers = slices.Clone(answers)
	slices.SortStableFunc(answers, func(a, b Answer) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	view := View{Time: now}
	var next []*Process
	heard := make(map[string]bool) // ids: one process may be there under several endpoints
	for _, a := range answers {
		if a.Err != nil {
			continue
		}
		Tame(&a.Snapshot)
		switch id := a.Snapshot.Process.ID; {
		case heard[id]:
		case len(next) == maxProcesses:
			view.Omitted++
		default:
			heard[id] = true
			next = append(next, t.update(now, a))
		}
	}
	for _, a := range answers {
		if a.Err != nil && len(next) < maxProcesses {
			if p := t.quiet(a, heard); p != nil {
				next = append(next, p)
			}
		}
	}
	for _, p := range t.known {
		if !p.Seen.IsZero() && !heard[p.Process.ID] && now.Sub(p.Seen) < goneFor && len(next) < maxProcesses {
			next = append(next, p.as(Gone, ""))
		}
	}
	slices.SortStableFunc(next, func(a, b *Process) int {
		return cmp.Or(cmp.Compare(a.Process.Name, b.Process.Name), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Process.ID, b.Process.ID))
	})
	t.known, view.Processes = next, next
	return view
}

// update returns the process that answered.
func (t *Tracker) update(now time.Time, a Answer) *Process {
	p := &Process{Endpoint: Clean(a.Endpoint), State: Up, Seen: now, Snapshot: a.Snapshot}
	before := t.find(func(p *Process) bool { return !p.Seen.IsZero() && p.Process.ID == a.Snapshot.Process.ID })
	if before == nil {
		return p
	}
	if !p.Snapshot.Time.After(before.Snapshot.Time) { // told again
		p.Rates, p.ofPeers = before.Rates, before.ofPeers
	} else {
		p.rate(before)
	}
	p.compare(before, now)
	return p
}

// quiet returns the process at an endpoint from which no answer came, nil if it is among those that are gone.
func (t *Tracker) quiet(a Answer, heard map[string]bool) *Process {
	endpoint := Clean(a.Endpoint)
	before := t.find(func(p *Process) bool { return !p.Seen.IsZero() && p.Endpoint == endpoint && !heard[p.Process.ID] })
	switch {
	case before != nil && !a.Connected:
		return nil
	case before != nil:
		heard[before.Process.ID] = true
		return before.as(Silent, Clean(a.Err.Error()))
	case a.Connected:
		return &Process{Endpoint: endpoint, State: Silent, Error: Clean(a.Err.Error())}
	}
	return &Process{Endpoint: endpoint, State: Absent, Error: Clean(a.Err.Error())}
}

func (t *Tracker) find(is func(*Process) bool) *Process {
	if i := slices.IndexFunc(t.known, is); i >= 0 {
		return t.known[i]
	}
	return nil
}

// as returns the process in a state in which it says nothing new.
func (p *Process) as(state, err string) *Process {
	q := *p
	q.State, q.Error, q.Rates, q.ofPeers, q.Worse, q.marks = state, err, nil, nil, nil, nil
	return &q
}

// rate works out what went through since before.
func (p *Process) rate(before *Process) {
	seconds := p.Snapshot.Time.Sub(before.Snapshot.Time).Seconds()
	since := func(now, then uint64) float64 {
		if now < then { // it counts anew
			return 0
		}
		return float64(now-then) / seconds
	}
	between := func(now, then monitor.Load) Rates {
		return Rates{since(now.MessagesIn, then.MessagesIn), since(now.BytesIn, then.BytesIn), since(now.MessagesOut, then.MessagesOut), since(now.BytesOut, then.BytesOut)}
	}
	was := before.loads()
	p.Rates, p.ofPeers = make(map[string]Rates), make(map[string]Rates)
	for key, load := range p.loads() {
		if then, ok := was[key]; ok {
			p.ofPeers[key] = between(load, then)
		}
	}
	for i := range p.Sockets {
		if r, ok := p.ofPeers[p.Sockets[i].Name]; ok {
			p.Rates[p.Sockets[i].Name] = r
		}
	}
}

// loads returns what went through sockets, by name, and through their peers, by peerKey.
func (p *Process) loads() map[string]monitor.Load {
	all := make(map[string]monitor.Load)
	for i := range p.Sockets {
		s := &p.Sockets[i]
		all[s.Name] = s.Load
		for j := range s.Peers {
			all[peerKey(s, &s.Peers[j])] = s.Peers[j].Load
		}
	}
	return all
}

func peerKey(s *monitor.Socket, p *monitor.Peer) string {
	return s.Name + "\n" + p.Endpoint + "\n" + p.Address
}
