package pushpull

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// delay keeps messages until their time: in memory, or in a spool in the folder "delayed" of the Producer's. Of those in the spool it keeps number and
// time. One goroutine sends what is due, while there is something to wait for.
type delay struct {
	push    *socket.Push
	onError func(ctx context.Context, err error)
	died    func(number uint64, reason string, attempts int, e *codec.Envelope, frames [][]byte) // nil for none
	ctx     context.Context                                                                      // ends with stop
	cancel  context.CancelFunc
	log     *spool.Log // nil without a spool
	wake    chan struct{}
	began   time.Time
	wall    func() time.Time // what dates are compared with; time.Now but in tests

	mu      sync.Mutex // guards the fields below
	waiting held
	count   uint64 // of those that were kept in memory
	size    int    // of the frames in memory
	givenUp uint64
	done    chan struct{} // closed when the goroutine has ended; nil if there was none
	stopped bool
	closed  bool
}

// held wait for their time, as a heap.
type held []holding

type holding struct {
	due    time.Time // by now
	number uint64    // in the log, or of those that were kept in memory
	frame  []byte    // without a log
}

func (h held) Len() int { return len(h) }
func (h held) Less(i, j int) bool {
	return h[i].due.Before(h[j].due) || h[i].due.Equal(h[j].due) && h[i].number < h[j].number
}
func (h held) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *held) Push(x any)   { *h = append(*h, x.(holding)) }
func (h *held) Pop() any {
	n := len(*h) - 1
	last := (*h)[n]
	(*h)[n] = holding{}
	*h = (*h)[:n]
	return last
}

// Sizes of the spool's files: what they are unless set, and at least.
const (
	defaultSegment = 16 << 20
	minSegment     = 64 << 10
)

// What is kept in memory is bounded: as a socket's queue by bytes, and by a number at which the heap takes a few megabytes.
const (
	maxHeld      = 1 << 16
	maxHeldBytes = 64 << 20
)

func newDelay(push *socket.Push, onError func(ctx context.Context, err error)) *delay {
	d := &delay{push: push, onError: onError, wake: make(chan struct{}, 1), began: time.Now(), wall: time.Now}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// now is the clock that messages wait by: it does not jump when somebody sets the system's.
func (d *delay) now() time.Time { return d.began.Round(0).Add(time.Since(d.began)) }

// dated is a date by that clock. It is to the millisecond, so that messages of one date keep their order.
func (d *delay) dated(at time.Time) time.Time {
	return at.Add(d.now().Sub(d.wall()).Round(time.Millisecond))
}

// keep has messages kept in a spool from now on, and takes up those that are there.
func (d *delay) keep(s *conf.Spool) error {
	o := s.Options
	o.SegmentSize = max(cmp.Or(o.SegmentSize, defaultSegment)/16, minSegment) // as that of dead letters: most producers delay little
	log, err := openSpool(filepath.Join(s.Dir, "delayed"), o)
	if err != nil {
		return fmt.Errorf("%w: WithSpool: delayed messages: %w", socket.ErrOption, err)
	}
	d.log = log
	r := log.Queue().Reader()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		switch {
		case errors.Is(err, io.EOF):
			d.begin()
			return nil
		case err == nil:
			d.waiting.Push(holding{due: d.dated(dueOf(rec)), number: rec.Number})
		default:
			if gap, ok := errors.AsType[*spool.Gap](err); ok {
				d.report(nil, gap)
				_ = log.Queue().Ack(gap.From, gap.To)
				continue
			}
			return fmt.Errorf("%w: WithSpool: delayed messages: %w", socket.ErrOption, err)
		}
	}
}

// dueOf returns when a message of the spool may be sent. One that says nothing of that may be now.
func dueOf(r spool.Record) time.Time {
	e := envelopeOf(r.Frames)
	if e == nil {
		return time.Time{}
	}
	due, _ := patterns.NotBefore(e)
	return due
}

// begin starts the goroutine if there is something to wait for. It is called before others know of d.
func (d *delay) begin() {
	heap.Init(&d.waiting)
	if len(d.waiting) > 0 {
		d.startLocked()
	}
}

func (d *delay) startLocked() {
	if d.done == nil {
		d.done = make(chan struct{})
		go d.run(d.done) // ended by stop, awaited by close
	}
}

// add keeps a message. The frame is the caller's again after that.
func (d *delay) add(ctx context.Context, due time.Time, frame []byte) error {
	h := holding{due: d.dated(due)}
	switch {
	case d.log != nil:
		n, err := d.log.Append(ctx, frame)
		if errors.Is(err, spool.ErrTooLarge) {
			err = fmt.Errorf("%w: %w", socket.ErrTooLarge, err)
		}
		if err != nil {
			return fmt.Errorf("send: delayed: %w", err)
		}
		h.number = n
	case len(frame) > maxHeldBytes:
		return &socket.Error{Op: "send", Err: fmt.Errorf("%w: %d bytes, delayed messages have %d", socket.ErrTooLarge, len(frame), maxHeldBytes)}
	default:
		h.frame = slices.Clone(frame)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stopped && d.log == nil:
		return &socket.Error{Op: "send", Err: socket.ErrClosed}
	case d.stopped: // it is in the spool
		return nil
	case d.log == nil && (len(d.waiting) >= maxHeld || d.size+len(frame) > maxHeldBytes):
		return &socket.Error{Op: "send", Err: fmt.Errorf("%w: %d delayed messages", socket.ErrFull, len(d.waiting))}
	}
	if d.log == nil {
		d.count++
		h.number = d.count
	}
	d.size += len(h.frame)
	heap.Push(&d.waiting, h)
	d.startLocked()
	if d.waiting[0].number == h.number {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

func (d *delay) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// stats returns how the messages fared.
func (d *delay) stats() patterns.Delays {
	d.mu.Lock()
	s := patterns.Delays{Waiting: len(d.waiting), GivenUp: d.givenUp}
	d.mu.Unlock()
	if d.log != nil {
		of := d.log.Stats()
		s.Spool = &of
	}
	return s
}

// troublePause is how long all are left alone when one could not be read, or not be sent for another reason than its size or a lack of room.
const troublePause = time.Second

// run sends what is due, until stop.
func (d *delay) run(done chan struct{}) {
	defer close(done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for d.ctx.Err() == nil {
		h, pause := d.first()
		if pause <= 0 {
			err := d.send(h)
			switch {
			case err == nil:
				d.remove(h)
				continue
			case d.ctx.Err() != nil:
				return
			}
			d.report(nil, err)
			if errors.Is(err, errUnburied) {
				d.postpone(h)
				continue
			}
			pause = troublePause
		}
		timer.Reset(pause)
		select {
		case <-d.wake:
		case <-timer.C:
		case <-d.ctx.Done():
		}
	}
}

// first returns the message to be sent next, and how long that is to wait.
func (d *delay) first() (h holding, pause time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return h, time.Hour
	}
	return d.waiting[0], d.waiting[0].due.Sub(d.now())
}

// remove forgets a message that was sent, or given up.
func (d *delay) remove(h holding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removeLocked(h)
}

// postpone has a message that can be neither sent nor given up tried again in a while, those that are due before it.
func (d *delay) postpone(h holding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removeLocked(h)
	h.due = d.now().Add(troublePause)
	d.size += len(h.frame)
	heap.Push(&d.waiting, h)
}

func (d *delay) removeLocked(h holding) {
	i := slices.IndexFunc(d.waiting, func(o holding) bool {
		return o.due.Equal(h.due) && o.number == h.number && len(o.frame) == len(h.frame)
	})
	heap.Remove(&d.waiting, i)
	d.size -= len(h.frame)
}

// send sends one message. After a crash between the two steps it is sent again, with the id it has.
func (d *delay) send(h holding) error {
	if d.log == nil {
		err := d.push.Send(d.ctx, h.frame)
		if errors.Is(err, socket.ErrTooLarge) {
			d.giveUp(h.number, [][]byte{h.frame}, err)
			return nil
		}
		return err
	}
	r := d.log.Queue().From(h.number)
	defer r.Close()
	rec, err := r.TryNext()
	if gap, ok := errors.AsType[*spool.Gap](err); ok {
		d.report(nil, gap)
		return d.log.Queue().Ack(h.number, h.number)
	}
	if err == nil && rec.Number == h.number {
		err = d.push.Send(d.ctx, rec.Frames...)
	}
	if errors.Is(err, socket.ErrTooLarge) {
		return d.bury(rec, err)
	}
	if err == nil {
		err = d.log.Queue().Ack(h.number, h.number)
	}
	return err
}

// errUnburied is for a message that is too large and has no dead letter either.
var errUnburied = errors.New("no dead letter of what is too large")

// bury moves a message that is too large to the dead letters of its spool.
func (d *delay) bury(rec spool.Record, why error) error {
	rec = rec.Clone()
	dead, err := d.log.Dead()
	if err == nil && d.log.Queue().Attempts(rec.Number) == 0 { // else there was no room for its letter
		_, err = d.log.Queue().Fail(rec.Number)
	}
	if err == nil {
		err = dead.Bury(d.ctx, d.log.Queue(), rec, why.Error())
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnburied, err)
	}
	d.giveUp(rec.Number, rec.Frames, why)
	return nil
}

// giveUp tells of a message that is too large to be sent, as later ones need not be.
func (d *delay) giveUp(number uint64, frames [][]byte, why error) {
	d.mu.Lock()
	d.givenUp++
	d.mu.Unlock()
	e := envelopeOf(frames)
	d.report(e, why)
	if d.died != nil {
		d.died(number, why.Error(), 1, e, frames)
	}
}

func (d *delay) report(e *codec.Envelope, err error) {
	d.onError(context.Background(), patterns.NewError("delay", e, "", err))
}

// stop has nothing sent any more, and returns when that is so.
func (d *delay) stop() {
	d.cancel()
	d.mu.Lock()
	d.stopped = true
	done := d.done
	d.mu.Unlock()
	if done != nil {
		<-done
	}
}

// close lets the spool go, and says what is left. stop is called before.
func (d *delay) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	n := len(d.waiting)
	if d.log != nil {
		err := d.log.Close()
		if n > 0 {
			err = errors.Join(err, fmt.Errorf("%d delayed messages: %w", n, socket.ErrSpooled))
		}
		return err
	}
	if d.waiting = nil; n > 0 {
		return fmt.Errorf("%d delayed messages are lost: %w", n, socket.ErrClosed)
	}
	return nil
}
