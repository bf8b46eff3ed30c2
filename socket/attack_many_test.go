//go:build !race

package socket_test

// How many ids an attacker makes up, and how many peers ask for all of a log at once.
const (
	manyIDs     = 1_000_000
	manyReplays = 10_000
)
