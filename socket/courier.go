package socket

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket/internal/route"
	"github.com/meshmq/meshmq/socket/spool"
)

// courier brings the messages of a spool to the members of one consumer: the peers of a PUSH or DEALER, or those that share a durable
// subscription. It reads them in the order of their numbers, from the first that is not acknowledged on, and hands each to one member that has
// room, the one with least outstanding first. What members settle is acknowledged in the spool, what fails or comes back is delivered again,
// before anything newer, or buried. One goroutine, run, does all that concerns the spool; what members say only queues work for it.
//
// Of messages in flight it keeps nothing but what the members do. What is to be delivered again is its number; the message is read once more.
type courier struct {
	from  SpoolConsumer
	retry retryPolicy
	tell  func(courierNews) // called by run, without locks; nil for nobody
	wake  chan struct{}     // a signal that there is work
	over  chan struct{}     // closed when run has returned

	before uint64 // messages up to this number may have been delivered by a courier before this one, of an earlier process too; set before run

	// Of durable subscriptions; set before run.
	choosy bool   // members want some of the messages: see member.wants
	lanes  *lanes // keep the messages of a key in order; nil without WithKeyOrder. Of run

	mu       sync.Mutex // guards the fields below; members are called with it held
	ring     route.RoundRobin[*member]
	crew     map[*member]struct{} // those in ring
	losses   []loss               // with choosy: what members were told is lost, and did not confirm
	halted   bool                 // nothing is handed out any more
	settled  []numbers            // by members, to be acknowledged
	returned []returned           // by members, to be delivered again
	flying   int                  // messages that members have
	counts   courierCounts
	prior    *courier // the one before, until that is over; its mu is taken after this one's

	// Of run.
	ahead   reading          // what comes next
	again   reading          // what is delivered once more
	owed    []numbers        // that could not be acknowledged
	passed  numbers          // that nobody wants, to be acknowledged
	ready   []retry          // to be delivered again now, in the order of numbers
	waiting retries          // to be delivered again later
	doomed  []retry          // to be buried
	decided map[uint64]retry // what the courier before had in waiting and doomed, and is not read yet
	burial  time.Time        // not before; zero while letters can be written
	top     uint64           // the highest number that was handed out
	looked  time.Time        // when new messages were looked for last
	pace    pace
}

// retryPolicy says when a message that failed is delivered again.
type retryPolicy struct {
	min, max time.Duration // bounds of the pause: it is evenly drawn below one that doubles from min to max
	limit    int           // failed deliveries after which a message is buried, 0 for none
	random   func() float64
}

// courierCounts count since the courier began, or the first of those that followed each other.
type courierCounts struct {
	delivered, redelivered, settled, failed, buried uint64
}

func (n *courierCounts) add(o courierCounts) {
	n.delivered += o.delivered
	n.redelivered += o.redelivered
	n.settled += o.settled
	n.failed += o.failed
	n.buried += o.buried
}

// courierNews is something that happened to messages: exactly one of the fields is set.
type courierNews struct {
	dead    *DeadLetter
	gap     *spool.Gap // lost, and acknowledged
	trouble error      // the spool cannot be read, or, which is said when it begins, letters not be written; it is tried again
	settled bool       // positions moved
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Number   uint64   // in the stream that it was sent in
	Name     string   // of the durable subscription that gave it up, "" where there is none
	Reason   string   // what the receiver said, or which limit was reached
	Attempts int      // deliveries that failed
	Frames   [][]byte // the routing id before them on a ROUTER; whose they are says WithDeadLetter
}

// delivery is a message on its way to a member.
type delivery struct {
	number      uint64
	origin      uint64 // its place in the stream, 0 if that is number: it was replayed
	incarnation uint32
	attempt     int    // which delivery it is, from 1
	failed      int    // how many of those before failed
	alone       bool   // nothing else may be on its way to the member: see retryPolicy.spent
	lane        uint64 // with lanes: the hash of its key, since admit
	frames      [][]byte
	extent
	written time.Time
}

// reading is a place in the spool: a reader and the message it stands at.
type reading struct {
	r    SpoolReader
	d    delivery
	rec  spool.Record
	held bool   // d is to be handed out
	at   uint64 // the number it goes on at
}

// courierRun is how many messages are handed out between two looks at what was settled: enough that looking costs nothing, few enough that
// what has to be delivered again does not wait for long.
const courierRun = 256

// newCourier returns a courier without members; run starts it.
func newCourier(from SpoolConsumer, policy retryPolicy, tell func(courierNews)) *courier {
	c := &courier{from: from, retry: policy, tell: tell, wake: make(chan struct{}, 1), over: make(chan struct{}), crew: map[*member]struct{}{}, decided: map[uint64]retry{}}
	if c.tell == nil {
		c.tell = func(courierNews) {}
	}
	return c
}

// halt has nothing handed out any more. What is settled is still taken care of.
func (c *courier) halt() {
	c.mu.Lock()
	c.halted = true
	c.mu.Unlock()
}

// members returns how many there are, and how many messages they have.
func (c *courier) members() (n, flying int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Len(), c.flying
}

func (c *courier) counted() courierCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.counts
	if c.prior != nil {
		n.add(c.prior.counted())
	}
	return n
}

// run does the work until ctx ends, and what members had said by then. Whoever ends ctx waits for c.over, and closes the spool after it.
func (c *courier) run(ctx context.Context) {
	defer close(c.over)
	c.ahead.r, c.again.r = c.from.Reader(0), c.from.Reader(0)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		c.account(ctx)
		begun := time.Now()
		err := c.deliver()
		c.rest(ctx, timer, begun)
		if err == nil {
			continue
		}
		ready, crowded := len(c.ready), c.crowded()
		if c.account(ctx); len(c.ready) > ready || crowded && !c.crowded() { // due meanwhile, or buried: nobody wakes us for that
			continue
		}
		lapsed := c.lapse()
		timer.Reset(c.pause(err))
		var more <-chan struct{}
		if errors.Is(err, io.EOF) {
			more = c.ahead.r.More()
		}
		select {
		case <-more:
			c.gather(ctx, timer)
		case <-c.wake:
		case <-lapsed:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	c.account(context.Background())
	c.lapse()
	_, _ = c.ahead.r.Close(), c.again.r.Close() // of reading: nothing depends on it
}

// courierRest is how long new messages are left alone after it was looked for some. A sender that waits for the disk with each message would share the
// processor with a courier, and a peer, that are woken for every one. What comes after a pause goes at once.
const courierRest = 500 * time.Microsecond

// gather returns when it is time to look for new messages.
func (c *courier) gather(ctx context.Context, timer *time.Timer) {
	if left := courierRest - time.Since(c.looked); left > 0 {
		sleep(ctx, timer, left)
	}
	c.looked = time.Now()
}

// troublePause is how long a spool is left alone that could not be read or written.
const troublePause = time.Second

// pause returns how long run sleeps when nobody wakes it: until something is to be delivered again, or the spool is tried again.
func (c *courier) pause(err error) time.Duration {
	pause := time.Hour
	if !errors.Is(err, io.EOF) && !errors.Is(err, errNoRoom) {
		pause = troublePause
		c.tell(courierNews{trouble: err})
	}
	if len(c.owed) > 0 {
		pause = min(pause, troublePause)
	}
	if len(c.waiting) > 0 {
		pause = min(pause, time.Until(c.waiting[0].due))
	}
	if len(c.doomed) > 0 {
		pause = min(pause, time.Until(c.burial))
	}
	return pause
}

var (
	errNoRoom   = errors.New("no room") // no member takes anything
	errLook     = errors.New("look what came back")
	errUnwanted = errors.New("unwanted") // by any member
	errParked   = errors.New("parked")   // the message waits for others of its key
	errRefused  = errors.New("refused")  // it is too large for the member; this was a failed delivery
)

// deliver hands out a number of messages. It returns why it stopped before that: io.EOF, errNoRoom or what is wrong with the spool.
func (c *courier) deliver() error {
	if !c.roomy() {
		return errNoRoom
	}
	for range courierRun {
		r, err := c.next()
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		err = c.hand(&r.d)
		switch {
		case errors.Is(err, errLook):
			return nil
		case errors.Is(err, errUnwanted):
			c.pass(r.d.number, r.d.number)
			c.drop(r.d.number)
		case errors.Is(err, errParked), errors.Is(err, errRefused):
		case err != nil:
			return err
		}
		r.held = false
		if r == &c.again {
			c.ready = c.ready[1:]
		}
		c.resume()
	}
	return nil
}

// roomy reports whether anybody may take a message.
func (c *courier) roomy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Active() > 0 && !c.halted
}

// next returns the place whose message is to be handed out next; nil if that has to be looked for once more.
func (c *courier) next() (*reading, error) {
	if len(c.ready) > 0 {
		return c.nextAgain()
	}
	if c.crowded() {
		return nil, errNoRoom
	}
	if c.ahead.held {
		return &c.ahead, nil
	}
	err := c.ahead.read()
	if gap, ok := errors.AsType[*spool.Gap](err); ok {
		c.lose(gap)
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	d := &c.ahead.d
	if d.number <= c.before {
		d.attempt = max(d.attempt, 2)
	}
	if c.abide(d) {
		c.ahead.held = false
		return nil, nil
	}
	return &c.ahead, nil
}

// crowded reports whether nothing newer is read, as too much waits.
func (c *courier) crowded() bool { return len(c.waiting)+len(c.doomed) >= maxWaiting }

// lose takes care of messages that are missing.
func (c *courier) lose(gap *spool.Gap) {
	if !c.choosy {
		c.pass(gap.From, gap.To)
	} else {
		c.report(*gap)
	}
	c.tell(courierNews{gap: gap})
}

// read goes to the next message of a place. The error may be a gap.
func (r *reading) read() error {
	r.held = false
	rec, err := r.r.TryNext()
	if err != nil {
		return err
	}
	r.rec, r.held, r.at = rec, true, rec.Number+1
	r.d = delivery{
		number: rec.Number, origin: rec.Origin, incarnation: rec.Incarnation, attempt: rec.Attempts + 1, failed: rec.Attempts,
		frames: rec.Frames, extent: extentOf(rec.Frames, Msg{Frames: rec.Frames}.Size()), written: rec.Time,
	}
	if rec.Origin > 0 {
		r.d.attempt++ // it died of earlier ones
	}
	return nil
}

// pass acknowledges messages that no member gets.
func (c *courier) pass(lo, hi uint64) {
	if c.passed.lo == 0 || c.passed.hi+1 != lo {
		c.acknowledge(c.passed)
		c.passed.lo = lo
	}
	c.passed.hi = hi
}

// acknowledge has the spool know what is done with. What it cannot take now it is told again later; what it can take no more, because it has
// failed, is delivered again when it is opened.
func (c *courier) acknowledge(n numbers) {
	if n.lo == 0 {
		return
	}
	err := c.from.Ack(n.lo, n.hi)
	if err != nil && !errors.Is(err, spool.ErrFailed) && !errors.Is(err, spool.ErrClosed) {
		c.owed = append(c.owed, n)
	}
}

// account takes care of what members have said.
func (c *courier) account(ctx context.Context) {
	c.mu.Lock()
	settled, back := c.settled, c.returned
	c.settled, c.returned = nil, nil
	c.mu.Unlock()
	c.free(settled)
	c.confirmed(settled)
	settled = append(settled, c.owed...)
	c.owed = nil
	c.acknowledge(c.passed)
	moved := c.passed.lo > 0 || len(settled) > 0
	c.passed = numbers{}
	slices.SortFunc(settled, func(a, b numbers) int { return compareNumbers(a.lo, b.lo) })
	for len(settled) > 0 { // members take turns: what they have settled together is often one run
		n := 1
		for n < len(settled) && settled[n].lo == settled[n-1].hi+1 {
			n++
		}
		c.acknowledge(numbers{settled[0].lo, settled[n-1].hi})
		settled = settled[n:]
	}
	c.takeBack(back)
	if c.bury(ctx) {
		moved = true
	}
	c.resume()
	if moved {
		c.tell(courierNews{settled: true})
	}
}
