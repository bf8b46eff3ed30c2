//go:build gc && (amd64 || arm64)

package link

// stackBounds returns where the stack of this goroutine lies, from lo to hi.
func stackBounds() (lo, hi uintptr)
