package socket_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// startPyzmq starts a process with pyzmq in it, or skips the test where there is none.
func startPyzmq(t *testing.T) *peerProcess {
	t.Helper()
	python := pyzmqPython()
	if python == "" {
		missing(t, errors.New("neither /usr/bin/python3 nor python3 can import zmq"), "pyzmq (Debian: python3-zmq)")
	}
	return startPeer(t, exec.Command(python, "-B", filepath.Join("testdata", "pyzmq.py")))
}

// pyzmqPython is a Python that has pyzmq, "" if there is none: the one on the path is often not the system's, for which packages are.
var pyzmqPython = sync.OnceValue(func() string {
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import zmq").Run() == nil {
			return python
		}
	}
	return ""
})
