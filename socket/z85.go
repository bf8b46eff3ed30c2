package socket

import (
	"fmt"
	"strings"
)

// z85 is the alphabet of Z85 (RFC 32): no quotes and no backslash, so that it goes into configuration files and shells.
const z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

// EncodeZ85 writes octets as text, five characters for four octets (RFC 32, zmq_z85_encode). Their number must be a multiple of four.
func EncodeZ85(b []byte) (string, error) {
	if len(b)%4 != 0 {
		return "", fmt.Errorf("z85: %d octets, want a multiple of 4", len(b))
	}
	out := make([]byte, 0, len(b)/4*5)
	for ; len(b) > 0; b = b[4:] {
		value := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		for place := uint32(85 * 85 * 85 * 85); place > 0; place /= 85 {
			out = append(out, z85[value/place%85])
		}
	}
	return string(out), nil
}

// DecodeZ85 reads what EncodeZ85 wrote (zmq_z85_decode). The error names the place of what is wrong, not the text, which may be a secret.
func DecodeZ85(text string) ([]byte, error) {
	if len(text)%5 != 0 {
		return nil, fmt.Errorf("z85: %d characters, want a multiple of 5", len(text))
	}
	out := make([]byte, 0, len(text)/5*4)
	for at := 0; at < len(text); at += 5 {
		value := uint64(0)
		for i := range 5 {
			digit := strings.IndexByte(z85, text[at+i])
			if digit < 0 {
				return nil, fmt.Errorf("z85: character %d is none of the alphabet", at+i+1)
			}
			value = value*85 + uint64(digit)
		}
		if value > 1<<32-1 {
			return nil, fmt.Errorf("z85: characters %d to %d are more than four octets can hold", at+1, at+5)
		}
		out = append(out, byte(value>>24), byte(value>>16), byte(value>>8), byte(value))
	}
	return out, nil
}
