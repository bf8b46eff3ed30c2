package zmtp

// First octets of subscription messages, the form of ZMTP 3.0 (RFC 23).
const (
	cancelOctet    = 0x00
	subscribeOctet = 0x01
)

// AppendSubscribe appends a whole frame that subscribes to a topic prefix, in the form the peer's minor version
// asks for: a SUBSCRIBE command from 3.1, the message 01 topic in 3.0.
func AppendSubscribe(dst []byte, minor byte, topic []byte) []byte {
	return appendSubscription(dst, minor, CommandSubscribe, subscribeOctet, topic)
}

// AppendCancel appends a whole frame that takes back one subscription; like AppendSubscribe.
func AppendCancel(dst []byte, minor byte, topic []byte) []byte {
	return appendSubscription(dst, minor, CommandCancel, cancelOctet, topic)
}

func appendSubscription(dst []byte, minor byte, name string, octet byte, topic []byte) []byte {
	if minor >= 1 {
		return AppendCommand(dst, name, topic)
	}
	dst = AppendHeader(dst, 0, 1+len(topic))
	return append(append(dst, octet), topic...)
}
