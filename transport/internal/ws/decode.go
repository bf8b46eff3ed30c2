package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/gobwas/ws"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// The flags octet at the start of each message (RFC 45, "Framing").
const (
	flagMore    = 0x01
	flagCommand = 0x02
)

const (
	maxControl   = 125     // the payload of a control frame (RFC 6455, 5.5)
	maxIdentity  = 255     // RFC 37, "The Identity Property"
	maxHandshake = 8 << 10 // commands before READY that are looked at, and what is gathered of fragments: zmtp takes half of that
)

// What is wrong with a peer, for errors.Is.
var (
	ErrUpgrade  = errors.New("websocket upgrade")            // it wants something else than we offer, or speaks something else
	ErrProtocol = errors.New("websocket")                    // it broke the rules of WebSocket, or of ZMTP over it
	ErrTooLarge = errors.New("websocket: message too large") // a message in fragments went beyond Config.MaxMessage, or what a handshake takes
)

// errText is apart because its close code is: a JavaScript peer that sends strings gets to know.
var errText = fmt.Errorf("%w: a text message: want binary", ErrProtocol)

// decoder turns what the peer sends into ZMTP: a greeting that it makes up, then the frames. Memory grows only with
// bytes that have arrived, and for a message in fragments up to largest.
type decoder struct {
	masked     bool // what arrives must be masked: the peer is the client (RFC 6455, 5.1)
	bare       bool // the subprotocol without a mechanism
	maxMessage int  // of a message in fragments, whose size is known only at its end
	pongs      *pongs

	out, tail []byte // ZMTP to hand out before anything else
	raw       [ws.MaxHeaderSize]byte
	rawLen    int // how much of the header in raw has arrived
	reader    bytes.Reader
	scratch   [ws.MaxHeaderSize]byte

	state      decoderState
	frame      ws.Header
	left       int64  // payload of the frame that is still to come
	pos        int    // position in the mask
	held       []byte // a control frame or a short message that is gathered first
	parts      []byte // the fragments of a message so far
	fragmented bool   // a message in fragments is under way
	identified bool   // bare: the routing id has arrived
	traffic    bool   // the peer's handshake is over: its control frames may become commands
	err        error  // why nothing more comes
}

type decoderState byte

const (
	atHeader  decoderState = iota // between frames or within a header
	atFlags                       // a message begins with the next byte
	passing                       // the body goes straight to the user
	gathering                     // into held
	joining                       // into parts
)

// step moves bytes from src to dst as far as either goes. err is final: nothing comes after what was returned with it.
func (d *decoder) step(dst, src []byte) (written, read int, err error) {
	for {
		written += d.drain(dst[written:])
		if len(d.out)+len(d.tail) > 0 || d.err != nil {
			return written, read, d.err
		}
		before, n, m := d.state, 0, 0
		switch before {
		case atHeader:
			n, d.err = d.header(src[read:])
		case atFlags:
			n, d.err = d.flags(src[read:])
		case passing:
			m = min(d.room(len(src)-read), len(dst)-written)
			n = copy(dst[written:written+m], src[read:])
			d.passed(dst[written : written+m])
		case gathering:
			n = d.room(len(src) - read)
			d.held, d.err = d.gather(d.held, src[read:read+n])
		case joining:
			n = d.room(len(src) - read)
			d.parts, d.err = d.gather(d.parts, src[read:read+n])
		}
		written += m
		read += n
		if n == 0 && d.state == before {
			return written, read, d.err
		}
	}
}

// drain hands out what is ready.
func (d *decoder) drain(dst []byte) int {
	n := copy(dst, d.out)
	d.out = d.out[n:]
	m := copy(dst[n:], d.tail)
	d.tail = d.tail[m:]
	return n + m
}

func (d *decoder) room(n int) int { return int(min(int64(n), d.left)) }

// passed accounts for body bytes that went to the user, and unmasks them in place.
func (d *decoder) passed(b []byte) {
	if d.frame.Masked {
		ws.Cipher(b, d.frame.Mask, d.pos)
		d.pos += len(b)
	}
	d.left -= int64(len(b))
	if d.left == 0 {
		d.state = atHeader
	}
}

// gather appends b to what is gathered and acts on the frame when it is whole.
func (d *decoder) gather(held, b []byte) ([]byte, error) {
	held = append(held, b...)
	if d.frame.Masked {
		ws.Cipher(held[len(held)-len(b):], d.frame.Mask, d.pos)
		d.pos += len(b)
	}
	d.left -= int64(len(b))
	if d.left > 0 {
		return held, nil
	}
	joined := d.state == joining
	d.state = atHeader
	switch {
	case d.frame.OpCode.IsControl():
		return held[:0], d.control(held)
	case !joined:
		return held[:0], d.whole(held[0], held[1:])
	case !d.frame.Fin:
		return held, nil
	}
	d.fragmented = false
	if len(held) == 0 {
		return nil, errNoFlags
	}
	return nil, d.whole(held[0], held[1:])
}

var errNoFlags = fmt.Errorf("%w: an empty message: want a flags octet", ErrProtocol)

// header takes bytes of a frame's header, and begins the frame when that is whole.
func (d *decoder) header(src []byte) (n int, err error) {
	for d.rawLen < d.headerSize() {
		k := copy(d.raw[d.rawLen:d.headerSize()], src[n:])
		if k == 0 {
			return n, nil
		}
		n += k
		d.rawLen += k
	}
	d.reader.Reset(d.raw[:d.rawLen])
	d.rawLen = 0
	h, err := ws.ReadHeaderBuffer(&d.reader, d.scratch[:0])
	if err != nil {
		return n, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return n, d.begin(h)
}

// headerSize is the size of the header in raw, as far as what has arrived tells.
func (d *decoder) headerSize() int {
	if d.rawLen < ws.MinHeaderSize {
		return ws.MinHeaderSize
	}
	size := ws.MinHeaderSize
	switch d.raw[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if d.raw[1]&0x80 != 0 {
		size += 4
	}
	return size
}

// begin looks at the header of a frame before anything of its payload is taken.
func (d *decoder) begin(h ws.Header) error {
	d.frame, d.left, d.pos = h, h.Length, 0
	switch {
	case h.Masked != d.masked && d.masked:
		return fmt.Errorf("%w: a client's frame without a mask", ErrProtocol)
	case h.Masked != d.masked:
		return fmt.Errorf("%w: a server's frame with a mask", ErrProtocol)
	case h.Rsv != 0:
		return fmt.Errorf("%w: a reserved bit is set; no extension was agreed upon", ErrProtocol)
	case h.OpCode.IsReserved():
		return fmt.Errorf("%w: unknown opcode 0x%x", ErrProtocol, byte(h.OpCode))
	case h.OpCode.IsControl():
		if !h.Fin || h.Length > maxControl {
			return fmt.Errorf("%w: a control frame in fragments or above %d octets", ErrProtocol, maxControl)
		}
		return d.collect(gathering, d.held)
	case h.OpCode == ws.OpText:
		return errText
	case (h.OpCode == ws.OpContinuation) != d.fragmented:
		return fmt.Errorf("%w: fragments of a message out of order", ErrProtocol)
	case h.OpCode == ws.OpContinuation || !h.Fin:
		if most := d.largest(); h.Length > int64(most+1-len(d.parts)) {
			return fmt.Errorf("%w: %d octets in fragments, at most %d", ErrTooLarge, h.Length+int64(len(d.parts)), most)
		}
		d.fragmented = true
		return d.collect(joining, d.parts)
	case h.Length == 0:
		return errNoFlags
	case h.Length > math.MaxInt:
		return fmt.Errorf("%w: %d octets", ErrTooLarge, h.Length)
	}
	d.state = atFlags
	return nil
}

// largest is the largest message in fragments: of a peer that is not let in yet no more than a handshake takes.
func (d *decoder) largest() int {
	if d.traffic {
		return d.maxMessage
	}
	return min(d.maxMessage, maxHandshake)
}

// collect begins to gather a frame, which may be empty.
func (d *decoder) collect(state decoderState, into []byte) (err error) {
	d.state = state
	if d.left > 0 {
		return nil
	}
	into, err = d.gather(into, nil)
	if state == joining {
		d.parts = into
	}
	return err
}

// flags takes the first octet of a message. What concerns the handshake is gathered, the rest passes.
func (d *decoder) flags(src []byte) (n int, err error) {
	if len(src) == 0 {
		return 0, nil
	}
	b := [1]byte{src[0]}
	if d.frame.Masked {
		ws.Cipher(b[:], d.frame.Mask, 0)
	}
	size := int(d.left - 1)
	switch {
	case d.bare && !d.identified && size > maxIdentity:
		return 1, fmt.Errorf("%w: a routing id of %d octets, want at most %d", ErrProtocol, size, maxIdentity)
	case d.bare && !d.identified, b[0] == flagCommand && !d.traffic && size <= maxHandshake:
		d.state = gathering
		return 0, nil
	}
	flags, err := zmtpFlags(b[0])
	if err != nil {
		return 1, err
	}
	d.left, d.pos = d.left-1, 1
	d.out = zmtp.AppendHeader(d.scratch[:0], flags, size)
	d.state = passing
	if d.left == 0 {
		d.state = atHeader
	}
	return 1, nil
}

// whole hands out a message that was gathered.
func (d *decoder) whole(octet byte, body []byte) error {
	flags, err := zmtpFlags(octet)
	if err != nil {
		return err
	}
	if d.bare && !d.identified {
		return d.identity(flags, body)
	}
	d.out, d.tail = zmtp.AppendHeader(nil, flags, len(body)), body
	if flags == zmtp.FlagCommand && !d.traffic {
		name, _, err := zmtp.ParseCommand(body)
		// The last command of a client is INITIATE where there is one, that of everybody else READY.
		d.traffic = err == nil && (string(name) == zmtp.CommandReady || string(name) == commandInitiate)
	}
	return nil
}

const commandInitiate = "INITIATE"

// identity turns the first message of a peer without a mechanism into the READY that it stands for.
func (d *decoder) identity(flags byte, id []byte) error {
	if flags != 0 {
		return fmt.Errorf("%w: the first message is no routing id, which is a single frame", ErrProtocol)
	}
	var m zmtp.Metadata
	if len(id) > 0 {
		m = append(m, zmtp.Property{Name: zmtp.PropertyIdentity, Value: id})
	}
	d.out = zmtp.AppendCommand(nil, zmtp.CommandReady, zmtp.AppendMetadata(nil, m))
	d.identified, d.traffic = true, true
	return nil
}

// control acts on a whole control frame.
func (d *decoder) control(payload []byte) error {
	switch d.frame.OpCode {
	case ws.OpPing:
		d.pongs.owe(payload, d.traffic)
		if d.traffic {
			d.out = zmtp.AppendPing(nil, 0, payload)
		}
	case ws.OpPong:
		if d.traffic {
			d.out = zmtp.AppendPong(nil, payload)
		}
	case ws.OpClose:
		return closeReason(payload)
	}
	return nil
}

// closeReason is what a peer's close frame ends reading with: io.EOF, unless it complains.
func closeReason(payload []byte) error {
	code, reason := ws.ParseCloseFrameData(payload)
	switch code {
	case 0, ws.StatusNormalClosure, ws.StatusGoingAway:
		return io.EOF
	}
	return fmt.Errorf("websocket: the peer closed with code %d %.123q", code, reason)
}

func zmtpFlags(octet byte) (flags byte, err error) {
	switch octet {
	case 0, flagMore:
		return octet, nil
	case flagCommand:
		return zmtp.FlagCommand, nil
	}
	return 0, fmt.Errorf("%w: flags of 0x%02x, want 0, 1 or 2", ErrProtocol, octet)
}
