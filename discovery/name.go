package discovery

import (
	"fmt"
	"strings"
)

// Scheme starts the endpoints that are service names to be resolved by a Registry: mdns://orders.
const Scheme = "mdns://"

// CheckName returns what is wrong with the name of a service: it has 1 to 63 lower-case letters,
// digits and hyphens, with no hyphen at an end. The limit of 15 in RFC 6335 does not apply,
// because services of meshmq share the type _meshmq._tcp and differ in its subtype.
func CheckName(service string) error {
	if err := checkLabel(service); err != nil {
		return fmt.Errorf("service name %w", err)
	}
	return nil
}

// ParseName returns the service named by an endpoint of the form mdns://NAME. For an endpoint
// of another scheme it returns ok false and no error, for a malformed name the reason.
func ParseName(endpoint string) (service string, ok bool, err error) {
	service, ok = strings.CutPrefix(endpoint, Scheme)
	if !ok {
		return "", false, nil
	}
	if err := CheckName(service); err != nil {
		return "", false, fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	return service, true, nil
}
