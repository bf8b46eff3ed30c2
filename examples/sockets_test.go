package examples_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	lines := run(t, "proxy")
	require.Len(t, lines, 13)
	replies, copies := with(lines, "client: "), with(lines, "copy: ")
	assert.Len(t, with(replies, "anna did job "), 2)
	assert.Len(t, with(replies, "ben did job "), 2)
	assert.Equal(t, "proxy: 4 requests, 4 replies, 0 lost", lines[4])
	require.Len(t, copies, 8)
	for i, reply := range replies {
		assert.True(t, strings.HasSuffix(reply, " did "+copies[2*i]), "%s is the reply to %s", reply, copies[2*i])
		assert.Equal(t, reply, copies[2*i+1])
	}
}

func TestClientServer(t *testing.T) {
	t.Parallel()
	lines := run(t, "client-server")
	require.Len(t, lines, 13)
	for _, name := range []string{"anna", "ben"} {
		for _, job := range []string{"job 1", "job 2", "job 3"} {
			assert.Equal(t, []string{" is under way", " is done"}, with(with(lines, name+": "), job), "%s: %s", name, job)
		}
	}
	assert.Equal(t, "server: done with 6 requests", lines[12])
}

func TestSlowJoiner(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"published 500 of weather.", "news. you miss nothing from here on", "received 500 of weather.",
		"published 500 of sport.football", "received 500 of sport.football",
	}, run(t, "slow-joiner"))
}

func TestSocketActivation(t *testing.T) {
	t.Parallel()
	lines := run(t, "socket-activation")
	require.Len(t, lines, 1)
	assert.Regexp(t, `^process \d+ says hello to anna$`, lines[0])
}

// TestSocketActivation_Passed: as a service manager does it, the listener is there before the service and stays when it goes.
func TestSocketActivation_Passed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows passes no files")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	defer file.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var said []string
	for range 2 {
		req := socket.NewReq() // connects to a port without a process
		require.NoError(t, req.Connect("tcp://"+listener.Addr().String()))
		service := exec.CommandContext(ctx, filepath.Join(programs, "socket-activation"), "-stay")
		service.Env = append(os.Environ(), "LISTEN_FDS=1")
		service.ExtraFiles = []*os.File{file}
		service.Stderr = os.Stderr
		require.NoError(t, service.Start())
		reply, err := req.Request(ctx, []byte("ben"))
		require.NoError(t, err)
		said = append(said, reply.String())
		require.NoError(t, req.Close())
		require.NoError(t, service.Process.Signal(os.Interrupt))
		require.NoError(t, service.Wait())
	}
	assert.NotEqual(t, said[0], said[1], "another process")
	assert.Regexp(t, `^process \d+ says hello to ben$`, said[1])
}

func TestWebsocket(t *testing.T) {
	t.Parallel()
	lines := run(t, "websocket")
	require.Len(t, lines, 4)
	assert.Regexp(t, `^page: http://127\.0\.0\.1:\d+$`, lines[0])
	assert.Len(t, with(lines, "time over ws: "), 3)
}

// TestWebsocket_Page runs the script of the page in node, where that has what browsers have.
func TestWebsocket_Page(t *testing.T) {
	t.Parallel()
	node := []string{"node", "--experimental-websocket"}
	if exec.CommandContext(t.Context(), node[0], append(node[1:], "-e", "WebSocket")...).Run() != nil {
		t.Skip("no node with WebSocket")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	example := exec.CommandContext(ctx, filepath.Join(programs, "websocket"), "-stay")
	out, err := example.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, example.Start())
	defer example.Wait()
	defer cancel()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)

	get, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSpace(strings.TrimPrefix(line, "page: ")), nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(get)
	require.NoError(t, err)
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	script := regexp.MustCompile(`(?s)<script>(.*)</script>`).FindSubmatch(page)
	require.NotNil(t, script, "%s", page)
	const document = `globalThis.document = {getElementById: () => ({set textContent(s) { console.log(s); process.exit(0) }})};`
	said, err := exec.CommandContext(ctx, node[0], slices.Concat(node[1:], []string{"-e", document + string(script[1])})...).Output()
	require.NoError(t, err)
	assert.Regexp(t, `^time \d{4}-\d\d-\d\dT\S+\n$`, string(said))
}
