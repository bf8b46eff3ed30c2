//go:build race

package socket_test

// Fewer where each takes ten times as long.
const (
	manyIDs     = 100_000
	manyReplays = 2_000
)
