package pubsub_test

import (
	"context"
	"testing"
	"time"

	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// within returns a context that ends after a time no test should need.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
