package watch_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
)

// get asks the page of rounds, as a browser does that was given this host.
func get(method, host, target string) *httptest.ResponseRecorder {
	page := watch.NewPage("dash.example", 2000)
	page.Set(rounds())
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w
}

const here = "127.0.0.1:8080"

// What the page gets is what the screen shows.
func TestPageTable(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"page.json": "/table.json", "page-peers.json": "/table.json?sort=queue&peers=true"} {
		w := get("GET", here, target)
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		var pretty bytes.Buffer
		require.NoError(t, json.Indent(&pretty, w.Body.Bytes(), "", " "))
		golden(t, name, pretty.String())
	}
	assert.Equal(t, http.StatusBadRequest, get("GET", here, "/table.json?sort=size").Code)
	assert.Equal(t, http.StatusNotFound, get("GET", here, "/etc").Code)
	assert.Equal(t, http.StatusMethodNotAllowed, get("POST", here, "/table.json").Code)
}

var nonces = regexp.MustCompile(`nonce="(\w{20,})"`)

// The page runs its own script, and nothing else: each answer has a nonce of its own, and the policy no other source.
func TestPagePolicy(t *testing.T) {
	t.Parallel()
	one, two := get("GET", here, "/"), get("GET", here, "/")
	found := nonces.FindAllStringSubmatch(one.Body.String(), -1)
	require.Len(t, found, 2, "a style and a script")
	nonce := found[0][1]
	assert.Equal(t, nonce, found[1][1])
	assert.NotContains(t, two.Body.String(), nonce)
	assert.Equal(t, "default-src 'none'; connect-src 'self'; script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", one.Header().Get("Content-Security-Policy"))
	assert.NotRegexp(t, `https?://|src=|href=|innerHTML|\bon\w+="`, one.Body.String(), "all that it needs is in it")
	assert.Contains(t, one.Body.String(), "setInterval(look, 2000)")
}

// Whoever comes by another name than ours was led here by a stranger's page, and gets nothing.
func TestPageOfAnotherName(t *testing.T) {
	t.Parallel()
	for host, code := range map[string]int{
		here: 200, "localhost:8080": 200, "[::1]:8080": 200, "::1": 200, "192.0.2.7": 200, "DASH.example:8080": 200, "LocalHost": 200,
		"evil.example:8080": 421, "evil.example": 421, "127.0.0.1.evil.example": 421, "": 421, "localhost.evil.example:80": 421, "localhost@evil.example": 421,
	} {
		for _, target := range []string{"/", "/table.json"} {
			assert.Equal(t, code, get("GET", host, target).Code, "%q", host)
		}
	}
}
