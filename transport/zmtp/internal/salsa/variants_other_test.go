//go:build !amd64 || purego

package salsa

func variants() []func(func()) { return []func(func()){func(do func()) { do() }} }
