package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxInprocName = 255  // what a line of a log or a table can still show; libzmq's limit is 256
	maxHostName   = 253  // RFC 1035, 2.3.4: 255 octets on the wire
	maxHostLabel  = 63   // RFC 1035, 2.3.4
	maxPath       = 1024 // with the rest of an HTTP request it is far below what servers take
)

// hostPort is one end of a tcp, tls+tcp, ws or wss endpoint. The host is an IP address in canonical form, without brackets,
// a name, or * for all interfaces; port 0 is any free port.
type hostPort struct {
	host string
	port uint16
}

func (a hostPort) String() string {
	return net.JoinHostPort(a.host, strconv.Itoa(int(a.port)))
}

// parse reads what bind and connect have in common. It returns the problem, or an empty string.
func parse(s string) (e Endpoint, problem string) {
	if i := strings.IndexFunc(s, unprintable); i >= 0 {
		return e, fmt.Sprintf("byte %d is a space, a control character or not UTF-8; remove it", i+1)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" {
		return e, "the scheme is missing; begin with tcp://, tls+tcp://, ipc://, inproc://, ws:// or wss://"
	}
	e.scheme = scheme
	switch scheme {
	case "tcp", "tls+tcp":
		problem = e.parseTCP(rest)
	case "ws", "wss":
		problem = e.parseWS(rest)
	case "ipc":
		e.name, problem = rest, ipcProblem(rest)
	case "inproc":
		e.name, problem = rest, inprocProblem(rest)
	default:
		problem = fmt.Sprintf("unknown scheme %.20q; known are tcp, tls+tcp, ipc, inproc, ws and wss", scheme)
	}
	return e, problem
}

func unprintable(r rune) bool {
	return r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r)
}

func (e *Endpoint) parseTCP(s string) (problem string) {
	if address, tail, found := strings.Cut(s, "/"); found {
		return fmt.Sprintf("nothing may follow the port; write %s://%.80s without %.40q", e.scheme, address, "/"+tail)
	}
	if source, address, found := strings.Cut(s, ";"); found {
		if e.source, problem = e.parseHostPort(source); problem != "" {
			return "source address: " + problem
		}
		s = address
	}
	e.addr, problem = e.parseHostPort(s)
	return problem
}

// wellKnown are the ports of endpoints that name none (RFC 6455, 3).
var wellKnown = map[string]uint16{"ws": 80, "wss": 443}

func (e *Endpoint) parseWS(s string) (problem string) {
	address, path, _ := strings.Cut(s, "/")
	if strings.Contains(address, ";") {
		return "a source address (before the ;) is for tcp and tls+tcp only"
	}
	if e.addr, problem = e.parseHostPort(address); problem != "" {
		return problem
	}
	if path != "" {
		e.name = "/" + path
	}
	return pathProblem(e.name)
}

// pathProblem looks at the path and query of a URL (RFC 3986, 3.3 and 3.4).
func pathProblem(path string) string {
	if len(path) > maxPath {
		return fmt.Sprintf("the path is %d bytes long; at most %d are allowed", len(path), maxPath)
	}
	if strings.HasPrefix(path, "//") {
		return "the path begins with two slashes; write ws://host:port/path"
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%' && !(i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2])):
			return "a % in the path without two hexadecimal digits behind it"
		case c >= 0x80 || strings.IndexByte(`"#<>\^`+"`{|}", c) >= 0:
			return fmt.Sprintf("%q in the path; write it as %%%02X", c, c)
		}
	}
	return ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func (e *Endpoint) parseHostPort(s string) (a hostPort, problem string) {
	a.port = wellKnown[e.scheme]
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || colon < strings.LastIndexByte(s, ']') {
		if a.port == 0 || s == "" {
			return a, "the port is missing; write " + e.scheme + "://host:port"
		}
		a.host, problem = parseHost(s, e.scheme)
		return a, problem
	}
	if a.host, problem = parseHost(s[:colon], e.scheme); problem != "" {
		return a, problem
	}
	a.port, problem = parsePort(s[colon+1:], e.scheme)
	return a, problem
}

func parseHost(s, scheme string) (host, problem string) {
	literal, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		if literal, bracketed = strings.CutSuffix(literal, "]"); !bracketed {
			return "", fmt.Sprintf("malformed host %.60q; write [IPv6 address]:port", s)
		}
	}
	addr, err := netip.ParseAddr(literal)
	switch {
	case s == "":
		return "", "the host is missing; write " + scheme + "://host:port, or " + scheme + "://*:port to bind all interfaces"
	case s == "*":
		return s, ""
	case bracketed && (err != nil || !addr.Is6() || addr.Zone() != "" && !isName(addr.Zone())):
		return "", fmt.Sprintf("%.60q is not an IPv6 address, which is what brackets are for", literal)
	case !bracketed && strings.Contains(s, ":"):
		return "", "a colon in the host; an IPv6 address needs brackets: " + scheme + "://[address]:port"
	case err == nil:
		return addr.Unmap().String(), ""
	}
	return s, nameProblem(s)
}

// nameProblem looks at a DNS or interface name. The rules are those of host names, and the underscore,
// which both kinds have in practice.
func nameProblem(name string) string {
	if strings.Trim(name, "0123456789.") == "" {
		return fmt.Sprintf("%.60q is not an IPv4 address; write four numbers from 0 to 255", name)
	}
	if len(name) > maxHostName {
		return fmt.Sprintf("the host name is %d bytes long; at most %d are possible", len(name), maxHostName)
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if len(label) > maxHostLabel || !isName(label) || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Sprintf("malformed host name %.60q; between its dots are 1 to %d letters, digits, _ and inner -"+
				" (an international name in its xn-- form)", name, maxHostLabel)
		}
	}
	return ""
}

// isName reports whether s is made of ASCII letters, digits, _, - and dots, and of at least one.
func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		return !letter && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
}

func parsePort(s, scheme string) (port uint16, problem string) {
	switch s {
	case "":
		return 0, "the port is missing; write " + scheme + "://host:port"
	case "*":
		return 0, ""
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) > len("65535") {
		return 0, fmt.Sprintf("port %.20q is not a number from 0 to 65535", s)
	}
	return uint16(n), ""
}

func ipcProblem(path string) string {
	switch {
	case path == "" || path == "@":
		return "the path is missing; write ipc:///path, or ipc://@name for an abstract name"
	case len(path) > maxSocketPath:
		return fmt.Sprintf("the path is %d bytes long; a socket's path has at most %d", len(path), maxSocketPath)
	case path[0] != '@' && strings.HasSuffix(path, "/"):
		return "the path names a folder; add the name of the socket's file"
	}
	return ""
}

func inprocProblem(name string) string {
	switch {
	case name == "":
		return "the name is missing; write inproc://name"
	case name == "*":
		return "inproc has no wildcard; choose a name"
	case len(name) > maxInprocName:
		return fmt.Sprintf("the name is %d bytes long; at most %d are allowed", len(name), maxInprocName)
	}
	return ""
}
