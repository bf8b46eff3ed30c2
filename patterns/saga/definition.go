package saga

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// Step is one piece of a saga's work on a value of type T.
//
// Do and Undo may be called again for the same saga, after an error or a crash, with the same Key each time: they must see to it that the second time has no
// other effect than the first. What they change in *v is kept if they return nil, and undone if not; fields of T are where a step leaves
// what later ones need, such as the number of a booking. A panic is an error. They must return when ctx ends.
type Step[T any] struct {
	// Name is unique in its definition, without commas.
	Name string
	// Do does it. An error has it called again, up to Attempts times; one that is patterns.ErrPermanent, not. patterns.RetryAfter says when.
	Do func(ctx context.Context, v *T) error
	// Undo compensates for Do. It is called for each step that was begun, the last one first, and so for the one that failed as well, since an error does not tell whether there was
	// an effect: where there was none it does nothing. Nil: there is nothing to undo.
	Undo func(ctx context.Context, v *T) error
	// Pivot is the step after which there is no way back: once it is done the saga only goes forward. A pivot without Undo, whose Do fails without saying by
	// patterns.Permanent that it has had no effect, is parked rather than taken for not done.
	Pivot bool
	// Timeout bounds each call of Do and Undo. Default 1 minute; negative means none.
	Timeout time.Duration
	// Attempts is how often Do is called, before the saga turns back, or is parked after the pivot; and Undo, before it is parked. A crash of the process in the middle of a call is a failed
	// attempt, too. Default 5 and 10; it sets both.
	Attempts int
	// RetryMin and RetryMax bound the pause between attempts, which doubles, half of it drawn. Default 100 ms to 30 s.
	RetryMin, RetryMax time.Duration
}

// Definition says how sagas of one name and version go.
type Definition[T any] struct {
	name    string
	version int
	steps   []Step[T]
	err     error
}

// Define returns a definition with steps in the order in which they are done. A saga is resumed by a definition of the same name and version only, whose steps have the same names: whatever
// changes more than the inside of functions needs another version, next to the old one (WithOlder) until its last saga has ended. A definition that
// makes no sense is an error of the Runner's methods.
func Define[T any](name string, version int, steps ...Step[T]) *Definition[T] {
	d := &Definition[T]{name: name, version: version, steps: append([]Step[T](nil), steps...)}
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: saga %q: %s", socket.ErrOption, name, fmt.Sprintf(format, args...)))
	}
	if name == "" || len(steps) == 0 {
		bad("want a name and at least one step")
	}
	seen := make(map[string]bool)
	for i := range d.steps {
		s := &d.steps[i]
		switch {
		case s.Name == "" || strings.Contains(s.Name, ",") || seen[s.Name]:
			bad("step %d: name %q: want one of its own, without commas", i+1, s.Name)
		case s.Do == nil:
			bad("step %s: no Do", s.Name)
		case s.Attempts < 0 || s.RetryMin < 0 || s.RetryMax < 0:
			bad("step %s: a number below zero", s.Name)
		}
		seen[s.Name] = true
		s.fill()
	}
	d.err = errors.Join(errs...)
	return d
}

func (s *Step[T]) fill() {
	if s.Timeout == 0 {
		s.Timeout = time.Minute
	}
	if s.RetryMin == 0 {
		s.RetryMin = 100 * time.Millisecond
	}
	s.RetryMax = max(s.RetryMin, s.RetryMax)
	if s.RetryMax == s.RetryMin {
		s.RetryMax = max(s.RetryMin, 30*time.Second)
	}
}

// attempts is how often Do or Undo is tried. An effect that cannot be undone is somebody's work at night, so Undo gets more of them.
func (s *Step[T]) attempts(back bool) int {
	switch {
	case s.Attempts > 0:
		return s.Attempts
	case back:
		return 10
	}
	return 5
}

// names is what tells whether a definition has changed.
func (d *Definition[T]) names() string {
	names := make([]string, len(d.steps))
	for i, s := range d.steps {
		names[i] = s.Name
	}
	return strings.Join(names, ",")
}

// decided says whether there is no way back from step i on: a pivot before it is done.
func (d *Definition[T]) decided(i int) bool {
	for _, s := range d.steps[:i] {
		if s.Pivot {
			return true
		}
	}
	return false
}
