package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// maxHeard is how much of what a peer says is read: a greeting, a handshake, the answer to a PING behind some messages.
const maxHeard = 256 << 10

// talk is a conversation with an endpoint, as far as it went.
type talk struct {
	conn     net.Conn
	heard    []byte // all that the peer said
	greeting []byte // the beginning of it, once that is a greeting
	peer     zmtp.Peer
	opened   bool // the handshake is complete
	rest     []byte
	seal     *zmtp.Sealer
	open     *zmtp.Opener
	plain    []byte // what was opened and not yet looked at
}

// shake does a handshake as a socket of type typ.
func (t *talk) shake(typ zmtp.SocketType, m zmtp.Mechanism) error {
	h, err := zmtp.NewHandshake(zmtp.Config{SocketType: typ, Mechanism: m, MaxBytes: maxHeard})
	if err != nil {
		return err
	}
	if _, err := t.conn.Write(h.Start()); err != nil {
		return err
	}
	for !h.Done() {
		in, err := t.read()
		if len(in) > 0 {
			n, out, refused := h.Step(in)
			t.rest = in[n:]
			if len(out) > 0 {
				if _, failed := t.conn.Write(out); failed != nil && refused == nil {
					return failed
				}
			}
			if refused != nil {
				return refused
			}
			continue
		}
		if closed := h.Closed(); errors.Is(err, io.EOF) && closed != nil {
			return closed
		}
		return err
	}
	t.peer, t.opened = h.Peer(), true
	t.seal, t.open = h.Traffic()
	return nil
}

// read returns what comes next.
func (t *talk) read() ([]byte, error) {
	if len(t.heard) >= maxHeard {
		return nil, fmt.Errorf("it says more than %d bytes", maxHeard)
	}
	buf := make([]byte, 4096)
	n, err := t.conn.Read(buf)
	t.heard = append(t.heard, buf[:n]...)
	if len(t.heard) >= zmtp.GreetingSize && t.heard[0] == 0xff && t.heard[9] == 0x7f && t.heard[10] >= 3 {
		t.greeting = t.heard[:zmtp.GreetingSize]
	}
	return buf[:n], err
}

// mechanism is the one in the peer's greeting.
func (t *talk) mechanism() string {
	if t.greeting == nil {
		return ""
	}
	name, _, _ := bytes.Cut(t.greeting[12:32], []byte{0})
	return printable(string(name))
}

// version is the one in the peer's greeting.
func (t *talk) version() string {
	if t.greeting == nil {
		return ""
	}
	return fmt.Sprintf("%d.%d", t.greeting[10], t.greeting[11])
}

// ping returns how long a PING and its PONG take, after the handshake.
func (t *talk) ping() (time.Duration, error) {
	ask := zmtp.AppendPing(nil, 0, []byte("doctor"))
	if t.seal != nil {
		var err error
		if ask, _, err = t.seal.Append(nil, ask, maxHeard); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	if _, err := t.conn.Write(ask); err != nil {
		return 0, err
	}
	for {
		done, err := t.pong()
		if done || err != nil {
			return time.Since(begun), err
		}
		in, err := t.read()
		if len(in) == 0 && err != nil {
			return 0, err
		}
		t.rest = append(t.rest, in...)
	}
}

// pong looks for the answer among the frames that are there.
func (t *talk) pong() (bool, error) {
	if t.open == nil {
		t.plain, t.rest = append(t.plain, t.rest...), nil
	} else if err := t.unseal(); err != nil {
		return false, err
	}
	for {
		flags, size, n, err := zmtp.ParseHeader(t.plain)
		switch {
		case err != nil:
			return false, err
		case n == 0 || size > uint64(len(t.plain)-n):
			return false, nil
		}
		body := t.plain[n : n+int(size)]
		t.plain = t.plain[n+int(size):]
		if flags&zmtp.FlagCommand == 0 {
			continue
		}
		name, _, err := zmtp.ParseCommand(body)
		if err != nil || string(name) == "PONG" {
			return err == nil, err
		}
	}
}

func (t *talk) unseal() error {
	dst := make([]byte, maxHeard)
	for len(t.rest) > 0 {
		n, used, err := t.open.Open(dst, t.rest)
		t.plain, t.rest = append(t.plain, dst[:n]...), t.rest[used:]
		if err != nil {
			return err
		}
		if n == 0 && used == 0 {
			return nil
		}
	}
	return nil
}

// socketType is what the peer has announced; empty if it did not, or sealed it.
func (t *talk) socketType() zmtp.SocketType {
	if t.peer.SocketType != "" {
		return t.peer.SocketType
	}
	if t.greeting == nil {
		return ""
	}
	for b := t.heard[zmtp.GreetingSize:]; ; {
		flags, size, n, err := zmtp.ParseHeader(b)
		if err != nil || n == 0 || size > uint64(len(b)-n) || flags&zmtp.FlagCommand == 0 {
			return ""
		}
		name, data, err := zmtp.ParseCommand(b[n : n+int(size)])
		if err == nil && string(name) == zmtp.CommandReady {
			m, _ := zmtp.ParseMetadata(data)
			value, _ := m.Get(zmtp.PropertySocketType)
			return zmtp.SocketType(printable(string(value)))
		}
		b = b[n+int(size):]
	}
}
