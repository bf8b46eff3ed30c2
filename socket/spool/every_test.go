//go:build !race

package spool_test

// every says which of many like cases are run: all, but one in so many under the race detector.
const every = 1
