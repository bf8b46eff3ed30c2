//go:build !purego

#include "textflag.h"

// Word i of the state of eight blocks is one vector. On the stack: the state under way at 32*i, the one that the rounds begin with at 512+32*i.
//
//	 0  1  2  3     sigma key   key   key
//	 4  5  6  7     key   sigma nonce nonce
//	 8  9 10 11     block block sigma key
//	12 13 14 15     key   key   key   sigma

DATA lanes<>+0(SB)/8, $0x0000000100000000
DATA lanes<>+8(SB)/8, $0x0000000300000002
DATA lanes<>+16(SB)/8, $0x0000000500000004
DATA lanes<>+24(SB)/8, $0x0000000700000006
GLOBL lanes<>(SB), RODATA|NOPTR, $32

DATA eight<>+0(SB)/4, $8
GLOBL eight<>(SB), RODATA|NOPTR, $4

DATA sigma<>+0(SB)/4, $0x61707865
DATA sigma<>+4(SB)/4, $0x3320646e
DATA sigma<>+8(SB)/4, $0x79622d32
DATA sigma<>+12(SB)/4, $0x6b206574
GLOBL sigma<>(SB), RODATA|NOPTR, $16

#define SPREAD(from, word) \
	VPBROADCASTD from, Y0; \
	VMOVDQU Y0, (512+32*(word))(SP)

// START takes the arguments and makes the state that the rounds of the first eight blocks begin with.
#define START \
	MOVQ out+0(FP), DI; \
	MOVQ in+8(FP), SI; \
	MOVQ n+16(FP), CX; \
	MOVQ key+24(FP), R8; \
	MOVQ counter+32(FP), R9; \
	SPREAD(sigma<>+0(SB), 0); \
	SPREAD(0(R8), 1); \
	SPREAD(4(R8), 2); \
	SPREAD(8(R8), 3); \
	SPREAD(12(R8), 4); \
	SPREAD(sigma<>+4(SB), 5); \
	SPREAD(0(R9), 6); \
	SPREAD(4(R9), 7); \
	SPREAD(8(R9), 8); \
	SPREAD(12(R9), 9); \
	SPREAD(sigma<>+8(SB), 10); \
	SPREAD(16(R8), 11); \
	SPREAD(20(R8), 12); \
	SPREAD(24(R8), 13); \
	SPREAD(28(R8), 14); \
	SPREAD(sigma<>+12(SB), 15); \
	VMOVDQU (512+32*8)(SP), Y0; \
	VPADDD lanes<>(SB), Y0, Y0; \
	VMOVDQU Y0, (512+32*8)(SP)

// LINE adds the beginning of the state to what the rounds made of it.
#define LINE(word, reg) \
	VMOVDQU (32*(word))(SP), reg; \
	VPADDD (512+32*(word))(SP), reg, reg

// BLOCKS puts two blocks' octets out, half a block each.
#define BLOCKS(low, high, at) \
	VPERM2I128 $0x20, high, low, Y12; \
	VPERM2I128 $0x31, high, low, Y13; \
	VPXOR (at)(SI), Y12, Y12; \
	VPXOR (at+256)(SI), Y13, Y13; \
	VMOVDQU Y12, (at)(DI); \
	VMOVDQU Y13, (at+256)(DI)

// HALF puts out the eight words of each block from first on: it turns words of blocks into blocks of words.
#define HALF(first) \
	LINE(first+0, Y0); \
	LINE(first+1, Y1); \
	LINE(first+2, Y2); \
	LINE(first+3, Y3); \
	LINE(first+4, Y4); \
	LINE(first+5, Y5); \
	LINE(first+6, Y6); \
	LINE(first+7, Y7); \
	VPUNPCKLDQ Y1, Y0, Y8; \
	VPUNPCKHDQ Y1, Y0, Y9; \
	VPUNPCKLDQ Y3, Y2, Y10; \
	VPUNPCKHDQ Y3, Y2, Y11; \
	VPUNPCKLQDQ Y10, Y8, Y0; \
	VPUNPCKHQDQ Y10, Y8, Y1; \
	VPUNPCKLQDQ Y11, Y9, Y2; \
	VPUNPCKHQDQ Y11, Y9, Y3; \
	VPUNPCKLDQ Y5, Y4, Y8; \
	VPUNPCKHDQ Y5, Y4, Y9; \
	VPUNPCKLDQ Y7, Y6, Y10; \
	VPUNPCKHDQ Y7, Y6, Y11; \
	VPUNPCKLQDQ Y10, Y8, Y4; \
	VPUNPCKHQDQ Y10, Y8, Y5; \
	VPUNPCKLQDQ Y11, Y9, Y6; \
	VPUNPCKHQDQ Y11, Y9, Y7; \
	BLOCKS(Y0, Y4, 4*(first)); \
	BLOCKS(Y1, Y5, 4*(first)+64); \
	BLOCKS(Y2, Y6, 4*(first)+128); \
	BLOCKS(Y3, Y7, 4*(first)+192)

// PUT puts out eight blocks and goes on to the next.
#define PUT \
	HALF(0); \
	HALF(8); \
	VPBROADCASTD eight<>(SB), Y0; \
	VPADDD (512+32*8)(SP), Y0, Y0; \
	VMOVDQU Y0, (512+32*8)(SP); \
	ADDQ $512, SI; \
	ADDQ $512, DI; \
	DECQ CX

// STEP is to ^= (a + b) <<< left.
#define STEP(a, b, to, left) \
	VPADDD a, b, Y4; \
	VPSLLD $left, Y4, Y5; \
	VPSRLD $(32-left), Y4, Y4; \
	VPXOR Y5, to, to; \
	VPXOR Y4, to, to

// QUARTER is a quarter round whose first word is in a register, the others are on the stack.
#define QUARTER(a, b, c, d) \
	VMOVDQU (32*b)(SP), Y1; \
	VMOVDQU (32*c)(SP), Y2; \
	VMOVDQU (32*d)(SP), Y3; \
	STEP(a, Y3, Y1, 7); \
	STEP(Y1, a, Y2, 9); \
	STEP(Y2, Y1, Y3, 13); \
	STEP(Y3, Y2, a, 18); \
	VMOVDQU Y1, (32*b)(SP); \
	VMOVDQU Y2, (32*c)(SP); \
	VMOVDQU Y3, (32*d)(SP)

#define COPY(word) \
	VMOVDQU (512+32*(word))(SP), Y0; \
	VMOVDQU Y0, (32*(word))(SP)

// func xorAVX2(out, in *byte, n uint64, key *[32]byte, counter *[16]byte)
TEXT ·xorAVX2(SB), 0, $1024-40
	START

blocks:
	COPY(1)
	COPY(2)
	COPY(3)
	COPY(4)
	COPY(6)
	COPY(7)
	COPY(8)
	COPY(9)
	COPY(11)
	COPY(12)
	COPY(13)
	COPY(14)
	VMOVDQU (512+32*0)(SP), Y12
	VMOVDQU (512+32*5)(SP), Y13
	VMOVDQU (512+32*10)(SP), Y14
	VMOVDQU (512+32*15)(SP), Y15
	MOVQ $10, DX

rounds:
	QUARTER(Y12, 4, 8, 12)
	QUARTER(Y13, 9, 13, 1)
	QUARTER(Y14, 14, 2, 6)
	QUARTER(Y15, 3, 7, 11)
	QUARTER(Y12, 1, 2, 3)
	QUARTER(Y13, 6, 7, 4)
	QUARTER(Y14, 11, 8, 9)
	QUARTER(Y15, 12, 13, 14)
	DECQ DX
	JNZ rounds

	VMOVDQU Y12, (32*0)(SP)
	VMOVDQU Y13, (32*5)(SP)
	VMOVDQU Y14, (32*10)(SP)
	VMOVDQU Y15, (32*15)(SP)
	PUT
	JNZ blocks
	VZEROALL
	RET

// FOUR is a step of the four quarter rounds of a round, with a register for each word.
#define FOUR(a0, b0, to0, a1, b1, to1, a2, b2, to2, a3, b3, to3, left) \
	VPADDD a0, b0, Y16; \
	VPADDD a1, b1, Y17; \
	VPADDD a2, b2, Y18; \
	VPADDD a3, b3, Y19; \
	VPROLD $left, Y16, Y16; \
	VPROLD $left, Y17, Y17; \
	VPROLD $left, Y18, Y18; \
	VPROLD $left, Y19, Y19; \
	VPXORD Y16, to0, to0; \
	VPXORD Y17, to1, to1; \
	VPXORD Y18, to2, to2; \
	VPXORD Y19, to3, to3

#define EACH(with) \
	with(0, Y0); \
	with(1, Y1); \
	with(2, Y2); \
	with(3, Y3); \
	with(4, Y4); \
	with(5, Y5); \
	with(6, Y6); \
	with(7, Y7); \
	with(8, Y8); \
	with(9, Y9); \
	with(10, Y10); \
	with(11, Y11); \
	with(12, Y12); \
	with(13, Y13); \
	with(14, Y14); \
	with(15, Y15)

#define LOAD(word, reg) VMOVDQU (512+32*(word))(SP), reg
#define STORE(word, reg) VMOVDQU reg, (32*(word))(SP)

// func xorAVX512(out, in *byte, n uint64, key *[32]byte, counter *[16]byte)
TEXT ·xorAVX512(SB), 0, $1024-40
	START

blocks:
	EACH(LOAD)
	MOVQ $10, DX

rounds:
	FOUR(Y0, Y12, Y4, Y5, Y1, Y9, Y10, Y6, Y14, Y15, Y11, Y3, 7)
	FOUR(Y4, Y0, Y8, Y9, Y5, Y13, Y14, Y10, Y2, Y3, Y15, Y7, 9)
	FOUR(Y8, Y4, Y12, Y13, Y9, Y1, Y2, Y14, Y6, Y7, Y3, Y11, 13)
	FOUR(Y12, Y8, Y0, Y1, Y13, Y5, Y6, Y2, Y10, Y11, Y7, Y15, 18)
	FOUR(Y0, Y3, Y1, Y5, Y4, Y6, Y10, Y9, Y11, Y15, Y14, Y12, 7)
	FOUR(Y1, Y0, Y2, Y6, Y5, Y7, Y11, Y10, Y8, Y12, Y15, Y13, 9)
	FOUR(Y2, Y1, Y3, Y7, Y6, Y4, Y8, Y11, Y9, Y13, Y12, Y14, 13)
	FOUR(Y3, Y2, Y0, Y4, Y7, Y5, Y9, Y8, Y10, Y14, Y13, Y15, 18)
	DECQ DX
	JNZ rounds

	EACH(STORE)
	PUT
	JNZ blocks
	VZEROALL
	RET
