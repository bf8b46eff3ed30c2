package zmq4

import "github.com/go-zeromq/zmq4"

// These are the types of go-zeromq: see there.
type (
	Socket                = zmq4.Socket
	Topics                = zmq4.Topics
	Msg                   = zmq4.Msg
	MsgType               = zmq4.MsgType
	Cmd                   = zmq4.Cmd
	Conn                  = zmq4.Conn
	Metadata              = zmq4.Metadata
	Property              = zmq4.Property
	Queue                 = zmq4.Queue
	Security              = zmq4.Security
	SecurityType          = zmq4.SecurityType
	SocketIdentity        = zmq4.SocketIdentity
	SocketType            = zmq4.SocketType
	UnknownTransportError = zmq4.UnknownTransportError
)

// The types of sockets.
const (
	Pair   = zmq4.Pair
	Pub    = zmq4.Pub
	Sub    = zmq4.Sub
	Req    = zmq4.Req
	Rep    = zmq4.Rep
	Dealer = zmq4.Dealer
	Router = zmq4.Router
	Pull   = zmq4.Pull
	Push   = zmq4.Push
	XPub   = zmq4.XPub
	XSub   = zmq4.XSub
)

// The types of messages. Sockets send only the first; commands are their own affair.
const (
	UsrMsg = zmq4.UsrMsg
	CmdMsg = zmq4.CmdMsg
)

// The security mechanisms.
const (
	NullSecurity  = zmq4.NullSecurity
	PlainSecurity = zmq4.PlainSecurity
	CurveSecurity = zmq4.CurveSecurity
)

// The names of commands.
const (
	CmdCancel      = zmq4.CmdCancel
	CmdError       = zmq4.CmdError
	CmdHello       = zmq4.CmdHello
	CmdInitiate    = zmq4.CmdInitiate
	CmdPing        = zmq4.CmdPing
	CmdPong        = zmq4.CmdPong
	CmdReady       = zmq4.CmdReady
	CmdSubscribe   = zmq4.CmdSubscribe
	CmdUnsubscribe = zmq4.CmdUnsubscribe
	CmdWelcome     = zmq4.CmdWelcome
)

// Options for SetOption and GetOption. The value of the first two is a topic, a string; that of OptionHWM an int.
const (
	OptionSubscribe   = zmq4.OptionSubscribe
	OptionUnsubscribe = zmq4.OptionUnsubscribe
	OptionHWM         = zmq4.OptionHWM
)

// The errors of go-zeromq, the same values.
var (
	ErrBadCmd      = zmq4.ErrBadCmd
	ErrBadFrame    = zmq4.ErrBadFrame
	ErrBadProperty = zmq4.ErrBadProperty
	ErrClosedConn  = zmq4.ErrClosedConn
)

// NewMsg returns a message of one frame, which it does not copy.
func NewMsg(frame []byte) Msg { return zmq4.NewMsg(frame) }

// NewMsgFrom returns a message of the given frames, which it does not copy.
func NewMsgFrom(frames ...[]byte) Msg { return zmq4.NewMsgFrom(frames...) }

// NewMsgString returns a message of one frame.
func NewMsgString(frame string) Msg { return zmq4.NewMsgString(frame) }

// NewMsgFromString returns a message of the given frames.
func NewMsgFromString(frames []string) Msg { return zmq4.NewMsgFromString(frames) }

// NewQueue returns an empty queue of messages.
func NewQueue() *Queue { return zmq4.NewQueue() }

// Transports returns the schemes of endpoints, sorted.
func Transports() []string { return []string{"inproc", "ipc", "tcp", "tls+tcp", "ws", "wss"} }
