package socket

import "time"

// carrier is the way to one peer as a courier sees it.
type carrier interface {
	// deliver queues a copy of a message; ok is false when the peer has no room or credit, and member.room is then called once it has. With flush
	// the caller calls flush as soon as it holds no lock. deliver is called with the courier's lock held.
	deliver(d *delivery) (ok, flush bool)
	flush()
	// refuses returns why the peer would not take such a message. It is called with the courier's lock held.
	refuses(e extent) error
	// outstanding is how many messages are not settled.
	outstanding() int
}

// member is a carrier in the service of a courier. Its methods may be called by any goroutine, not by the carrier's within deliver.
type member struct {
	c     *courier
	to    carrier
	wants func(topic []byte) bool // with choosy
}

// numbers are those from lo to hi.
type numbers struct{ lo, hi uint64 }

// returned is a message that comes back from a member.
type returned struct {
	number  uint64
	attempt int           // which delivery it was
	blame   blame         // why it comes back
	sole    bool          // orphaned: the member had no other, or this one was being written
	after   time.Duration // failed: how long the receiver wants it to wait, 0 for what the policy says
	reason  string        // failed and rejected: what the receiver said
}

// blame is whose fault it is that a message comes back.
type blame uint8

const (
	innocent  blame = iota // it was never sent
	bystander              // it was sent, and one of the two left in order, or the receiver is subscribed to nothing any more
	orphaned               // it was sent, or begun to be, and its connection ended before the receiver had said what became of it
	failed                 // the receiver could not handle it, or ended while it did
	rejected               // the receiver will never handle it
)

// member returns a peer as a member that is given nothing before join.
func (c *courier) member(to carrier) *member { return &member{c: c, to: to} }

// join has the member be given messages.
func (m *member) join() {
	m.c.mu.Lock()
	m.c.ring.Add(m)
	m.c.crew[m] = struct{}{}
	m.c.informLocked(m)
	m.c.mu.Unlock()
	signal(m.c.wake)
}

// retire has the member be given no more.
func (m *member) retire() {
	m.c.mu.Lock()
	m.c.ring.Remove(m)
	delete(m.c.crew, m)
	m.c.mu.Unlock()
}

// leave ends a membership. What the member had not settled comes back, in the order it was delivered; it says no more about it. take is called with the courier's lock held, so
// that nobody is given what is behind those before they are back.
func (m *member) leave(take func() (unsettled []returned)) {
	c := m.c
	c.mu.Lock()
	c.ring.Remove(m)
	delete(c.crew, m)
	back := take()
	c.flying -= len(back)
	c.returned = append(c.returned, back...)
	c.mu.Unlock()
	signal(c.wake)
}

// room says that the member takes messages again.
func (m *member) room() {
	m.c.mu.Lock()
	m.c.ring.Activate(m)
	m.c.mu.Unlock()
	signal(m.c.wake)
}

// settle says that messages lo to hi, which the member has, are done with.
func (m *member) settle(lo, hi uint64) {
	c := m.c
	c.mu.Lock()
	n := int(hi - lo + 1)
	c.flying -= n
	c.counts.settled += uint64(n)
	if k := len(c.settled); k > 0 && c.settled[k-1].hi+1 == lo {
		c.settled[k-1].hi = hi
	} else {
		c.settled = append(c.settled, numbers{lo, hi})
	}
	c.mu.Unlock()
	signal(c.wake)
}

// giveBack returns one message that the member has and the peer does not want, if take finds it. take is called with the courier's lock held, so that nothing behind the message is given its
// room before it is known to be back.
func (m *member) giveBack(take func() (r returned, ok bool)) {
	c := m.c
	c.mu.Lock()
	if r, ok := take(); ok {
		c.flying--
		c.returned = append(c.returned, r)
	}
	c.mu.Unlock()
	signal(c.wake)
}
