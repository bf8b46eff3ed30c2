package intake

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
)

// Order has a Loop handle messages in another order than they come in: by priority, and those of a key one after the other. One goroutine
// takes messages from the socket and lays them on a desk, from which the handlers take them: that of one Run at a time.
type Order struct {
	l       *Loop
	lanes   bool
	keys    *conf.KeyOrder // nil for none
	room    int            // of the desk
	random  func() float64 // for pauses
	receipt chan struct{}  // full while a Run receives

	mu     sync.Mutex // guards the fields below
	roomy  *sync.Cond // of mu: something has left the desk
	ready  *sync.Cond // of mu: something can be handled; one handler is woken for it, and wakes the next if there is more
	desk   desk
	timer  *time.Timer // wakes a handler for what is tried again; nil before the first
	timed  time.Time   // when it will, zero if it will not
	left   bool        // the senders were, so what is to be acknowledged goes to others
	closed bool        // nothing more comes
	gone   bool        // what was on the desk has been given up, and so is what still comes
}

// NewOrder returns the Order of a configuration for l, with room for so many messages on the desk; nil if it asks for none.
func NewOrder(l *Loop, c *conf.Config, room int) *Order {
	if !c.Priorities && c.KeyOrder == nil {
		return nil
	}
	o := &Order{l: l, lanes: c.Priorities, keys: c.KeyOrder, room: room, random: rand.Float64,
		receipt: make(chan struct{}, 1), desk: newDesk()}
	o.roomy, o.ready = sync.NewCond(&o.mu), sync.NewCond(&o.mu)
	l.order = o
	return o
}

// Steps are what is done with each message. The Task of another attempt is opened anew.
type Steps struct {
	Open   func(m socket.Msg) (t *Task, err error) // the Task as far as the message could be read
	Handle func(t *Task) error
}

// Run is that of Loop, with n handlers.
func (o *Order) Run(ctx context.Context, n int, steps Steps) error {
	o.l.enter()
	defer o.l.leave()
	r := o.l.begin(ctx)
	defer r.end()
	var handlers sync.WaitGroup
	handlers.Go(func() { employ(n, func() { o.serve(r, steps) }) }) // ended by r.intake, Shutdown or Close; awaited below
	err := o.receive(r, steps)
	switch {
	case err != nil:
		r.stop()
	case r.intake.Err() == nil:
		o.close()
	}
	handlers.Wait()
	return err
}

// receive lays messages on the desk until r.intake ends or the socket is closed, while no other Run does.
func (o *Order) receive(r *run, steps Steps) error {
	select {
	case o.receipt <- struct{}{}:
		defer func() { <-o.receipt }()
	case <-r.intake.Done():
		return nil
	case <-o.l.taking.Done():
		return nil
	}
	lay := Alike(func(_ context.Context, m socket.Msg) { o.lay(r, m, steps) })()
	return o.l.take(r, lay, o.vacant, o.l.receive)
}

// vacant waits until the desk has room, and reports whether it has.
func (o *Order) vacant(ctx context.Context) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.desk.n >= o.room {
		defer o.watch(ctx)()
	}
	for o.desk.n >= o.room && ctx.Err() == nil {
		o.roomy.Wait()
	}
	return ctx.Err() == nil
}

// watch has those who wait look again when ctx ends.
func (o *Order) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, o.look)
}

func (o *Order) look() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wakeAllLocked()
}

func (o *Order) wakeAllLocked() {
	o.roomy.Broadcast()
	o.ready.Broadcast()
}

// wakeLocked wakes a handler, if there is something for one; near the end all of them, of which each has to see whether there will be more.
func (o *Order) wakeLocked() {
	o.timeLocked()
	if o.closed || o.left {
		o.ready.Broadcast()
	} else if o.desk.ready() {
		o.ready.Signal()
	}
}

// timeLocked has a handler woken when the first is due of those that wait for their time.
func (o *Order) timeLocked() {
	due, some := o.desk.next()
	if !some || due.Equal(o.timed) {
		return
	}
	if o.timer == nil {
		o.timer = time.AfterFunc(time.Until(due), o.fall)
	} else {
		o.timer.Reset(time.Until(due))
	}
	o.timed = due
}

// fall is called when something is due. If all handlers are busy, the next to have done looks by itself.
func (o *Order) fall() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.timed = time.Time{}
	o.ready.Signal()
}

// lay puts a message on the desk.
func (o *Order) lay(r *run, m socket.Msg, steps Steps) {
	t, err := steps.Open(m)
	t.Scope.Context = r.work
	s := &slip{task: t, lane: int(patterns.Normal - patterns.Low)}
	if err == nil {
		err = o.label(s)
	}
	if err != nil {
		o.l.Refuse(&t.Scope, m, t.Delivery.Envelope, err)
		o.l.Answer(m, err)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		o.l.unhandled.Add(1)
		return
	}
	o.desk.add(s)
	o.wakeLocked()
}

// label reads what decides on the order.
func (o *Order) label(s *slip) error {
	if o.keys != nil {
		s.key = s.task.Delivery.Envelope.Header(patterns.HeaderKey)
		if s.key == "" && s.task.Delivery.Kind == patterns.Event {
			s.key = s.task.Delivery.Name // the topic, as for publishers
		}
	}
	if o.lanes {
		p, err := patterns.PriorityOf(s.task.Delivery.Envelope)
		if err != nil {
			return err
		}
		s.lane = int(p - patterns.Low)
	}
	return nil
}

// serve handles what is on the desk, until intake ends or the socket is closed and the desk empty.
func (o *Order) serve(r *run, steps Steps) {
	for {
		receiving, leave := o.l.gate.pass(r.intake)
		if receiving == nil {
			return
		}
		if o.handle(receiving, leave, r, steps) {
			return
		}
	}
}

// handle handles what is on the desk until receiving ends, and leaves. It reports whether nothing more will come.
func (o *Order) handle(receiving context.Context, leave func(), r *run, steps Steps) (over bool) {
	defer leave()
	defer o.watch(receiving)()
	for {
		s, over := o.next(receiving, r)
		if s == nil {
			return over
		}
		o.attempt(s, r.work, steps)
	}
}

// next waits for a message that can be handled.
func (o *Order) next(receiving context.Context, r *run) (s *slip, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.wakeLocked() // for what else there is, which may be what this one was woken for
	for receiving.Err() == nil && r.intake.Err() == nil {
		s := o.desk.take(time.Now())
		switch {
		case s != nil && o.left && s.task.Msg.NeedsAck():
			o.l.unhandled.Add(1)
			o.desk.done(s)
			o.roomy.Signal()
			continue
		case s != nil:
			o.roomy.Signal()
			return s, false
		case o.closed && o.desk.n == 0:
			return nil, true
		}
		o.timeLocked()
		o.ready.Wait()
	}
	return nil, false
}

// attempt handles a message.
func (o *Order) attempt(s *slip, work context.Context, steps Steps) {
	o.l.inHand.Add(1)
	t := s.task
	t.Scope.Context = work
	t.Delivery.Attempt += s.tries
	err := ErrExit
	defer func() {
		o.settle(s, work, steps, err)
		o.l.inHand.Add(-1)
	}()
	err = steps.Handle(t)
}

// settle says whether a message that was handled is to be tried again here.
func (o *Order) settle(s *slip, work context.Context, steps Steps, err error) {
	m, again := s.task.Msg, false
	if err != nil && s.key != "" && work.Err() == nil && !Hopeless(err) {
		s.tries++
		if again = s.tries < o.keys.Attempts; !again {
			err = patterns.Permanent(fmt.Errorf("%d attempts failed, the last one: %w", s.tries, err))
		}
	}
	if again {
		var bad error
		if s.task, bad = steps.Open(m); bad != nil { // its codec changed its mind
			again, err = false, patterns.Permanent(errors.Join(err, bad))
		}
	}
	if !again {
		o.l.Answer(m, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if again {
		s.due = time.Now().Add(o.pause(s.tries, err))
		o.desk.retry(s)
	} else {
		o.desk.done(s)
	}
	o.wakeLocked()
}

// pause returns how long a message waits that failed so often: below a bound that doubles, as socket.WithRetry has it.
func (o *Order) pause(failed int, err error) time.Duration {
	if pause, asked := patterns.Pause(err); asked {
		return pause
	}
	bound := o.keys.Min
	for i := 1; i < failed && bound < o.keys.Max; i++ {
		bound *= 2
	}
	return time.Duration(o.random() * float64(min(bound, o.keys.Max)))
}

// close says that nothing more comes.
func (o *Order) close() {
	o.leave()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.wakeAllLocked()
}

// leave says that the connections have ended, and so what was not acknowledged goes to others.
func (o *Order) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = true
	o.desk.hasten(time.Now(), func(t *Task) bool { return t.Msg.NeedsAck() })
	o.wakeAllLocked()
}

// Waiting returns how many messages are on the desk.
func (o *Order) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.desk.n
}

// drop gives up what is on the desk.
func (o *Order) drop() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.wakeAllLocked()
	if o.timer != nil {
		o.timer.Stop()
		o.timed = time.Time{}
	}
	o.gone = true
	return o.desk.clear()
}
