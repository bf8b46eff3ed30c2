package sockettest

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Flags of a frame (RFC 37, framing).
const (
	More    = 0x01
	Long    = 0x02
	Command = 0x04
)

// maxBody is the largest body a RawPeer reads. The tests go up to 64 MiB; beyond that a length is a bug.
const maxBody = 1 << 28

// Greeting is what a peer said of itself in its first 64 bytes:
//
//	ff 00 00 00 00 00 00 00 00 7f  major minor  mechanism, 20 bytes  as-server  31 x 00
type Greeting struct {
	Major, Minor byte
	Mechanism    string
	AsServer     bool
}

// Property is one entry of the metadata in READY.
type Property struct{ Name, Value string }

// Frame is one frame as it came: Flags include Long where the long form was used.
type Frame struct {
	Flags byte
	Body  []byte
}

// Handshake does the NULL handshake as a peer of the given socket type that speaks ZMTP 3.minor, and
// returns what the other side said. The properties follow Socket-Type. What it sends depends on nothing
// it receives, so it works on either end of a connection.
func (p *RawPeer) Handshake(socketType string, minor byte, properties ...Property) (Greeting, map[string]string) {
	p.t.Helper()
	p.SendGreeting(minor, "NULL")
	greeting := p.ReadGreeting()
	if greeting.Mechanism != "NULL" {
		p.t.Fatalf("greeting with mechanism %q, want NULL", greeting.Mechanism)
	}
	p.minor = min(minor, greeting.Minor)
	p.SendReady(append([]Property{{"Socket-Type", socketType}}, properties...)...)
	return greeting, p.ReadReady()
}

// SendGreeting sends a greeting of ZMTP 3.minor with this mechanism, as a client.
func (p *RawPeer) SendGreeting(minor byte, mechanism string) {
	p.t.Helper()
	var b [64]byte
	b[0], b[9], b[10], b[11] = 0xff, 0x7f, 3, minor
	copy(b[12:32], mechanism)
	p.Write(b[:])
}

// ReadGreeting reads the other side's greeting. It requires the signature, NUL after the mechanism and in
// the filler, and an as-server of 0 or 1; the padding in the signature may be anything.
func (p *RawPeer) ReadGreeting() Greeting {
	p.t.Helper()
	b := p.Read(64)
	mechanism, rest, _ := strings.Cut(string(b[12:32]), "\x00")
	if b[0] != 0xff || b[9] != 0x7f || b[32] > 1 || strings.Trim(rest+string(b[33:]), "\x00") != "" {
		p.t.Fatalf("not a greeting: % x", b)
	}
	return Greeting{Major: b[10], Minor: b[11], Mechanism: mechanism, AsServer: b[32] == 1}
}

// SendReady sends READY with these properties and no other.
func (p *RawPeer) SendReady(properties ...Property) {
	p.t.Helper()
	var data []byte
	for _, property := range properties {
		data = append(data, byte(len(property.Name)))
		data = append(data, property.Name...)
		data = binary.BigEndian.AppendUint32(data, uint32(len(property.Value)))
		data = append(data, property.Value...)
	}
	p.SendCommand("READY", data)
}

// ReadReady reads READY and returns its properties. A name that comes twice fails the test.
func (p *RawPeer) ReadReady() map[string]string {
	p.t.Helper()
	data := p.ExpectCommand("READY")
	properties := map[string]string{}
	for rest := data; len(rest) > 0; {
		name, value, left, ok := cutProperty(rest)
		if _, twice := properties[name]; !ok || twice {
			p.t.Fatalf("READY with bad metadata %q, at %q", data, rest)
		}
		properties[name] = value
		rest = left
	}
	return properties
}

// cutProperty takes one property off the front of b.
func cutProperty(b []byte) (name, value string, rest []byte, ok bool) {
	size := int(b[0])
	if size == 0 || len(b) < 1+size+4 {
		return "", "", nil, false
	}
	name, b = string(b[1:1+size]), b[1+size:]
	n := int64(binary.BigEndian.Uint32(b))
	if b = b[4:]; n > int64(len(b)) {
		return "", "", nil, false
	}
	return name, string(b[:n]), b[n:], true
}

// SendFrame sends a frame. Flags are sent as given, with Long set where the body needs it.
func (p *RawPeer) SendFrame(flags byte, body []byte) {
	p.t.Helper()
	if len(body) > 255 {
		flags |= Long
	}
	b := []byte{flags}
	if flags&Long != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	} else {
		b = append(b, byte(len(body)))
	}
	p.Write(append(b, body...))
}

// ReadFrame reads one frame, message or command.
func (p *RawPeer) ReadFrame() Frame {
	p.t.Helper()
	flags := p.Read(1)[0]
	if flags&^(More|Long|Command) != 0 || flags&Command != 0 && flags&More != 0 {
		p.t.Fatalf("frame with flags %#02x, which RFC 37 does not allow", flags)
	}
	var size uint64
	if flags&Long != 0 {
		size = binary.BigEndian.Uint64(p.Read(8))
	} else {
		size = uint64(p.Read(1)[0])
	}
	if size > maxBody {
		p.t.Fatalf("frame that claims %d bytes, want at most %d", size, maxBody)
	}
	return Frame{Flags: flags, Body: p.Read(int(size))}
}

// SendMessage sends the frames as one message.
func (p *RawPeer) SendMessage(frames ...string) {
	p.t.Helper()
	for i, frame := range frames {
		var flags byte
		if i < len(frames)-1 {
			flags = More
		}
		p.SendFrame(flags, []byte(frame))
	}
}

// ReadMessage reads the frames of one message. A command in their place fails the test, but PING: a test that takes long gets one.
func (p *RawPeer) ReadMessage() (frames []string) {
	p.t.Helper()
	for {
		frame := p.readPastPing()
		if frame.Flags&Command != 0 {
			p.t.Fatalf("command %q, want a message", frame.Body)
		}
		frames = append(frames, string(frame.Body))
		if frame.Flags&More == 0 {
			return frames
		}
	}
}

// readPastPing reads a frame that is not a PING, and answers those that are.
func (p *RawPeer) readPastPing() Frame {
	p.t.Helper()
	for {
		frame := p.ReadFrame()
		after, ping := bytes.CutPrefix(frame.Body, []byte("\x04PING"))
		if frame.Flags&Command == 0 || !ping || len(after) < 2 {
			return frame
		}
		p.SendCommand("PONG", after[2:]) // without the time to live
	}
}

// SendCommand sends a command.
func (p *RawPeer) SendCommand(name string, data []byte) {
	p.t.Helper()
	body := append([]byte{byte(len(name))}, name...)
	p.SendFrame(Command, append(body, data...))
}

// ReadCommand reads a command. A message in its place fails the test.
func (p *RawPeer) ReadCommand() (name string, data []byte) {
	p.t.Helper()
	return p.command(p.ReadFrame())
}

func (p *RawPeer) command(frame Frame) (name string, data []byte) {
	p.t.Helper()
	if frame.Flags&Command == 0 {
		p.t.Fatalf("message frame %q, want a command", frame.Body)
	}
	if len(frame.Body) == 0 || frame.Body[0] == 0 || len(frame.Body) < 1+int(frame.Body[0]) {
		p.t.Fatalf("command %q, whose name is cut short", frame.Body)
	}
	size := 1 + int(frame.Body[0])
	return string(frame.Body[1:size]), frame.Body[size:]
}

// ExpectCommand reads a command, requires it to have this name, and returns its data. Like ReadMessage it reads past a PING, unless that is wanted.
func (p *RawPeer) ExpectCommand(name string) []byte {
	p.t.Helper()
	read := p.readPastPing
	if name == "PING" {
		read = p.ReadFrame
	}
	got, data := p.command(read())
	if got != name {
		p.t.Fatalf("command %s %q, want %s", got, data, name)
	}
	return data
}

// Subscribe subscribes to topic in the form both sides' minor versions ask for: a command from 3.1 on,
// a message before.
func (p *RawPeer) Subscribe(topic string) {
	p.t.Helper()
	if p.minor >= 1 {
		p.SendCommand("SUBSCRIBE", []byte(topic))
	} else {
		p.SendMessage("\x01" + topic)
	}
}

// Cancel takes a subscription back, in the same form.
func (p *RawPeer) Cancel(topic string) {
	p.t.Helper()
	if p.minor >= 1 {
		p.SendCommand("CANCEL", []byte(topic))
	} else {
		p.SendMessage("\x00" + topic)
	}
}
