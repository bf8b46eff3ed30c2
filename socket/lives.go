package socket

import (
	"fmt"
	"sync"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// lives are the senders with a spool that are connected. Each says which stream it sends, and a number drawn when the spool was opened: two of one stream and different
// numbers are a sender and a copy of its spool, or its process was started anew and we have not noticed yet that the old one is gone. The one that comes second is sent
// away, and asks again; the one that is there is asked for a sign of life.
type lives struct {
	mu    sync.Mutex // guards the fields below
	known map[claim]*life
	of    map[*pipe]claim
}

// claim is what a sender claims to send. Peers of different users, or whose certificates have different names, do not get in each other's way. A key alone is no name: where any is let in
// it may be new each time, and then it would tell a sender from itself.
type claim struct {
	id   [zmtp.StreamIDSize]byte
	user string
	name string // see Peer.TLSName
}

// life is a stream from when its spool was opened.
type life struct {
	drawn uint64
	pipes map[*pipe]*doubt
}

// doubt is that a peer may be gone.
type doubt struct {
	since time.Time
	seq   uint64 // link.In.Seq then
}

// doubtLimit is how long a peer that is doubted may be silent: more than a way around the world and a pause of its process take.
const doubtLimit = 10 * time.Second

// lifeOf returns what a peer says of its stream, if it sends messages that we acknowledge.
func (c *config) lifeOf(metadata zmtp.Metadata, user, name string) (of claim, drawn uint64, some bool) {
	mine, _ := c.offer()
	value, offered := metadata.Get(zmtp.PropertyAck)
	if !mine.Receive || !offered {
		return of, 0, false
	}
	theirs := zmtp.ParseAckOffer(value)
	return claim{theirs.Stream, user, name}, theirs.Life, theirs.Send && theirs.Life != 0
}

// check returns ErrStream if a stream has another life. It is certain if one that is connected has given a sign of life since it was asked for the last time.
func (l *lives) check(of claim, drawn uint64) (certain bool, err error) {
	l.mu.Lock()
	known := l.known[of]
	if known == nil || known.drawn == drawn {
		l.mu.Unlock()
		return false, nil
	}
	var ask, dead []*pipe
	now := time.Now()
	for p, d := range known.pipes {
		seq := p.in.Load().Seq()
		switch {
		case d.since.IsZero() || seq != d.seq || p.paused.Load(): // while the inbox is full nothing is read, so silence means nothing
			certain = certain || !d.since.IsZero() && seq != d.seq
			d.since, d.seq = now, seq // what it said proves nothing later on: it is asked again
			ask = append(ask, p)
		case now.Sub(d.since) >= doubtLimit:
			dead = append(dead, p)
		}
	}
	l.mu.Unlock()
	for _, p := range ask {
		p.heart.Load().ask()
	}
	for _, p := range dead {
		p.kill(fmt.Errorf("%w for %s, and its stream comes from elsewhere", errSilent, doubtLimit))
	}
	return certain, fmt.Errorf("%w: stream %x", ErrStream, of.id)
}

// enter notes a connection, unless its stream has another life.
func (l *lives) enter(p *pipe) error {
	who := p.peer.Load()
	of, drawn, some := p.c.cfg.lifeOf(who.metadata, who.userID, who.TLSName())
	if !some {
		return nil
	}
	if _, err := l.check(of, drawn); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known, l.of = map[claim]*life{}, map[*pipe]claim{}
	}
	known := l.known[of]
	if known == nil {
		known = &life{drawn: drawn, pipes: map[*pipe]*doubt{}}
		l.known[of] = known
	}
	if known.drawn != drawn { // it came in between
		return fmt.Errorf("%w: stream %x", ErrStream, of.id)
	}
	known.pipes[p] = &doubt{}
	l.of[p] = of
	return nil
}

// leave forgets a connection.
func (l *lives) leave(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, some := l.of[p]
	if !some {
		return
	}
	delete(l.of, p)
	known := l.known[of]
	if delete(known.pipes, p); len(known.pipes) == 0 {
		delete(l.known, of)
	}
}
