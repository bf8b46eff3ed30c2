package socket_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// spoolDir is a directory on the disk that MESHMQ_BENCH_DIR names: temporary ones may be memory.
func spoolDir(b *testing.B) string {
	b.Helper()
	parent := os.Getenv("MESHMQ_BENCH_DIR")
	if parent == "" {
		return filepath.Join(b.TempDir(), "spool")
	}
	dir, err := os.MkdirTemp(parent, "spool")
	require.NoError(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "spool")
}

// BenchmarkSpool sends through a spool to a PULL over tcp; bench/durable compares with what the disk can do.
func BenchmarkSpool(b *testing.B) {
	body, ctx := make([]byte, 100), context.Background()
	for name, send := range map[string]func(b *testing.B, push *socket.Push){
		"async": func(b *testing.B, push *socket.Push) {
			for range b.N {
				if _, err := push.Enqueue(ctx, body); err != nil {
					b.Fatal(err)
				}
			}
		},
		"senders": func(b *testing.B, push *socket.Push) {
			b.SetParallelism(128)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := push.Send(ctx, body); err != nil {
						b.Error(err)
					}
				}
			})
		},
	} {
		b.Run(name, func(b *testing.B) {
			push, pull := socket.NewPush(socket.WithSpool(spoolDir(b), spool.Options{})), socket.NewPull()
			defer pull.Close()
			endpoint, err := pull.Bind("tcp://127.0.0.1:0")
			require.NoError(b, err)
			require.NoError(b, push.Connect(endpoint))
			require.NoError(b, push.WaitPeers(ctx, 1))
			b.ReportAllocs()
			b.ResetTimer()
			received := make(chan struct{})
			go func() { // ends when all are there
				defer close(received)
				for range b.N {
					if _, err := pull.Recv(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			}()
			send(b, push)
			<-received
			b.StopTimer()
			require.NoError(b, push.Shutdown(ctx))
		})
	}
}

// BenchmarkSpoolReplay delivers what is on disk to a PULL over tcp.
func BenchmarkSpoolReplay(b *testing.B) {
	body, ctx, dir := make([]byte, 100), context.Background(), spoolDir(b)
	log, err := spool.Open(dir, spool.Options{Policy: spool.OS})
	require.NoError(b, err)
	for range b.N {
		_, err := log.Enqueue(ctx, body)
		require.NoError(b, err)
	}
	require.NoError(b, log.Close())
	push, pull := socket.NewPush(socket.WithSpool(dir, spool.Options{})), socket.NewPull()
	defer pull.Close()
	endpoint, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(b, err)
	require.NoError(b, push.Connect(endpoint))
	require.NoError(b, push.WaitPeers(ctx, 1))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := pull.Recv(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	require.NoError(b, push.Shutdown(ctx))
}
