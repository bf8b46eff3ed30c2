package socket

import (
	"fmt"
	"sync"
)

// giveUpLocked makes a message a dead letter.
func (a *assured) giveUpLocked(r redelivery) {
	a.c.sent.dead.Add(1)
	frames := r.Frames
	if r.to != "" {
		frames = append([][]byte{[]byte(r.to)}, frames...)
	}
	a.holdLocked(r.to, r.Size)
	a.letters.put(letter{DeadLetter{Number: r.Number, Reason: r.reason, Attempts: r.Failed, Frames: frames}, r.to, r.Size})
}

// bury reports a dead letter.
func (c *core) bury(d DeadLetter) {
	c.hub.emit(Event{Kind: DeadLettered, Name: d.Name, Err: fmt.Errorf("message %d: %s", d.Number, d.Reason), Count: 1})
	if f := c.cfg.onDeadLetter; f != nil {
		d.Frames = cloneFrames(d.Frames)
		f(d)
	}
}

// letter is a dead letter on its way to who is told of it.
type letter struct {
	DeadLetter
	to   string
	size int
}

// load is how many messages there are, and bytes in them.
type load struct{ msgs, bytes int }

// holdLocked counts a message that no peer has any more, and that is not done with: those for one place, or for whoever has room, are as many as the high-water mark
// says, or nothing is taken for them. So who has all put off, or is slow to hear of dead letters, holds Send up in the end.
func (a *assured) holdLocked(to string, size int) {
	h := a.held[to]
	a.held[to] = load{h.msgs + 1, h.bytes + size}
}

// releaseLocked is the opposite of holdLocked. It reports whether there was no room before.
func (a *assured) releaseLocked(to string, size int) (stuck bool) {
	stuck = a.fullLocked(to)
	h := a.held[to]
	if h = (load{h.msgs - 1, h.bytes - size}); h.msgs > 0 {
		a.held[to] = h
	} else {
		delete(a.held, to)
	}
	return stuck
}

// fullLocked reports whether nothing new is taken for a place, because of what is held.
func (a *assured) fullLocked(to string) bool {
	if len(a.held) == 0 {
		return false
	}
	h, mark, bytes := a.held[to], a.mark, a.c.cfg.sendHWMBytes
	return mark > 0 && h.msgs >= mark || bytes > 0 && h.bytes >= bytes
}

// setMark changes the high-water mark.
func (a *assured) setMark(messages int) {
	a.mu.Lock()
	a.mark = messages
	a.wait.wakeAll()
	a.mu.Unlock()
}

// letters passes dead letters on, one at a time.
type letters struct {
	a *assured

	mu      sync.Mutex // guards the fields below
	queue   []letter
	working chan struct{} // closed when the goroutine that passes them on has ended, nil while there is none
}

// put passes on one more. It takes no part in what the caller of it locks.
func (l *letters) put(d letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, d)
	if l.working == nil {
		l.working = make(chan struct{})
		go l.work(l.working) // ends when the queue is empty; finish waits for it
	}
}

func (l *letters) work(done chan struct{}) {
	defer close(done)
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.working = nil
			l.mu.Unlock()
			return
		}
		d := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		l.a.passed(d)
		l.a.c.bury(d.DeadLetter)
		if l.a.c.cfg.onDeadLetter == nil {
			l.a.c.drop(nil, DropDead, 1)
		}
	}
}

// passed notes that a dead letter waits no more.
func (a *assured) passed(d letter) {
	a.mu.Lock()
	if a.releaseLocked(d.to, d.size) {
		a.wait.wakeAll()
	}
	a.mu.Unlock()
}

// finish returns when all are passed on.
func (l *letters) finish() {
	l.mu.Lock()
	working := l.working
	l.mu.Unlock()
	if working != nil {
		<-working
	}
}
