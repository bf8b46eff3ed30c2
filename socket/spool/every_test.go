//go:build !race

package spool_test

const (
	seldom      = 11
	memoryTimes = 1
)
