package socket_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

func resume(from zmtp.ResumeFrom, value uint64, name string) []byte {
	return zmtp.AppendResume(nil, &zmtp.Resume{Name: name, From: from, Value: value})
}

// replayed is a siege of publishers whose log holds the last of a thousand messages, and has so many names at most.
func replayed(t *testing.T, some types, names int, attack func(g *siege)) {
	for _, typ := range some {
		log := socket.WithSpool(filepath.Join(t.TempDir(), typ), spool.Options{SegmentSize: 64 << 10, Policy: spool.OS, Retention: spool.Retention{Count: 100}})
		published := false
		assault(t, types{typ}, func(g *siege) {
			if b := g.victims[0]; !published {
				body := make([]byte, 300)
				for range 1000 {
					require.NoError(t, b.socket.(sender).Send(t.Context(), text("t"), body))
				}
				b.settled(func() bool { return b.socket.Stats().Spool.Bytes < 256<<10 })
				published = true
			}
			attack(g)
		}, log, socket.WithMaxDurables(names))
	}
}

// resumes comes as a subscriber that asks for messages of the log, and takes any number of them.
func (b *besieged) resumes(command []byte) *sockettest.RawPeer {
	p := b.enter(receives)
	p.Subscribe("t")
	p.Write(append(zmtp.AppendCredit(nil, math.MaxInt64, math.MaxInt64), command...))
	return p
}

// Who wants messages of a log from where none can be is refused. Before its beginning those that are gone are named, and beyond its end there is nothing yet.
func TestAttack35_ReplaysFromNowhere(t *testing.T) {
	forged := lies{socket.RefusedProtocol: {
		resume(zmtp.FromNumber, 0, "name"), resume(zmtp.FromNumber, 1<<63, "name"), resume(zmtp.FromNumber, math.MaxUint64, "name"), resume(zmtp.FromTime, 1<<63, "name"),
		resume(4, 1, "name"), resume(0, 0, ""), resume(0, 0, "../up"), resume(0, 0, "a\x00b"), bytes.Repeat(resume(0, 0, "twice"), 2),
	}}
	replayed(t, publishers, 3, func(g *siege) {
		forged.say(g, "1 receive")
		g.each(0, 0, func(b *besieged) {
			before := b.resumes(resume(zmtp.FromNumber, 1, "before"))
			before.ExpectCommand("RESUMED")
			lost, err := zmtp.ParseLost(before.ExpectCommand("LOST"))
			require.NoError(t, err)
			assert.EqualValues(t, 1, lost.First)
			assert.Less(t, lost.Last, uint64(1000-100))
			answer, err := zmtp.ParseResumed(b.resumes(resume(zmtp.FromNumber, math.MaxInt64, "beyond")).ExpectCommand("RESUMED"))
			require.NoError(t, err)
			assert.EqualValues(t, 1001, answer.Next)
			assert.EqualValues(t, 1000, answer.Floor)
		})
	})
}

// Of a crowd that asks for all of a log at once, under more names than there may be, those with other names are refused, and the rest, which read nothing of what they
// asked for, cost what is under way to each.
func TestAttack35_ManyReplays(t *testing.T) {
	const names, madeUp, workers = 3, 100, 32
	replayed(t, types{"PUB"}, names, func(g *siege) {
		g.each(socket.RefusedTopics, manyReplays*(madeUp-names)/madeUp, func(b *besieged) {
			for i := range names {
				b.resumes(resume(zmtp.FromBeginning, 0, fmt.Sprint(i))).ExpectCommand("RESUMED")
			}
			var resumed, refused atomic.Int64
			var all sync.WaitGroup
			for worker := range workers {
				all.Go(func() {
					for i := worker; i < manyReplays; i += workers {
						if !assert.NoError(t, b.resumesAgain(fmt.Sprint(i%madeUp), &resumed, &refused)) {
							return
						}
					}
				})
			}
			all.Wait()
			assert.EqualValues(t, manyReplays*names/madeUp, resumed.Load())
			assert.EqualValues(t, manyReplays*(madeUp-names)/madeUp, refused.Load())
		})
	})
}

// resumesAgain is resumes as quick as can be, and notes the answer. Who is refused goes, the others stay until the attack is over.
func (b *besieged) resumesAgain(name string, resumed, refused *atomic.Int64) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.bound, "tcp://"))
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(sockettest.Timeout))
	said := hello("NULL") + ready(b.peer, property("X-Mesh", "1"), property(receives.Name, receives.Value)) + command("SUBSCRIBE", "t") + string(resume(zmtp.FromBeginning, 0, name))
	if _, err := io.WriteString(conn, said); err != nil {
		return err
	}
	var got []byte
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		switch {
		case bytes.Contains(got, []byte("\x07RESUMED")):
			resumed.Add(1)
			b.mu.Lock()
			b.open = append(b.open, sockettest.NewRaw(forgetful{b.t}, conn))
			b.mu.Unlock()
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("neither resumed nor refused: %w, after %q", err, got)
		case err != nil:
			refused.Add(1)
			return conn.Close()
		}
	}
}
