package examples_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSaga(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"seats: 12A is reserved",
		"bank: paid 80",
		"tickets: out of order",
		"tickets: sent, for seat 12A",
		"trip for 80 is completed",
		"seats: 12A is reserved",
		"bank: declined",
		"bank: nothing to pay back",
		"seats: 12A is free again",
		"trip for 800 is compensated",
	}, run(t, "saga"))
}

func TestChoreography(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"orders: order.placed, order 1",
		"payments: payment.received, order 1",
		"shipping: parcel.sent, order 1",
		"orders: order.completed, order 1",
		"orders: order.placed, order 2",
		"payments: payment.refused, order 2",
		"orders: order.cancelled, order 2",
	}, run(t, "choreography"))
}
