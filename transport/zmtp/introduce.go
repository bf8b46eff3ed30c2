package zmtp

import (
	"errors"
	"fmt"
	"strings"
)

// acceptMetadata checks the peer's metadata and keeps it. Where the peer's configuration has to change, an ERROR
// command tells it so before we hang up (RFC 37, "The Socket-Type Property").
func (h *Handshake) acceptMetadata(data []byte) error {
	m, err := parseMetadata(data, h.properties)
	if errors.Is(err, errManyProperties) {
		return refuse(TooLarge, "%s", detail(err))
	}
	if err != nil {
		return refuse(BadMetadata, "%s", detail(err))
	}
	value, announced := m.Get(PropertySocketType)
	theirs := SocketType(value)
	if announced && !h.socketType.Compatible(theirs) {
		h.complain(fmt.Sprintf("%s cannot talk to %s", h.socketType, printable(value)))
		return refuse(IncompatibleType, "%s cannot talk to %q", h.socketType, printable(value))
	}
	// A peer that does not say what it is may yet have an identity.
	if theirs.announces() || !announced {
		identity, _ := m.Get(PropertyIdentity)
		if err := checkIdentity(identity); err != nil {
			h.complain(err.Error())
			return refuse(BadIdentity, "%v", err)
		}
		h.peer.Identity = identity
	}
	h.peer.SocketType, h.peer.Metadata = theirs, m
	return nil
}

// complain tells the peer what is wrong with it. RFC 24, 25: a client never sends ERROR.
func (h *Handshake) complain(text string) {
	if h.mechanism.role() != client {
		h.out = AppendError(h.out, text)
	}
}

// identified is called when all is known of the peer.
func (h *Handshake) identified() error {
	if h.identify == nil {
		return nil
	}
	tell, err := h.identify(h.peer)
	if tell != "" {
		h.complain(tell)
	}
	return err
}

// appendOwnMetadata appends what this side announces.
func appendOwnMetadata(dst []byte, c Config) []byte {
	m := Metadata{{PropertySocketType, []byte(c.SocketType)}}
	if c.SocketType.announces() {
		m = append(m, Property{PropertyIdentity, c.Identity})
	}
	return AppendMetadata(dst, append(m, c.Properties...))
}

// checkIdentity holds an identity against RFC 37, "The Identity Property": a leading zero is a ROUTER's to give.
func checkIdentity(identity []byte) error {
	if len(identity) > maxIdentity {
		return fmt.Errorf("an identity of %d octets, want at most %d", len(identity), maxIdentity)
	}
	if len(identity) > 0 && identity[0] == 0 {
		return errors.New("an identity begins with a zero octet")
	}
	return nil
}

// checkProperties holds the application's properties against what ParseMetadata of the peer will accept.
func checkProperties(properties Metadata, most int) error {
	if limit := most - 2; len(properties) > limit { // two are ours
		return fmt.Errorf("%d properties, want at most %d", len(properties), limit)
	}
	for i, p := range properties {
		if err := checkPropertyName(p.Name); err != nil {
			return err
		}
		// RFC 37, "Connection Metadata": names beginning with X- are the application's.
		if len(p.Name) < 2 || !strings.EqualFold(p.Name[:2], "X-") {
			return fmt.Errorf("property %s: want a name beginning with X-", p.Name)
		}
		if _, twice := properties[:i].Get(p.Name); twice {
			return fmt.Errorf("property %s is there twice", p.Name)
		}
	}
	return nil
}

// detail is an error of this package without what HandshakeError.Reason says already.
func detail(err error) string {
	text := strings.TrimPrefix(err.Error(), "zmtp: ")
	text = strings.TrimPrefix(text, "malformed command: ")
	return strings.TrimPrefix(text, "malformed metadata: ")
}
