package monitor

import (
	"slices"
	"sync"

	"github.com/meshmq/meshmq/socket"
)

// maxTrouble is more than a screen has room for.
const maxTrouble = 64

// ring has the latest kinds of trouble. A storm of one kind is one entry, and does not drive out the others.
type ring struct {
	mu  sync.Mutex // guards the field below
	all []entry    // the latest last
}

type entry struct {
	key     key
	trouble Trouble
}

// key is what events have in common that are one Trouble.
type key struct {
	socket, endpoint string
	kind             socket.EventKind
	drop             socket.DropReason
	refusal          socket.Refusal
}

// grave reports whether an event says that something was lost, refused or is broken.
func grave(e socket.Event) bool {
	switch e.Kind {
	case socket.HandshakeFailed, socket.AcceptFailed, socket.Dropped, socket.GaveUp, socket.Forbidden, socket.DeadLettered, socket.SpoolTrouble, socket.Missed,
		socket.WindowTrouble, socket.Conflicted, socket.LeaseExpired, socket.ReloadFailed, socket.SpoolTorn, socket.WindowTorn:
		return true
	case socket.Disconnected:
		return e.Err != nil
	}
	return false
}

func (r *ring) note(name string, e socket.Event) {
	if !grave(e) {
		return
	}
	k := key{name, e.Endpoint, e.Kind, e.Reason, e.Refusal}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := Trouble{Socket: clip(name), Kind: e.Kind.String(), First: e.Time}
	if i := slices.IndexFunc(r.all, func(at entry) bool { return at.key == k }); i >= 0 {
		t = r.all[i].trouble
		r.all = slices.Delete(r.all, i, i+1)
	} else if len(r.all) == maxTrouble {
		r.all = slices.Delete(r.all, 0, 1)
	}
	t.Last, t.Text = e.Time, clip(e.String())
	t.Times++
	t.Count += e.Count
	r.all = append(r.all, entry{k, t})
}

// list returns what there is, the latest last.
func (r *ring) list() []Trouble {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Trouble
	for _, at := range r.all {
		list = append(list, at.trouble)
	}
	return list
}
