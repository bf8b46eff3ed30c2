package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxPacket is the largest answer by UDP that gets through everywhere; larger ones come by TCP.
	maxPacket = 1232
	// answerTime is how long a server may take: a packet that was lost is better asked of the next one.
	answerTime = 2 * time.Second
)

// exchange asks a server by UDP, and by TCP if the answer does not fit. It ends with ctx.
func exchange(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	answer, err := over(ctx, "udp", server, question)
	if err == nil && answer.Truncated {
		return byTCP(ctx, server, question)
	}
	return answer, err
}

// byTCP asks a server by TCP alone. What does not fit there either is no answer: what is missing is not gone.
func byTCP(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	answer, err := over(ctx, "tcp", server, question)
	if err == nil && answer.Truncated {
		return nil, errors.New("tcp: the answer is cut short")
	}
	return answer, err
}

// over asks a server in one way, from a port of its own, which with the number of the question is what keeps others from answering.
func over(ctx context.Context, network, server string, question *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer by %s in %v", network, answerTime))
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, network, server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", network, err)
	}
	conn := &dns.Conn{Conn: nc, UDPSize: maxPacket}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	if err = conn.WriteMsg(question); err == nil {
		var answer *dns.Msg
		for {
			if answer, err = conn.ReadMsg(); err == nil && answers(answer, question) {
				return answer, nil
			}
			if err != nil && (network == "tcp" || !malformed(err)) {
				break
			}
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, fmt.Errorf("%s: %w", network, err)
}

// answers reports whether that is what was asked. Anybody can send a packet.
func answers(answer, question *dns.Msg) bool {
	if answer.Id != question.Id || !answer.Response || len(answer.Question) != 1 {
		return false
	}
	a, q := answer.Question[0], question.Question[0]
	return a.Qtype == q.Qtype && a.Qclass == q.Qclass && strings.EqualFold(a.Name, q.Name)
}

// malformed reports whether an error is about what was read, and not about reading.
func malformed(err error) bool {
	var wire *dns.Error
	return errors.As(err, &wire)
}
