package jetstream

import (
	"fmt"
	"maps"
	"slices"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

var _ socket.SpoolNames = (*Spool)(nil)

// Kind returns what the spool was made as.
func (s *Spool) Kind() spool.Kind { return s.options.Kind }

// Consumers returns the names of all consumers, sorted; that of a queue, "", is not among them.
func (s *Spool) Consumers() []string {
	s.at.Lock()
	defer s.at.Unlock()
	var names []string
	for _, token := range slices.Sorted(maps.Keys(s.positions)) {
		if name := nameOf(token); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// RemoveConsumer forgets a consumer and its position. The servers forget it within 50 ms, and before a new one of that name is written.
// Removing one that is not there is spool.ErrNoConsumer, and
// any while nothing may be removed from their stream ErrDenied.
func (s *Spool) RemoveConsumer(name string) error {
	if err := s.err(); err != nil {
		return err
	}
	s.at.Lock()
	defer s.at.Unlock()
	token := tokenOf(name)
	c := s.positions[token]
	if name == "" || c == nil {
		return fmt.Errorf("remove %q: %w", name, spool.ErrNoConsumer)
	}
	if err := s.removable(); err != nil {
		return fmt.Errorf("remove %q: %w", name, err)
	}
	delete(s.positions, token)
	c.gone = true
	s.removed = append(s.removed, c)
	poke(s.soon)
	return nil
}

// never is more than any count of changes: a consumer that was removed waits for it until it is erased.
const never = ^uint64(0)

// erase has the servers forget the consumers that were removed.
func (s *Spool) erase() error {
	s.at.Lock()
	removed := slices.Clone(s.removed)
	s.at.Unlock()
	for _, c := range removed {
		if err := s.eraseOne(c); err != nil {
			return err
		}
	}
	s.at.Lock()
	defer s.at.Unlock()
	s.removed = s.removed[len(removed):]
	return nil
}

func (s *Spool) eraseOne(c *consumer) error {
	ctx, cancel := s.patient(s.ctx)
	defer cancel()
	if err := s.catchUp(ctx, c, nil); err != nil {
		return err
	}
	if c.revision > 0 {
		if err := s.drop(ctx, c.subject(), c.revision); err != nil {
			return err
		}
	}
	s.at.Lock()
	defer s.at.Unlock()
	c.written = never // and nobody waits for what it said
	return nil
}
