package socket

import (
	"context"
	"sync"
)

// settlements tell who waits for them that messages were settled.
type settlements struct {
	mu   sync.Mutex
	more chan struct{} // closed at the next one; nil while nobody waits
}

func (s *settlements) await() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return s.more
}

func (s *settlements) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
}

// waitAcked waits until all that is in the spool so far is settled, with peers or until there are some.
func (s *spooler) waitAcked(ctx context.Context) error {
	for last := s.spool.State().Next - 1; ; {
		more := s.settlements.await()
		if floor, _ := s.from.Position(); floor >= last {
			return nil
		}
		if err := s.broken(); err != nil {
			return err
		}
		s.c.listen()
		select {
		case <-more:
		case <-s.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return &blocked{nil, ctx.Err()}
		}
	}
}
