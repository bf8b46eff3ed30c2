package discovery_test

import (
	"testing"

	"github.com/meshmq/meshmq/discovery/discoverytest"
)

func TestMain(m *testing.M) { discoverytest.Main(m) }
