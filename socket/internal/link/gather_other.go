//go:build unix && !linux

package link

// gather is for Linux alone: elsewhere several buffers take several calls.
type gather struct{}
