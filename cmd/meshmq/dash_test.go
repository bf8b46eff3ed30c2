package main

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var page = regexp.MustCompile(`(?m)^(http://127\.0\.0\.1:\d+/)$`)

// TestDash: the page is where standard output says, and shows what a monitor tells.
func TestDash(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	_, _, at := startWatched(t)
	dash := start(t, "dash", "-c", at, "--interval", "100ms")
	url := dash.stdout.await(t, page)[1]
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	fetch := func(path string) string {
		r, err := client.Get(url + path)
		require.NoError(t, err)
		defer r.Body.Close()
		assert.Equal(t, http.StatusOK, r.StatusCode)
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return string(b)
	}
	assert.Contains(t, fetch(""), "<title>meshmq dash</title>")
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Contains(c, fetch("table.json"), `{"name":"pull PULL","part":false,"cells":["-",`)
	}, patience, 20*time.Millisecond)
	dash.signal(os.Interrupt)
	assert.Equal(t, 130, dash.wait().code)
}

func TestDashNobody(t *testing.T) {
	t.Parallel()
	r := meshmq(t, "dash", "-c", "ipc://"+t.TempDir()+"/nobody", "--timeout", "300ms")
	assert.Equal(t, 4, r.code, r.stderr)
	r = meshmq(t, "dash", "--listen", "8080")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.stderr, `--listen "8080": want HOST:PORT`)
}
