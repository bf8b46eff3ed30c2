package socket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/stretchr/testify/require"
)

// zmq4PeerEnv, when set, makes this test binary a peer process of go-zeromq/zmq4 instead. It has its own
// process because its sockets leave goroutines behind, which our leak check would take for ours.
const zmq4PeerEnv = "MESHMQ_TEST_ZMQ4_PEER"

func init() {
	if os.Getenv(zmq4PeerEnv) != "" {
		serveZMQ4(os.Stdin, os.Stdout)
		os.Exit(0)
	}
}

// startZMQ4 starts a process with go-zeromq/zmq4 in it.
func startZMQ4(t *testing.T) *peerProcess {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), zmq4PeerEnv+"=1")
	return startPeer(t, cmd)
}

// serveZMQ4 is the counterpart of testdata/peer.py.
func serveZMQ4(in io.Reader, out io.Writer) {
	var sockets []*zmq4Socket
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var request peerRequest
		if requests.Decode(&request) != nil {
			return
		}
		var reply peerReply
		if request.Op == "open" {
			s, err := openZMQ4(request.Type, request.Options)
			if err != nil {
				reply.Error = err.Error()
			}
			sockets = append(sockets, s)
			reply.Socket = len(sockets)
		} else if err := sockets[request.Socket-1].do(request, &reply); err != nil {
			reply.Error = err.Error()
		}
		if replies.Encode(reply) != nil {
			return
		}
	}
}

type zmq4Socket struct {
	zmq4.Socket
	incoming chan zmq4Result // of the Recv under way, nil if there is none
}

type zmq4Result struct {
	msg zmq4.Msg
	err error
}

func openZMQ4(socketType string, o map[string]any) (*zmq4Socket, error) {
	constructor, known := map[string]func(context.Context, ...zmq4.Option) zmq4.Socket{
		"PUSH": zmq4.NewPush, "PULL": zmq4.NewPull, "REQ": zmq4.NewReq, "REP": zmq4.NewRep,
		"DEALER": zmq4.NewDealer, "ROUTER": zmq4.NewRouter, "PUB": zmq4.NewPub, "SUB": zmq4.NewSub,
		"XPUB": zmq4.NewXPub, "XSUB": zmq4.NewXSub, "PAIR": zmq4.NewPair,
	}[socketType]
	if !known {
		return nil, fmt.Errorf("unknown socket type %s", socketType)
	}
	settings := []zmq4.Option{zmq4.WithTimeout(patience), zmq4.WithLogger(log.New(io.Discard, "", 0))}
	if id, set := o["ROUTING_ID"].(string); set {
		settings = append(settings, zmq4.WithID(zmq4.SocketIdentity(id)))
	}
	return &zmq4Socket{Socket: constructor(context.Background(), settings...)}, nil
}

func (s *zmq4Socket) do(request peerRequest, reply *peerReply) error {
	switch request.Op {
	case "close":
		go func() { _ = s.Close() }() // it takes its time, and complains of connections that are closed already
		return nil
	case "bind":
		if err := s.Listen(request.Endpoint); err != nil {
			return err
		}
		reply.Endpoint = request.Endpoint
		if strings.HasPrefix(request.Endpoint, "tcp:") {
			reply.Endpoint = "tcp://" + s.Addr().String()
		}
		return nil
	case "connect":
		return s.Dial(request.Endpoint)
	case "set":
		for name, value := range request.Options { // SUBSCRIBE and UNSUBSCRIBE, which zmq4 calls the same
			if err := s.SetOption(name, value); err != nil {
				return err
			}
		}
		return nil
	case "send":
		frames, _ := decodeFrames(request.Frames)
		return s.send(frames)
	case "recv":
		frames, err := s.recv(time.Duration(request.Timeout) * time.Millisecond)
		reply.Frames = encodeFrames(frames)
		return err
	}
	return errors.ErrUnsupported
}

// send tries again while there is no connection: a REQ of zmq4 that is bound fails then, and it knows of
// a connection a little later than its peer.
func (s *zmq4Socket) send(frames [][]byte) error {
	deadline := time.After(patience)
	for {
		err := s.Send(zmq4.NewMsgFrom(frames...))
		if err == nil || s.Type() != zmq4.Req {
			return err
		}
		select {
		case <-deadline:
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// recv returns no frames if no message comes within d. The Recv under way then serves the next call.
func (s *zmq4Socket) recv(d time.Duration) ([][]byte, error) {
	if s.incoming == nil {
		incoming := make(chan zmq4Result, 1)
		go func() {
			msg, err := s.Recv()
			incoming <- zmq4Result{msg, err}
		}()
		s.incoming = incoming
	}
	select {
	case r := <-s.incoming:
		s.incoming = nil
		return r.msg.Frames, r.err
	case <-time.After(d):
		return nil, nil
	}
}
