// Package wire turns values into frames and frames into values for the three patterns. It starts no goroutine,
// and its only state is a pool of buffers.
package wire
