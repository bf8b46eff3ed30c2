package zmtp

import (
	"bytes"
	"strings"
)

// GreetingSize is the size of a whole greeting.
const GreetingSize = 64

// Where the parts of a greeting begin.
const (
	greetingSigned    = 9
	greetingMajor     = 10
	greetingMinor     = 11
	greetingMechanism = 12
	greetingServer    = 32
)

// appendGreeting appends our greeting. Its padding is zero, as RFC 37 wants of a peer that does not downgrade: ZMTP
// 1.0 reads it as the length of a frame, for which zero is not allowed, and closes. As-server is zero, as NULL wants.
func appendGreeting(dst []byte, mechanism string) []byte {
	var g [GreetingSize]byte
	g[0], g[greetingSigned] = 0xff, 0x7f
	g[greetingMajor], g[greetingMinor] = 3, 1
	copy(g[greetingMechanism:greetingServer], mechanism)
	return append(dst, g[:]...)
}

// checkGreeting looks at the first octets of a greeting, up to all of it, and refuses it as early as they allow.
// It looks at them in order, so that the verdict on any beginning is the verdict on the whole.
func checkGreeting(b []byte, mechanism string) *HandshakeError {
	if len(b) > 0 && b[0] != 0xff {
		return checkForeign(b)
	}
	// RFC 37, "Version Negotiation": the padding, octets 1 to 8, is not significant.
	if len(b) > greetingSigned && b[greetingSigned] != 0x7f {
		if b[greetingSigned]&1 == 0 { // a final flag of zero: FF begins a long ZMTP 1.0 frame
			return refuse(OldVersion, "the peer speaks ZMTP 1.0, want 3.0 or later")
		}
		return refuse(NotZMTP, "octet 9 of its greeting is 0x%02x, want 0x7f", b[greetingSigned])
	}
	if len(b) > greetingMajor && b[greetingMajor] < 3 {
		// libzmq takes 1 and 2 both for ZMTP 2.0.
		version := [...]string{"1.0", "2.0", "2.0"}[b[greetingMajor]]
		return refuse(OldVersion, "the peer speaks ZMTP %s, want 3.0 or later", version)
	}
	if len(b) >= greetingServer {
		name := bytes.TrimRight(b[greetingMechanism:greetingServer], "\x00")
		if string(name) != mechanism {
			return refuse(MechanismMismatch, "the peer wants mechanism %q, this side %q", printable(name), mechanism)
		}
	}
	// As-server is not looked at: libzmq sends 0 even as the server of PLAIN and CURVE, and ignores what it gets.
	return nil
}

// spokenMinor is the minor version both sides speak, from a whole greeting: RFC 37 has the later side keep to the
// earlier one, so whatever comes after 3.1 is 3.1.
func spokenMinor(greeting []byte) byte {
	if greeting[greetingMajor] == 3 && greeting[greetingMinor] == 0 {
		return 0
	}
	return 1
}

// foreign are the first octets of what else connects to a port, and what to call it.
var foreign = []struct{ start, name string }{
	{"GET ", "HTTP"}, {"HEAD ", "HTTP"}, {"POST ", "HTTP"}, {"PUT ", "HTTP"}, {"DELETE ", "HTTP"},
	{"OPTIONS ", "HTTP"}, {"PATCH ", "HTTP"}, {"CONNECT ", "HTTP"}, {"TRACE ", "HTTP"}, {"HTTP/", "HTTP"},
	{"PRI * ", "HTTP/2"}, {"\x16\x03", "TLS"}, {"SSH-", "SSH"},
}

// checkForeign names a stream that does not begin with FF. It returns nil while b is the beginning of a name it
// knows; that ends after eight octets.
func checkForeign(b []byte) *HandshakeError {
	for _, f := range foreign {
		if bytes.HasPrefix(b, []byte(f.start)) {
			return refuse(NotZMTP, "this is %s", f.name)
		}
		if strings.HasPrefix(f.start, string(b)) {
			return nil
		}
	}
	// A ZMTP 1.0 peer opens with its identity: length plus one, which is never zero, and flags of zero.
	if b[0] != 0 && len(b) == 1 {
		return nil
	}
	if b[0] != 0 && b[1] == 0 {
		return refuse(OldVersion, "this looks like ZMTP 1.0, want 3.0 or later")
	}
	return refuse(NotZMTP, "it begins with 0x%02x, want 0xff", b[0])
}
