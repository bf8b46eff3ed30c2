package intake

import (
	"errors"

	"github.com/meshmq/meshmq/patterns"
)

// Coder is an error that a service answers with: *reqrep.Error.
type Coder interface {
	error
	ErrorCode() string
}

// IsAnswer reports whether err is what the handler of a call wants its caller to be told, and no failure of its own: an error with a code that does
// not say that the service is in trouble.
func IsAnswer(kind patterns.Kind, err error) bool {
	if kind != patterns.Call || err == nil {
		return false
	}
	c, coded := errors.AsType[Coder](err)
	if !coded {
		return false
	}
	switch c.ErrorCode() {
	case "internal", "deadline_exceeded", "unavailable", "overloaded": // reqrep's, which this package cannot name
		return false
	}
	return true
}
