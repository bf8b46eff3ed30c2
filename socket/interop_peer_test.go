package socket_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds each step of an interop test: far more than a loaded machine needs, and less than
// the timeout of go test.
const patience = 30 * time.Second

// A peerProcess holds sockets of another ZeroMQ implementation. It answers one JSON request per line;
// testdata/peer.py says what there is to ask for.
type peerProcess struct {
	cmd *exec.Cmd
	mu  sync.Mutex // one request at a time
	in  *json.Encoder
	out *json.Decoder
}

type peerRequest struct {
	Op       string         `json:"op"`
	Socket   int            `json:"socket"`
	Type     string         `json:"type,omitempty"`
	Options  map[string]any `json:"options,omitempty"`
	Endpoint string         `json:"endpoint,omitempty"`
	Frames   []peerFrame    `json:"frames,omitempty"`
	From     int            `json:"from"`
	Until    int            `json:"until"`
	Timeout  int64          `json:"timeout"` // milliseconds
}

type peerReply struct {
	Error    string        `json:"error,omitempty"`
	Socket   int           `json:"socket,omitempty"`
	Endpoint string        `json:"endpoint,omitempty"`
	Frames   []peerFrame   `json:"frames,omitempty"`
	Messages [][]peerFrame `json:"messages,omitempty"`
}

type peerFrame struct {
	Hex  string `json:"hex"`
	Size int    `json:"size,omitempty"` // of a long frame, which pattern makes
	Seed byte   `json:"seed,omitempty"`
	CRC  uint32 `json:"crc,omitempty"`
}

// longFrame is the size beyond which a frame is described instead of spelt out.
const longFrame = 4096

// pattern returns size bytes that count up from seed modulo 251, a prime, so that a shifted or
// repeated block shows.
func pattern(size int, seed byte) []byte {
	cycle := make([]byte, 251)
	for i := range cycle {
		cycle[i] = byte((int(seed) + i) % 251)
	}
	return bytes.Repeat(cycle, size/251+1)[:size]
}

func encodeFrames(frames [][]byte) []peerFrame {
	encoded := make([]peerFrame, len(frames))
	for i, f := range frames {
		if len(f) <= longFrame {
			encoded[i] = peerFrame{Hex: hex.EncodeToString(f)}
		} else {
			encoded[i] = peerFrame{Size: len(f), Seed: f[0], CRC: crc32.ChecksumIEEE(f)}
		}
	}
	return encoded
}

// decodeFrames returns the bytes that encoded describes; ok is false if a long frame has another sum
// than its pattern. It returns nil for no frames.
func decodeFrames(encoded []peerFrame) (frames [][]byte, ok bool) {
	for _, e := range encoded {
		if e.Size == 0 {
			f, err := hex.DecodeString(e.Hex)
			if err != nil {
				return nil, false
			}
			frames = append(frames, f)
			continue
		}
		f := pattern(e.Size, e.Seed)
		if crc32.ChecksumIEEE(f) != e.CRC {
			return nil, false
		}
		frames = append(frames, f)
	}
	return frames, true
}

// startLibzmq starts a process with libzmq in it, or skips the test where there is none.
func startLibzmq(t *testing.T) *peerProcess {
	t.Helper()
	if why := systemLibzmq(); why != nil {
		missing(t, why, "python3 and libzmq.so.5 (Debian: python3-zmq)")
	}
	return startPeer(t, python(systemLibrary))
}

// startDraftLibzmq starts a process with a libzmq that has the draft types and ws, or skips the test where there is none.
func startDraftLibzmq(t *testing.T) *peerProcess {
	t.Helper()
	if why := draftLibzmq(); why != nil {
		missing(t, why, "a libzmq with drafts, which .ci/libzmq-draft builds on Debian")
	}
	return startPeer(t, python(draftLibrary()))
}

// missing skips the test for want of what it talks to. In continuous integration nothing may be wanting.
func missing(t *testing.T, why error, wanted string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s: %v", wanted, why)
	}
	t.Skipf("skipped %s: it needs %s: %v", t.Name(), wanted, why)
}

const systemLibrary = "libzmq.so.5"

func draftLibrary() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "(no cache directory)"
	}
	return filepath.Join(cache, "meshmq", "libzmq-draft", "libzmq.so.5")
}

var (
	systemLibzmq = sync.OnceValue(func() error { return loads(systemLibrary) })
	draftLibzmq  = sync.OnceValue(func() error { return loads(draftLibrary()) })
)

// loads returns why the peer program does not run with this library, if so.
func loads(library string) error {
	out, err := python(library).CombinedOutput() // it ends at once, for nobody asks anything
	if err != nil {
		_, last, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\nOSError: ")) // behind where it was raised
		return fmt.Errorf("%w %s", err, last)
	}
	return nil
}

// python is the peer program with this libzmq: without the site packages, for a quick start, and without leaving anything behind.
func python(library string) *exec.Cmd {
	return exec.Command("python3", "-S", "-E", "-B", filepath.Join("testdata", "peer.py"), library)
}

// startPeer starts cmd and ends it with the test, after what the test opens in it has been closed.
func startPeer(t *testing.T, cmd *exec.Cmd) *peerProcess {
	t.Helper()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	require.NoError(t, cmd.Start())
	p := &peerProcess{cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(out)}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && complaints.Len() > 0 {
			t.Logf("%s: %s", filepath.Base(cmd.Path), complaints.String())
		}
	})
	return p
}

// kill ends the process without giving it the time for anything. It returns when its ports are free.
func (p *peerProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // that it was killed is no news
}

// ask has the process do something and fails the test if it cannot.
func (p *peerProcess) ask(t *testing.T, request peerRequest) peerReply {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	hung := time.AfterFunc(2*patience, func() { _ = p.cmd.Process.Kill() })
	defer hung.Stop()
	require.NoError(t, p.in.Encode(request))
	var reply peerReply
	require.NoError(t, p.out.Decode(&reply), "%s: the peer process ended or hung", request.Op)
	require.Empty(t, reply.Error, "%s %s", request.Op, request.Endpoint)
	return reply
}

// tell has the process do something and does not wait for it. Nothing can be asked afterwards.
func (p *peerProcess) tell(t *testing.T, request peerRequest) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NoError(t, p.in.Encode(request))
}

// options are those of libzmq, by their names without ZMQ_.
type options map[string]any

// open opens a socket in the process; it is closed at the end of the test.
func (p *peerProcess) open(t *testing.T, socketType string, o options) *foreign {
	t.Helper()
	reply := p.ask(t, peerRequest{Op: "open", Type: socketType, Options: o})
	return &foreign{t: t, p: p, number: reply.Socket, kind: socketType}
}

// A foreign is a socket in a peerProcess. Its methods fail the test they are called for.
type foreign struct {
	t      *testing.T
	p      *peerProcess
	number int
	kind   string
}

func (f *foreign) socketType() string { return f.kind }

func (f *foreign) bind(endpoint string) string {
	f.t.Helper()
	return f.p.ask(f.t, peerRequest{Op: "bind", Socket: f.number, Endpoint: endpoint}).Endpoint
}

func (f *foreign) connect(endpoint string) {
	f.t.Helper()
	f.p.ask(f.t, peerRequest{Op: "connect", Socket: f.number, Endpoint: endpoint})
}

func (f *foreign) set(o options) {
	f.t.Helper()
	f.p.ask(f.t, peerRequest{Op: "set", Socket: f.number, Options: o})
}

func (f *foreign) subscribe(topic string) {
	f.t.Helper()
	switch f.kind {
	case "XSUB":
		f.send([]byte("\x01" + topic))
	case "DISH":
		f.set(options{"JOIN": topic})
	default:
		f.set(options{"SUBSCRIBE": topic})
	}
}

func (f *foreign) unsubscribe(topic string) {
	f.t.Helper()
	switch f.kind {
	case "XSUB":
		f.send([]byte("\x00" + topic))
	case "DISH":
		f.set(options{"LEAVE": topic})
	default:
		f.set(options{"UNSUBSCRIBE": topic})
	}
}

func (f *foreign) send(frames ...[]byte) {
	f.t.Helper()
	f.p.ask(f.t, peerRequest{Op: "send", Socket: f.number, Frames: encodeFrames(frames)})
}

func (f *foreign) recv() [][]byte {
	f.t.Helper()
	frames := f.tryRecv(patience)
	require.NotNil(f.t, frames, "libzmq's %s received nothing in %s", f.kind, patience)
	return frames
}

// tryRecv returns nil if no message comes within d.
func (f *foreign) tryRecv(d time.Duration) [][]byte {
	f.t.Helper()
	reply := f.p.ask(f.t, peerRequest{Op: "recv", Socket: f.number, Timeout: d.Milliseconds()})
	frames, ok := decodeFrames(reply.Frames)
	require.True(f.t, ok, "a long frame arrived damaged at %s", f.kind)
	return frames
}

// take returns n messages, which come in one reply.
func (f *foreign) take(n int) [][][]byte {
	f.t.Helper()
	reply := f.p.ask(f.t, peerRequest{Op: "take", Socket: f.number, Until: n, Timeout: patience.Milliseconds()})
	require.Len(f.t, reply.Messages, n, "libzmq's %s received too few in %s", f.kind, patience)
	messages := make([][][]byte, n)
	for i, m := range reply.Messages {
		frames, ok := decodeFrames(m)
		require.True(f.t, ok, "a long frame arrived damaged at %s", f.kind)
		messages[i] = frames
	}
	return messages
}

// close returns after the socket's ports are free.
func (f *foreign) close() {
	f.t.Helper()
	f.p.ask(f.t, peerRequest{Op: "close", Socket: f.number})
}
