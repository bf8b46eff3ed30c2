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
		"order 1: payments hears order.placed and says payment.received",
		"order 1: shipping hears payment.received and says parcel.sent",
		"order 1: orders hears parcel.sent and says order.closed.shipped",
		"order 1: ended, the same conversation: true",
		"order 2: payments hears order.placed and says payment.refused",
		"order 2: orders hears payment.refused and says order.closed.unpaid",
		"order 2: ended, the same conversation: true",
	}, run(t, "choreography"))
}
