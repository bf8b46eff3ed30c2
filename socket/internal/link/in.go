package link

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

const (
	// firstChunk is the buffer that waits for a peer that says little: ten thousand of them are 40 MB.
	firstChunk = 4 << 10
	// maxChunk is the buffer for a peer at full speed: reads beyond it gain nothing.
	maxChunk = 256 << 10
	// inlineBody is the largest frame that is moved to a new chunk when the old one ends within it;
	// larger ones get a buffer of their own, unless several are there (see run).
	inlineBody = 32 << 10
	// firstBody is what a large body gets on the peer's word alone, unless one as large arrived before. Beyond,
	// the buffer grows with the bytes that arrived: claiming costs the peer as much as it costs us.
	firstBody = 64 << 10
)

// Errors that end a connection, besides those of package zmtp and of the connection itself.
var (
	ErrTooLarge      = errors.New("message too large")
	ErrTooManyFrames = fmt.Errorf("%w: too many frames", ErrTooLarge)
)

// In is the read end of one connection. Who calls Fill must hold Baton.
type In struct {
	Baton Baton
	// Command is called for each command in the order of arrival; an error ends the connection.
	Command func(name, data []byte) error
	// Passing, if set, tells by its name a command that takes effect only on messages behind it: it does not end a batch.
	Passing func(name []byte) bool
	// MaxFrames bounds the frames of a message, MaxFrame the size of one. Zero means no bound but that on the message.
	MaxFrames, MaxFrame int

	conn *Conn
	max  int           // largest message
	seq  atomic.Uint64 // reads that brought something

	buf         []byte // chunk; what lies before r belongs to batches handed out
	r           int    // start of the first message that is not handed out
	p           int    // parsed to here
	w           int    // filled to here
	size        int    // size of the next chunk
	spare       []byte // what is left of the chunk before one that the peer gave away
	now, before use    // what messages use: buf, and the chunk before it while they may give that back
	slots       int    // that a chunk's messages are expected to need
	plain       *Lease // of messages whose memory is not used again: it tells of the first that is given back
	most        int    // bytes of the largest read into this chunk

	partial  [][]byte          // frames of a message that outgrew its chunk
	commands uint64            // that arrived
	msgs     uint64            // that were returned
	batched  int               // messages of the batch under way, at a command
	quiet    bool              // no message came since the last command
	lent     *[firstChunk]byte // what buf is, while the peer is idle
	paid     int               // the largest body that arrived whole
	large    []byte            // its current frame's body, as far as it arrived
	largeBuf *[]byte           // what large is cut from, if its memory can be used again
	lease    *Lease            // of the message under way
	reuse    *atomic.Bool      // its memory is given back: see Lease
	want     int               // its size, 0 when there is none
	lead     int               // bytes that stood before the last large body, 0 when something else came since
	body     int               // and its size
	more     bool              // frames of the same message follow
	frames   int               // of the message under way
	bytes    int
	bad      error // what was found behind the last batch: no more comes
}

// NewIn reads from c, where early was read already, behind the handshake. max bounds the size of a message.
func NewIn(c *Conn, early []byte, max int) *In {
	in := &In{conn: c, max: max, size: firstChunk, quiet: true, reuse: new(atomic.Bool)}
	if len(early) > 0 {
		in.buf = append(make([]byte, 0, len(early)), early...) // a new one when more comes
		in.w = len(in.buf)
	}
	return in
}

// Seq changes whenever bytes arrive.
func (in *In) Seq() uint64 { return in.seq.Load() }

// maxTries is after how many reads that complete no message Fill stops trying: they get whatever a system has in its
// buffers, and a peer that goes on sending PINGs, or a message without end, cannot keep the caller.
const maxTries = 64

// Fill returns the next batch, an empty one when commands came: they may change what its caller does next. With block it waits for one; without it may return an empty one with
// transport.ErrWouldBlock. An error with a deadline's timeout leaves everything in place.
func (in *In) Fill(block bool) (Batch, error) {
	if in.bad != nil {
		return Batch{}, in.bad
	}
	commands := in.commands
	for tries := 0; ; tries++ {
		b, err := in.parse()
		if err == nil {
			b = in.rest(b, in.commands != commands)
			in.msgs += uint64(b.Msgs)
			in.batched = 0
		}
		if err != nil || b.Msgs > 0 || in.commands != commands {
			return b, err
		}
		if !block && tries == maxTries {
			return Batch{}, transport.ErrWouldBlock
		}
		if err := in.read(block); err != nil {
			return Batch{}, err
		}
	}
}

// CanTry reports whether Fill(false) works on this connection.
func (in *In) CanTry() bool { return in.conn.try != nil }

// read reads once, into the large body under way or into the chunk.
func (in *In) read(block bool) error {
	if in.want > 0 && in.large == nil && in.conn.give != nil {
		b, err := in.conn.give.ReadBody(in.want, block)
		if err != nil {
			return err
		}
		if b != nil {
			in.large = b
			in.seq.Add(1)
			return nil
		}
	}
	if in.want == 0 && in.r == in.w && in.conn.give != nil {
		b, err := in.conn.give.ReadBody(0, block)
		if err != nil {
			return err
		}
		if b != nil {
			if in.w < len(in.buf) {
				in.spare = in.buf[in.w:]
			}
			in.pass(b)
			in.buf, in.r, in.p, in.w = b[:len(b):len(b)], 0, 0, len(b)
			in.seq.Add(1)
			return nil
		}
	}
	n, err := in.readInto(block)
	if n > 0 {
		in.seq.Add(1)
		err = nil
	}
	if in.want > 0 {
		in.large = in.large[:len(in.large)+n]
		return err
	}
	in.w += n
	in.most = max(in.most, n)
	return err
}

// readInto reads into a buffer that is there, or is there while something is to be read.
func (in *In) readInto(block bool) (int, error) {
	switch {
	case block && in.buf == nil && in.want == 0 && in.conn.wait != nil:
		return in.conn.wait.ReadLate(in)
	case block:
		return in.conn.Read(in.space())
	}
	return in.conn.try.TryRead(in.space())
}

// parse finds whole messages in what was read.
func (in *In) parse() (Batch, error) {
	if in.want > 0 {
		if len(in.large) < in.want {
			return Batch{}, nil
		}
		in.leaseBody()
		in.partial = append(in.partial, in.large)
		in.paid = max(in.paid, in.want)
		in.large, in.want = nil, 0
		if !in.more {
			return in.assembled(), nil
		}
	}
	if len(in.partial) > 0 {
		return in.parsePartial()
	}
	var b Batch
	end := in.r
	for {
		// The hot path: short messages of one frame.
		if in.frames == 0 && in.max >= 255 && (in.MaxFrame == 0 || in.MaxFrame >= 255) {
			buf, p := in.buf[:in.w], in.p
			for len(buf)-p >= 2 && buf[p] == 0 {
				n := 2 + int(buf[p+1])
				if len(buf)-p < n {
					break
				}
				p += n
				b.Msgs++
				b.Bytes += n - 2
			}
			if p != in.p {
				in.p, end = p, p
			}
		}
		if b.Msgs > 0 && in.frames == 0 && in.p < in.w && in.buf[in.p]&zmtp.FlagCommand != 0 && !in.passes() {
			break // a command takes effect after the messages before it, which may be subscriptions
		}
		in.batched = b.Msgs
		done, last, err := in.parseFrame()
		if err != nil && b.Msgs == 0 {
			return Batch{}, err
		}
		if err != nil { // what stands before it is good
			in.bad = err
			break
		}
		if !done {
			break
		}
		if last {
			b.Msgs++
			b.Bytes += in.bytes
			in.frames, in.bytes = 0, 0
			end = in.p
		}
	}
	if b.Msgs > 0 {
		in.stay(b.Msgs, end-in.r)
		b = in.batch(b, in.buf[in.r:end])
		in.r = end
		return b, nil
	}
	if in.frames == 0 {
		in.r = in.p // commands only
	}
	if err := in.outgrown(); err != nil {
		return Batch{}, err
	}
	return b, nil
}

// parseFrame steps over one whole frame. last reports the end of a message.
func (in *In) parseFrame() (done, last bool, err error) {
	flags, size, h, err := zmtp.ParseHeader(in.buf[in.p:in.w])
	if err != nil {
		return false, false, err
	}
	if h == 0 {
		return false, false, nil
	}
	if err := in.admit(flags, size); err != nil {
		return false, false, err
	}
	if size > uint64(in.w-in.p-h) {
		return false, false, nil
	}
	body := in.buf[in.p+h : in.p+h+int(size) : in.p+h+int(size)]
	in.p += h + int(size)
	if flags&zmtp.FlagCommand != 0 {
		name, data, err := zmtp.ParseCommand(body)
		if err != nil {
			return false, false, err
		}
		in.commands++
		in.lead = 0
		return true, false, in.Command(name, data)
	}
	in.frames++
	in.bytes += int(size)
	return true, flags&zmtp.FlagMore == 0, nil
}

// maxCommand bounds a command: the longest topic that a subscription may have, with room to spare.
const maxCommand = 32 << 10

// admit checks a frame's header against the limits before anything is allocated for it.
func (in *In) admit(flags byte, size uint64) error {
	if flags&zmtp.FlagCommand != 0 {
		if size > maxCommand {
			return fmt.Errorf("%w: command of %d bytes, at most %d", ErrTooLarge, size, maxCommand)
		}
		return nil
	}
	if size > uint64(in.max-in.bytes) {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size+uint64(in.bytes), in.max)
	}
	if in.MaxFrame > 0 && size > uint64(in.MaxFrame) {
		return fmt.Errorf("%w: frame of %d bytes, at most %d", ErrTooLarge, size, in.MaxFrame)
	}
	if in.MaxFrames > 0 && in.frames >= in.MaxFrames {
		return fmt.Errorf("%w, more than %d", ErrTooManyFrames, in.MaxFrames)
	}
	return nil
}

// outgrown turns to buffers of its own for a message whose frame under way does not fit a chunk.
func (in *In) outgrown() error {
	flags, size, h, _ := zmtp.ParseHeader(in.buf[in.p:in.w])
	if h == 0 || flags&zmtp.FlagCommand != 0 {
		if in.p-in.r <= inlineBody {
			return nil
		}
		in.split()
		return nil
	}
	inline := uint64(inlineBody)
	if in.conn.give != nil {
		inline = passedAlone
	}
	if size <= inline && in.p-in.r <= inlineBody {
		return nil
	}
	before := in.p - in.r
	in.split()
	if size > inline {
		in.lead, in.body = before+h, int(size)
		in.startLarge(flags, int(size), h)
	}
	return nil
}

// split takes the whole frames of the message under way out of the chunk.
func (in *In) split() {
	for in.r < in.p {
		flags, size, h, _ := zmtp.ParseHeader(in.buf[in.r:in.p])
		end := in.r + h + int(size)
		if flags&zmtp.FlagCommand == 0 {
			in.part(in.buf[in.r+h : end : end])
		}
		in.r = end
	}
}

func (in *In) startLarge(flags byte, size, h int) {
	in.want = size
	if rest := in.buf[in.p+h : in.w]; len(rest) > 0 {
		in.grow()
		in.large = append(in.large, rest...)
	}
	in.more = flags&zmtp.FlagMore != 0
	in.frames++
	in.bytes += size
	in.r, in.p = in.w, in.w
}

// grow makes room for more of the large body under way: for all of it if one as large was paid for.
func (in *In) grow() {
	n := min(in.want, max(4*cap(in.large), firstBody, in.paid))
	old := in.large
	in.largeBuf = nil
	if n == in.want && in.reuse.Load() {
		in.large, in.largeBuf = newBody(n)
	} else {
		in.large = make([]byte, 0, n)
		heap.spend(n)
	}
	in.large = append(in.large, old...)
}

// parsePartial goes on with a message that outgrew its chunk, frame by frame.
func (in *In) parsePartial() (Batch, error) {
	for {
		start, count := in.p, in.frames
		done, last, err := in.parseFrame()
		if err != nil {
			return Batch{}, err
		}
		if !done {
			return Batch{}, in.outgrown()
		}
		if in.frames > count {
			_, size, h, _ := zmtp.ParseHeader(in.buf[start:in.p])
			body := start + h
			end := body + int(size)
			in.part(in.buf[body:end:end])
		}
		in.r = in.p
		if last {
			return in.assembled(), nil
		}
	}
}

// assembled returns the message that outgrew its chunk.
func (in *In) assembled() Batch {
	b := Batch{Msgs: 1, Bytes: in.bytes, Lease: in.lease, frames: in.partial}
	in.partial, in.lease = nil, nil
	in.frames, in.bytes = 0, 0
	return b
}

// Interrupt wakes whoever waits in Fill, with an error that is a timeout.
func (in *In) Interrupt() { _ = in.conn.SetReadDeadline(past) }
