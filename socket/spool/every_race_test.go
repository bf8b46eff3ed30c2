//go:build race

package spool_test

const (
	seldom      = 61
	memoryTimes = 4 // the detector remembers who looked at which bytes
)
