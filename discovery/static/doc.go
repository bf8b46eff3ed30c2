// Package static is a registry in memory: a list written by hand, or parsed from arguments or a
// file, plus whatever is announced to it in this process. It is meant for networks where nothing
// is found by itself, and for tests. Everything that shares a *Registry sees the same list.
//
// It starts no goroutine. The one lock is not held while a caller's code runs.
package static
