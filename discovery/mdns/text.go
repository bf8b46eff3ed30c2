package mdns

import "strings"

// escape writes s as miekg/dns wants a TXT string: in the form of a zone file (RFC 1035, 5.1).
func escape(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

// unescape returns the bytes of a TXT string from miekg/dns: \DDD is a byte in decimal, \X is X.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + (s[i+3] - '0'))
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
