package examples_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOfflineSubscriber(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"billing: order 1", "billing: order 2", "billing is away", "billing: order 3", "billing: order 4", "billing: order 5",
		"5 orders, none missed",
	}, run(t, "offline-subscriber"))
}

func TestSharedSubscription(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"killed with order 1 in hand",
		"30 of 30 orders packed, order 1 among them: true",
	}, run(t, "shared-subscription"))
}

func TestReadModel(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"balances: map[anna:42 ben:25] - next event: 6",
		"uses: map[anna:3 ben:3]",
	}, run(t, "read-model"))
}

func TestContentRouting(t *testing.T) {
	t.Parallel()
	lines := run(t, "content-routing")
	require.Len(t, lines, 5)
	assert.ElementsMatch(t, []string{"packer: order 1", "packer: order 2", "board: orders.eu.created number 2", "ribbons: order 3"}, lines[:4])
	assert.Equal(t, `unroutable message: topic "orders.us.created", type "Order", key "" - true`, lines[4])
}
