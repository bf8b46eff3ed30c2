package zmtp

import (
	"bytes"
	"encoding/binary"
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

// ourGreeting is the greeting of a side with this mechanism. padding is what stands in its octets 1 to 8: zero where no
// older version is spoken, as RFC 37 wants, since ZMTP 1.0 reads it as the length of a frame, for which zero is not
// allowed, and closes.
func ourGreeting(mechanism string, asServer bool, padding uint64) (g [GreetingSize]byte) {
	g[0], g[greetingSigned] = 0xff, 0x7f
	binary.BigEndian.PutUint64(g[1:greetingSigned], padding)
	g[greetingMajor], g[greetingMinor] = 3, 1
	copy(g[greetingMechanism:greetingServer], mechanism)
	if asServer {
		g[greetingServer] = 1
	}
	return g
}

// versionOf tells from a peer's first octets which ZMTP it speaks: 1, 2, or 3 for that and all that is newer, and 0
// while they do not show it. It looks at them in order, so that the verdict on any beginning is that on the whole.
func versionOf(b []byte) (major byte, refused *HandshakeError) {
	switch {
	case len(b) == 0:
		return 0, nil
	case b[0] != 0xff:
		return versionOfShort(b)
	case len(b) <= greetingSigned:
		return 0, nil // RFC 37, "Version Negotiation": the padding, octets 1 to 8, is not significant
	case b[greetingSigned]&1 == 0:
		return 1, nil // a final flag of zero: FF begins a long frame of ZMTP 1.0
	case b[greetingSigned] != 0x7f:
		return 0, refuse(NotZMTP, "octet 9 of its greeting is 0x%02x, want 0x7f", b[greetingSigned])
	case len(b) <= greetingMajor:
		return 0, nil
	case b[greetingMajor] == 0:
		return 0, refuse(OldVersion, "the peer announces version 0, want 1 or later")
	case b[greetingMajor] < 3:
		return 2, nil // libzmq takes 1 and 2 both for ZMTP 2.0
	}
	return 3, nil
}

// checkMechanism holds the mechanism in the peer's greeting, as far as that has come, against ours. As-server says nothing if it
// is zero: libzmq sends that even as the server of PLAIN and CURVE, and ignores what it gets.
func checkMechanism(greeting []byte, ours string) *HandshakeError {
	if len(greeting) < greetingServer {
		return nil
	}
	name := bytes.TrimRight(greeting[greetingMechanism:greetingServer], "\x00")
	if string(name) != ours {
		return refuse(MechanismMismatch, "the peer wants mechanism %q, this side %q", printable(name), ours)
	}
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
	{"PRI * ", "HTTP/2"}, {"\x16\x03", "TLS"}, {"\x15\x03", "TLS"}, {"SSH-", "SSH"},
}

// versionOfShort judges a stream that does not begin with FF. It returns 0 while b is the beginning of a name it
// knows; that ends after eight octets.
func versionOfShort(b []byte) (major byte, refused *HandshakeError) {
	for _, f := range foreign {
		if bytes.HasPrefix(b, []byte(f.start)) {
			return 0, refuse(NotZMTP, "this is %s", f.name)
		}
		if strings.HasPrefix(f.start, string(b)) {
			return 0, nil
		}
	}
	switch {
	case b[0] == 0:
	case len(b) == 1:
		return 0, nil
	// A ZMTP 1.0 peer opens with its identity: length plus one, which is never zero, and flags. RFC 13 wants those
	// unchecked, since libzmq 2 sends 7e; but if any flags would do, whatever comes to a port would be a peer.
	case b[1] == 0 || b[1] == 0x7e:
		return 1, nil
	}
	return 0, refuse(NotZMTP, "it begins with 0x%02x, want 0xff", b[0])
}
