package pubsub

import (
	"errors"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

// worse returns which of two handlers' errors decides what becomes of an event that both got. One that trying again may mend goes before one that nothing mends, so that the
// event comes again for the one; the other says the same then. Of two such the one that asks for the longer pause does.
func worse(a, b error) error {
	switch x, y := weigh(a), weigh(b); {
	case x > y:
		return a
	case x < y:
		return b
	}
	if weigh(a) == 0 {
		return nil
	}
	p, _ := patterns.Pause(a)
	if q, _ := patterns.Pause(b); q > p {
		return b
	}
	return a
}

// weigh orders what handlers return. What has expired is done with.
func weigh(err error) int {
	switch {
	case err == nil, errors.Is(err, patterns.ErrExpired):
		return 0
	case intake.Hopeless(err):
		return 1
	}
	return 2
}
