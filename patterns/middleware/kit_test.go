package middleware_test

import (
	"context"
	"errors"
	"testing"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

var errBroken = errors.New("broken")

// delivery returns a first attempt at a message of its own.
func delivery() *patterns.Delivery {
	return &patterns.Delivery{Kind: patterns.Work, Name: "Order", Attempt: 1, Envelope: &codec.Envelope{ID: codec.NewID(), Source: "shop"}}
}

// script is a handler that ends as told, one attempt after the other, and then well. Panics are strings.
type script struct {
	ends  []any
	calls int
}

func (s *script) handle(context.Context, *patterns.Delivery) error {
	s.calls++
	if s.calls > len(s.ends) {
		return nil
	}
	switch end := s.ends[s.calls-1].(type) {
	case error:
		return end
	case string:
		panic(end)
	}
	return nil
}
