package zmtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Names of the properties ZMTP defines. libzmq compares them with case, so they are sent exactly like this.
const (
	PropertySocketType = "Socket-Type"
	PropertyIdentity   = "Identity"
)

const (
	// maxProperties bounds the work of ParseMetadata. libzmq sends two; applications add a handful.
	maxProperties = 32
	// maxMetadata bounds what ParseMetadata copies, whatever MaxCommand allows: metadata describes a peer, it is
	// not a way to send files.
	maxMetadata = 64 << 10
)

// ErrMetadata is wrapped by every error about metadata.
var ErrMetadata = errors.New("zmtp: malformed metadata")

var errManyProperties = fmt.Errorf("%w", ErrMetadata)

// Property is one name and value of metadata. The name is 1 to 255 letters, digits and "-_.+", compared without case.
type Property struct {
	Name  string
	Value []byte
}

// Metadata is what peers tell each other in the handshake, in the order sent.
type Metadata []Property

// Get returns the value of the named property, and whether it is there. Case is ignored. The value is shared.
func (m Metadata) Get(name string) ([]byte, bool) {
	for _, p := range m {
		if strings.EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return nil, false
}

// AppendMetadata appends the properties as they stand in READY. It panics on a name that is not 1 to 255 octets.
func AppendMetadata(dst []byte, m Metadata) []byte {
	for _, p := range m {
		dst = appendName(dst, p.Name)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.Value)))
		dst = append(dst, p.Value...)
	}
	return dst
}

// ParseMetadata reads properties to the end of b and copies them. It refuses whatever is cut short, misnamed or
// named twice, more than 32 properties and more than 64 KiB.
func ParseMetadata(b []byte) (Metadata, error) { return parseMetadata(b, maxProperties) }

// parseMetadata is ParseMetadata with another bound on the number of properties.
func parseMetadata(b []byte, most int) (Metadata, error) {
	if len(b) > maxMetadata {
		return nil, fmt.Errorf("%w: %d octets, want at most %d", ErrMetadata, len(b), maxMetadata)
	}
	var m Metadata
	for len(b) > 0 {
		if len(m) == most {
			return nil, fmt.Errorf("%w: more than %d properties", errManyProperties, most)
		}
		p, rest, err := parseProperty(b)
		if err != nil {
			return nil, err
		}
		if _, twice := m.Get(p.Name); twice {
			return nil, fmt.Errorf("%w: property %s is there twice", ErrMetadata, p.Name)
		}
		m, b = append(m, p), rest
	}
	return m, nil
}

func parseProperty(b []byte) (p Property, rest []byte, err error) {
	end := 1 + int(b[0])
	if end > len(b) {
		return p, nil, fmt.Errorf("%w: a property name of %d octets, %d left", ErrMetadata, b[0], len(b)-1)
	}
	p.Name, b = string(b[1:end]), b[end:]
	if err := checkPropertyName(p.Name); err != nil {
		return p, nil, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	if len(b) < 4 {
		return p, nil, fmt.Errorf("%w: property %s has no value length", ErrMetadata, p.Name)
	}
	// RFC 37: a value has at most 2^31-1 octets; what is left of b is far less.
	size := binary.BigEndian.Uint32(b)
	b = b[4:]
	if uint64(size) > uint64(len(b)) {
		return p, nil, fmt.Errorf("%w: property %s claims %d octets, %d left", ErrMetadata, p.Name, size, len(b))
	}
	p.Value = bytes.Clone(b[:size])
	return p, b[size:], nil
}

// checkPropertyName holds a name against the grammar of RFC 37, "The NULL Security Mechanism".
func checkPropertyName(name string) error {
	if len(name) == 0 || len(name) > 255 {
		return fmt.Errorf("a property name of %d octets, want 1 to 255", len(name))
	}
	for _, c := range []byte(name) {
		if !isLetter(c) && !('0' <= c && c <= '9') && !strings.ContainsRune("-_.+", rune(c)) {
			return fmt.Errorf("property name %+q: want letters, digits and -_.+", name)
		}
	}
	return nil
}

func isLetter(c byte) bool { return 'A' <= c&^0x20 && c&^0x20 <= 'Z' }
