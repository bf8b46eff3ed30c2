//go:build !purego

package salsa

import "golang.org/x/sys/cpu"

// variants are the ways that this machine has to do it.
func variants() []func(func()) {
	with := func(quick, roll bool) func(func()) {
		return func(do func()) {
			oldFast, oldRotate := fast, rotate
			fast, rotate = quick, roll
			defer func() { fast, rotate = oldFast, oldRotate }()
			do()
		}
	}
	all := []func(func()){with(false, false)}
	if cpu.X86.HasAVX2 {
		all = append(all, with(true, false))
	}
	if rotate {
		all = append(all, with(true, true))
	}
	return all
}
