package ws

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/gobwas/ws"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// passBytes is the most of a body that one step of the encoder takes: what is encoded at a time stays small.
const passBytes = 32 << 10

// encoder turns the user's ZMTP, cut anywhere, into WebSocket messages. It is a plain value: a copy taken before a
// write tells afterwards how far the write came.
type encoder struct {
	mask bool // this side is the client
	bare bool // the subprotocol without a mechanism

	skip    int // of our greeting, which has no place in ZWS
	head    [zmtp.MaxHeaderSize]byte
	headLen int // how much of a frame's header was cut off and is in head
	left    int // body still to pass
	key     [4]byte
	pos     int    // position in the mask
	command []byte // a command, which may have to be put otherwise, as far as it is there
	wanted  int    // the size of that
	gather  bool   // a command is under way

	pong owed // what the peer's pings are owed
}

// owed is what one end owes for pings that it got.
type owed struct {
	payload  []byte // of the last ping; RFC 6455, 5.5.3: it is enough to answer that one
	unsent   bool   // it is still to be answered
	commands int    // PONGs that the user will write for pings, since it saw PINGs
}

// pongs takes what is owed from the reading side to the writing one.
type pongs struct {
	mu  sync.Mutex
	due owed
}

// owe records a ping. passed says that the user was handed a PING for it.
func (p *pongs) owe(payload []byte, passed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due.payload, p.due.unsent = append(p.due.payload[:0:0], payload...), true
	if passed && p.due.commands < math.MaxInt32 {
		p.due.commands++
	}
}

// take adds to o what has come since.
func (p *pongs) take(o *owed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due.unsent {
		o.payload, o.unsent = p.due.payload, true
	}
	o.commands += p.due.commands
	p.due = owed{}
}

// begin appends what must not wait for a command of the user: the answer to a ping during the handshake, of which the
// user knows nothing.
func (e *encoder) begin(dst []byte) []byte {
	if !e.pong.unsent || e.pong.commands > 0 || e.left > 0 {
		return dst
	}
	e.pong.unsent = false
	return appendControl(dst, ws.OpPong, e.pong.payload, e.mask)
}

// next encodes the beginning of src: a header, a part of a body, a command. It takes at least one byte. An error says that
// the user's bytes are not ZMTP.
func (e *encoder) next(dst, src []byte) (out []byte, n int, err error) {
	switch {
	case e.skip > 0:
		n = min(e.skip, len(src))
		e.skip -= n
		return dst, n, nil
	case e.gather:
		n = min(e.wanted-len(e.command), len(src))
		e.command = append(e.command, src[:n]...)
		return e.maybeTranslate(dst), n, nil
	case e.left > 0:
		n = min(e.left, len(src), passBytes)
		return e.pass(dst, src[:n]), n, nil
	}
	flags, size, n, err := e.header(src)
	if err != nil || e.headLen > 0 {
		return dst, n, err
	}
	if flags == zmtp.FlagCommand {
		e.gather, e.command, e.wanted = true, nil, int(size)
		return e.maybeTranslate(dst), n, nil
	}
	return e.open(dst, flags, int(size)), n, nil
}

// header takes a frame's header from src and what was cut off before. It keeps a header that is still not whole.
func (e *encoder) header(src []byte) (flags byte, size uint64, n int, err error) {
	if e.headLen == 0 {
		if flags, size, n, err = zmtp.ParseHeader(src); n > 0 || err != nil {
			return flags, size, n, err
		}
	}
	for n < len(src) {
		e.head[e.headLen] = src[n]
		e.headLen++
		n++
		flags, size, whole, err := zmtp.ParseHeader(e.head[:e.headLen])
		if whole > 0 || err != nil {
			e.headLen = 0
			return flags, size, n, err
		}
	}
	return 0, 0, n, nil
}

// open begins the WebSocket message for a frame.
func (e *encoder) open(dst []byte, octet byte, size int) []byte {
	e.left = size
	if e.mask {
		e.key = ws.NewMask()
	}
	dst = appendHeader(dst, ws.OpBinary, 1+size, e.mask, e.key)
	e.pos = 0
	dst = append(dst, octet)
	e.cipher(dst[len(dst)-1:])
	return dst
}

func (e *encoder) pass(dst, body []byte) []byte {
	e.left -= len(body)
	dst = append(dst, body...)
	e.cipher(dst[len(dst)-len(body):])
	return dst
}

func (e *encoder) cipher(b []byte) {
	if e.mask {
		ws.Cipher(b, e.key, e.pos)
		e.pos += len(b)
	}
}

// maybeTranslate puts a command into ZWS's words once it is whole.
func (e *encoder) maybeTranslate(dst []byte) []byte {
	if len(e.command) < e.wanted {
		return dst
	}
	body := e.command
	e.gather, e.command = false, nil
	name, data, err := zmtp.ParseCommand(body)
	switch {
	case err != nil:
	case string(name) == zmtp.CommandPing && len(data) >= 2: // its TTL has no place in a ping
		return appendControl(dst, ws.OpPing, data[2:min(len(data), 2+maxControl)], e.mask)
	case string(name) == zmtp.CommandPong && e.pong.commands > 0:
		e.pong.commands--
		if !e.pong.unsent {
			return dst
		}
		e.pong.unsent = false
		return appendControl(dst, ws.OpPong, e.pong.payload, e.mask)
	case e.bare && string(name) == zmtp.CommandReady:
		body, _ = identityOf(data)
		return e.pass(e.open(dst, 0, len(body)), body)
	}
	if e.bare { // such a peer knows no commands
		return dst
	}
	return e.pass(e.open(dst, flagCommand, len(body)), body)
}

// identityOf finds the routing id in the data of a READY.
func identityOf(ready []byte) ([]byte, bool) {
	m, err := zmtp.ParseMetadata(ready)
	if err != nil {
		return nil, false
	}
	return m.Get(zmtp.PropertyIdentity)
}

// replay returns how many bytes of src are wholly within the first written bytes that e, as it was before, made of it.
func (e encoder) replay(src []byte, written int) (n int) {
	buf := e.begin(nil)
	for n < len(src) {
		var took int
		size := len(buf)
		buf, took, _ = e.next(buf[:0], src[n:])
		written -= size
		if written < len(buf) {
			break
		}
		n += took
	}
	return n
}

func appendControl(dst []byte, op ws.OpCode, payload []byte, mask bool) []byte {
	var key [4]byte
	if mask {
		key = ws.NewMask()
	}
	dst = append(appendHeader(dst, op, len(payload), mask, key), payload...)
	if mask {
		ws.Cipher(dst[len(dst)-len(payload):], key, 0)
	}
	return dst
}

// appendHeader appends the header of a frame that is a message of its own (RFC 6455, 5.2).
func appendHeader(dst []byte, op ws.OpCode, size int, mask bool, key [4]byte) []byte {
	const fin, masked = 0x80, 0x80
	dst = append(dst, fin|byte(op), 0)
	second := len(dst) - 1
	switch {
	case size < 126:
		dst[second] = byte(size)
	case size <= math.MaxUint16:
		dst[second] = 126
		dst = binary.BigEndian.AppendUint16(dst, uint16(size))
	default:
		dst[second] = 127
		dst = binary.BigEndian.AppendUint64(dst, uint64(size))
	}
	if mask {
		dst[second] |= masked
		dst = append(dst, key[:]...)
	}
	return dst
}
