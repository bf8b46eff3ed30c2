package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

var errHandshake = errors.New("no handshake within WithHandshakeTimeout")

// meshProperty tells peers of ours from others in READY. Its value is the version of what we do beyond ZMTP.
const meshProperty = "X-Mesh"

// ownProperties are the names that WithProperty does not take.
var ownProperties = []string{meshProperty, zmtp.PropertyAck, limitsProperty}

// meet does the handshake with the peer at the other end of nc. It returns the connection as it is from then on, what was read from it behind the
// handshake, and the peer, as far as it is known also with an error.
func (c *core) meet(ctx context.Context, nc net.Conn, p *pipe) (conn *link.Conn, early []byte, who *Peer, err error) {
	who = &Peer{address: addressOf(nc), endpoint: p.endpoint, credentials: credentialsOf(nc)}
	if c.raw {
		err = c.openRaw(ctx, nc, p)
		who.tls = tlsOf(nc)
		return link.NewRawConn(nc), nil, who, err
	}
	h, early, err := c.handshake(ctx, nc, p)
	who.tls = tlsOf(nc)
	if h == nil {
		return nil, nil, who, err
	}
	peer := h.Peer()
	who.mechanism, who.publicKey = peer.Mechanism, peer.PublicKey
	if err != nil {
		return nil, nil, who, err
	}
	who.identity, who.socketType = string(peer.Identity), string(peer.SocketType)
	who.major, who.minor, who.metadata = peer.Major, peer.Minor, peer.Metadata
	who.userID, who.granted = peer.UserID, peer.Granted
	who.ackIn, who.ackOut, who.takes = c.cfg.acknowledged(who)
	if c.cfg.peerLimits {
		who.learnLimits()
	}
	who.takesAny = who.takes.least()
	if seal, open := h.Traffic(); seal != nil {
		return link.NewSealedConn(nc, seal, open, early, c.maxMessage()), nil, who, nil
	}
	if peer.Major == 1 {
		nc, early = newOldConn(nc, early), nil
	}
	return link.NewConn(nc), early, who, nil
}

// openRaw opens what lies below the octets of a STREAM.
func (c *core) openRaw(ctx context.Context, nc net.Conn, p *pipe) error {
	secure, ok := nc.(interface{ Handshake() error })
	if !ok {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	_ = nc.SetDeadline(c.handshakeDeadline(p.dialer != nil))
	c.door.listen(p.guest, true)
	err := secure.Handshake()
	c.door.listen(p.guest, false)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errHandshake
	}
	_ = nc.SetDeadline(time.Time{})
	return err
}

// handshake greets the peer and learns who it is. It returns the bytes that came behind.
func (c *core) handshake(ctx context.Context, nc net.Conn, p *pipe) (h *zmtp.Handshake, early []byte, err error) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	h, err = c.newHandshake(nc, p)
	if err != nil {
		return nil, nil, err
	}
	deadline := c.handshakeDeadline(p.dialer != nil)
	_ = nc.SetDeadline(deadline)
	early, err = meet(nc, &answering{h, func(who zmtp.Credentials) Verdict {
		return c.authenticated(ctx, nc, p.endpoint, who)
	}, func(waits bool) { c.door.listen(p.guest, waits) }}, deadline)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = overdue(h)
	}
	_ = nc.SetDeadline(time.Time{})
	c.guessed(nc, err)
	return h, early, err
}

// overdue is what a handshake ends with that its deadline strikes. A peer may have the credentials and say nothing as well as close.
func overdue(h *zmtp.Handshake) error {
	if silence, ok := errors.AsType[*zmtp.HandshakeError](h.Closed()); ok && silence.Reason == zmtp.Unanswered {
		return &limitError{fmt.Errorf("%w: %w", errHandshake, silence), RefusedTimeout}
	}
	return errHandshake
}

// cookieLife bounds a handshake with CURVE whatever the options say. RFC 26: the key of a cookie is forgotten after a minute at most.
const cookieLife = time.Minute

func (c *core) handshakeDeadline(dialed bool) time.Time {
	limit := c.cfg.handshakeTime(dialed)
	if c.cfg.mechanismIs == "CURVE" && (limit == 0 || limit > cookieLife) {
		limit = cookieLife
	}
	if limit == 0 {
		return time.Time{}
	}
	return time.Now().Add(limit)
}

// announced are the properties that peers are told on a way, zero for those who connect to us.
func (c *config) announced(way uint64) zmtp.Metadata {
	props := zmtp.Metadata{{Name: meshProperty, Value: []byte("1")}}
	if offer, some := c.offer(); some {
		offer.Way = way
		props = append(props, zmtp.Property{Name: zmtp.PropertyAck, Value: zmtp.AppendAckOffer(nil, offer)})
	}
	if c.peerLimits {
		props = append(props, zmtp.Property{Name: limitsProperty, Value: c.appendLimits(nil)})
	}
	for name, value := range c.properties {
		props = append(props, zmtp.Property{Name: name, Value: []byte(value)})
	}
	return props
}

// checkAnnounced returns why no handshake can come about with what WithProperty says. A quarter of the bytes is for a CURVE handshake around it.
func (c *config) checkAnnounced() error {
	if len(c.properties) == 0 {
		return nil
	}
	if _, err := zmtp.NewHandshake(zmtp.Config{SocketType: c.typ, Properties: c.announced(math.MaxUint64), MaxCommand: c.maxPropertyBytes * 3 / 4, MaxProperties: c.maxProperties}); err != nil {
		return fmt.Errorf("%w: WithProperty: %w", ErrOption, err)
	}
	return nil
}

func (c *core) newHandshake(nc net.Conn, p *pipe) (*zmtp.Handshake, error) {
	var mechanism zmtp.Mechanism
	var way uint64
	if p.dialer != nil {
		way = p.dialer.way
	}
	if c.cfg.mechanism != nil {
		var err error
		if mechanism, err = c.cfg.mechanism(); err != nil {
			return nil, err
		}
	}
	return zmtp.NewHandshake(zmtp.Config{
		SocketType: c.typ, Identity: c.cfg.identity, Properties: c.cfg.announced(way), Mechanism: mechanism,
		Downgrade: bare(nc),
		// With our READY the peer may send what is lost if we refuse it then.
		Admit: func() error {
			if err := c.door.ready(p.guest); err != nil {
				return err
			}
			return c.pat.reserve(p)
		},
		Identify:     func(who zmtp.Peer) (string, error) { return c.identified(p, nc, who) },
		Authenticate: c.cfg.authenticator != nil,
		MaxBytes:     c.cfg.maxHandshakeBytes, MaxCommand: c.cfg.maxPropertyBytes, MaxProperties: c.cfg.maxProperties,
		Patient: p.dialer == nil && (!c.cfg.handover || c.cfg.authenticator != nil),
	})
}

// identified asks the pattern about a peer that has said who it is. One of ours is told why it is refused; others are hung up on
// without an ERROR, after which libzmq would never come back.
func (c *core) identified(p *pipe, nc net.Conn, who zmtp.Peer) (tell string, err error) {
	if n := len(who.Identity); n > c.cfg.maxIdentity {
		return "", &limitError{fmt.Errorf("identity of %d bytes, WithMaxIdentity allows %d", n, c.cfg.maxIdentity), RefusedIdentity}
	}
	err = c.pat.identify(p, who)
	switch {
	case err != nil:
	case c.cfg.ackRequired && !c.cfg.acknowledges(who):
		err = errNoAck
	case c.cfg.durable != nil && !c.cfg.keepsLog(who):
		err = errNoLog
	default:
		if of, drawn, some := c.cfg.lifeOf(who.Metadata, who.UserID, verifiedName(tlsOf(nc))); some {
			certain, conflict := c.lives.check(of, drawn)
			if err = conflict; err != nil && !certain {
				return "", err // without a word it soon asks again
			}
		}
	}
	if _, ours := who.Metadata.Get(meshProperty); ours && err != nil {
		tell = err.Error()
	}
	return tell, err
}

// bare reports whether a connection carries octets as they are. Nothing else is where old peers come from, and others may not
// bear that a read is given up before they are open.
func bare(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	local := nc.LocalAddr()
	return local != nil && local.Network() == "inproc"
}

// holdBack is how long part of our greeting is held back for peers of ZMTP 1.0 and 2.0, which speak at once: longer than
// a way around the world, short enough to bear for a peer that waits for all of it.
const holdBack = 300 * time.Millisecond

// shake moves bytes between the connection and the handshake until that is done, or the deadline strikes.
func shake(nc net.Conn, h *answering, deadline time.Time) (early []byte, err error) {
	h.listen(!bare(nc)) // what lies below ZMTP, TLS or WebSocket, is opened by the first write, and waits for the peer
	_, err = nc.Write(h.Start())
	h.listen(false)
	if err != nil {
		return nil, err
	}
	rest := time.Now().Add(holdBack)
	buf := make([]byte, 512) // a greeting and a READY
	for !h.Done() {
		until := deadline
		if h.HoldsBack() && (until.IsZero() || rest.Before(until)) {
			until = rest
		}
		_ = nc.SetReadDeadline(until)
		h.listen(true)
		n, err := nc.Read(buf)
		h.listen(false)
		var used int
		var out []byte
		switch {
		case n > 0:
			used, out, err = h.Step(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded) && until == rest && unread(nc) > 0: // it is we who are late
			rest, err = time.Now().Add(holdBack), nil
		case errors.Is(err, os.ErrDeadlineExceeded) && until == rest:
			out, err = h.Rest(), nil
		case gone(err) && h.Closed() != nil:
			err = h.Closed()
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("peer closed the connection during the handshake: %w", io.ErrUnexpectedEOF)
		}
		if len(out) > 0 {
			if _, werr := nc.Write(out); werr != nil && err == nil {
				err = werr
			}
		}
		if err != nil {
			return nil, err
		}
		early = buf[used:n]
	}
	return early, nil
}

// gone reports whether err says that the peer closed the connection, maybe with octets of ours unread.
func gone(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }
