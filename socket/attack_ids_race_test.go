//go:build race

package socket_test

// manyIDs is fewer where each takes ten times as long.
const manyIDs = 100_000
