//go:build !race

package socket_test

// manyIDs is how many ids an attacker makes up.
const manyIDs = 1_000_000
