//go:build gc

#include "textflag.h"

// func stackBounds() (lo, hi uintptr)
// The goroutine's own record begins with them.
TEXT ·stackBounds(SB), NOSPLIT, $0-16
	MOVQ (TLS), AX
	MOVQ 0(AX), CX
	MOVQ CX, lo+0(FP)
	MOVQ 8(AX), CX
	MOVQ CX, hi+8(FP)
	RET
