package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// ZAPEndpoint is where handlers of ZAP are bound (RFC 27, "Architecture").
const ZAPEndpoint = "inproc://zeromq.zap.01"

// ZAP is an Authenticator that asks a handler of RFC 27, the ZeroMQ Authentication Protocol: a REP or ROUTER socket that somebody has bound.
// What the handler answers with anything but a well-formed 200 does not come in, nor what it does not answer in time.
//
//	our DEALER                                            the handler
//	"" "1.0" id domain address identity mechanism credentials...
//	                             "" "1.0" id status text user-id metadata
type ZAP struct {
	// Domain tells the handler which of its rules are meant (ZMQ_ZAP_DOMAIN): 1 to 255 printable ASCII characters.
	Domain string
	// Endpoint is where the handler, or a proxy to it, is bound; empty means ZAPEndpoint. It may be bound later.
	Endpoint string
}

const (
	zapVersion = "1.0"
	zapString  = 255       // RFC 27, "Message Format": the longest string
	zapAnswer  = 128 << 10 // more than the largest metadata
)

// zapRequests numbers the requests of this process.
var zapRequests atomic.Uint64

func (z ZAP) endpoint() string {
	if z.Endpoint == "" {
		return ZAPEndpoint
	}
	return z.Endpoint
}

func (z ZAP) check(*config) error {
	if z.Domain == "" || !isZAPString([]byte(z.Domain)) {
		return fmt.Errorf("ZAP domain %.40q: want 1 to %d printable ASCII characters", z.Domain, zapString)
	}
	if _, err := transport.ParseConnect(z.endpoint()); err != nil {
		return fmt.Errorf("ZAP: %w", err)
	}
	return nil
}

// isZAPString holds b against RFC 27, "Message Format".
func isZAPString(b []byte) bool {
	return len(b) <= zapString && bytes.IndexFunc(b, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// Authenticate asks the handler. Each request has a socket of its own, so that a late answer reaches nobody.
func (z ZAP) Authenticate(ctx context.Context, r Request) Verdict {
	if err := z.check(nil); err != nil {
		return Verdict{Decision: Fail, Reason: err.Error()}
	}
	id := strconv.AppendUint(nil, zapRequests.Add(1), 10)
	v, err := z.exchange(ctx, id, zapRequest(id, z.Domain, r))
	if err != nil {
		return Verdict{Decision: Fail, Reason: fmt.Sprintf("ZAP handler at %s: %v", z.endpoint(), err)}
	}
	return v
}

func (z ZAP) exchange(ctx context.Context, id []byte, request [][]byte) (Verdict, error) {
	dealer := NewDealer(WithLinger(0), WithMaxMessageSize(zapAnswer))
	defer dealer.Close()
	if err := dealer.Connect(z.endpoint()); err != nil {
		return Verdict{}, err
	}
	if err := dealer.WaitPeers(ctx, 1); err != nil {
		return Verdict{}, errors.New("nobody is there")
	}
	if err := dealer.Send(ctx, request...); err != nil {
		return Verdict{}, err
	}
	m, err := dealer.Recv(ctx)
	if err != nil {
		return Verdict{}, errors.New("no answer")
	}
	return zapReply(id, m.Frames)
}

func zapRequest(id []byte, domain string, r Request) [][]byte {
	frames := [][]byte{nil, []byte(zapVersion), id, []byte(domain), []byte(zapAddress(r)), []byte(r.Identity), []byte(r.Mechanism)}
	switch r.Mechanism {
	case "PLAIN":
		frames = append(frames, []byte(r.User), []byte(r.Password))
	case "CURVE":
		frames = append(frames, r.PublicKey[:])
	}
	return frames
}

// zapAddress is the peer's IP address without its port and, for peers of ipc, what libzmq says in its place.
func zapAddress(r Request) string {
	if tcp, ok := r.Address.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("").String()
	}
	if who := r.Credentials; who != nil {
		return fmt.Sprintf("localhost:%d:%d:%d", who.UID, who.GID, who.PID)
	}
	return "localhost"
}

// zapReply reads an answer, as a DEALER gets it.
func zapReply(id []byte, frames [][]byte) (v Verdict, err error) {
	switch {
	case len(frames) != 7:
		return v, fmt.Errorf("an answer of %d frames, want 7", len(frames))
	case len(frames[0]) > 0:
		return v, errors.New("an answer without the empty frame that it begins with")
	case string(frames[1]) != zapVersion:
		return v, fmt.Errorf("version %.20q, want %q", frames[1], zapVersion)
	case !bytes.Equal(frames[2], id):
		return v, errors.New("an answer to another request")
	case !isZAPString(frames[4]):
		return v, fmt.Errorf("a status text of %d bytes, want printable ASCII, at most %d", len(frames[4]), zapString)
	case len(frames[5]) > zapString:
		return v, fmt.Errorf("a user id of %d bytes, want at most %d", len(frames[5]), zapString)
	}
	v.Reason = string(frames[4])
	switch string(frames[3]) {
	case "200":
		v = Verdict{Decision: Allow, UserID: string(frames[5])}
		v.Metadata, err = zmtp.ParseMetadata(frames[6])
	case "300":
		v.Decision = TryLater
	case "400":
		v.Decision = Deny
	case "500":
		v.Decision = Fail
	default:
		err = fmt.Errorf("status %.20q, want 200, 300, 400 or 500", frames[3])
	}
	return v, err
}
