package zmtp

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the output part of testdata files")

// TestTranscripts runs the scripts in testdata. A script is a row of blocks with an empty line between them; a
// block is input lines, "----" and the output they must give. A line is a verb and its arguments, see script.run.
//
// Octets are written as hex digits, "text", or a name that "let" has given to a row of octets; *N behind one of
// them repeats it N times. {FLAGS OCTETS} is a short frame, its size counted. Output uses hex digits, "text" and *N.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			names := make(map[string][]byte)
			var blocks []string
			for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				input, _, _ := strings.Cut(block, "\n----\n")
				output := runBlock(t, names, input)
				if output != "" {
					input += "\n----\n" + output
				}
				if !*rewrite {
					require.Equal(t, block, input)
				}
				blocks = append(blocks, input)
			}
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(strings.Join(blocks, "\n\n")+"\n"), 0o644))
			}
		})
	}
}

// runBlock runs the lines of one block, with a handshake of its own, and returns what they put out.
func runBlock(t *testing.T, names map[string][]byte, input string) string {
	s := &script{t: t, names: names}
	for line := range strings.Lines(input) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if line != "" {
			verb, args, _ := strings.Cut(strings.TrimSpace(line), " ")
			s.run(verb, strings.TrimSpace(args))
		}
	}
	return strings.TrimSuffix(s.out.String(), "\n")
}

// script is a block being run.
type script struct {
	t         *testing.T
	names     map[string][]byte
	handshake *Handshake
	out       strings.Builder
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// result prints what a parser has found, or its error.
func (s *script) result(err error, format string, args ...any) {
	if err != nil {
		s.printf("error: %v", err)
		return
	}
	s.printf(format, args...)
}

func (s *script) run(verb, args string) {
	first, rest, _ := strings.Cut(args, " ")
	switch verb {
	case "let": // let NAME OCTETS
		s.names[first] = s.octets(rest)
	case "new": // new TYPE [identity=OCTETS] [max=N] [downgrade] [X-...=OCTETS]
		s.newHandshake(first, rest)
	case "start":
		s.printf("send %s", show(s.handshake.Start()))
	case "rest":
		s.printf("send %s", show(s.handshake.Rest()))
	case "upgrade": // upgrade OCTETS: from a ZMTP 1.0 peer
		out, err := new(Upgrader).Append(nil, s.octets(args))
		s.result(err, "%s", show(out))
	case "downgrade": // downgrade OCTETS: to a ZMTP 1.0 peer
		out, err := new(Downgrader).Append(nil, s.octets(args))
		s.result(err, "%s", show(out))
	case "in": // in OCTETS: one Step
		s.step(s.octets(args))
	case "bytewise": // bytewise OCTETS: a Step for each octet
		for _, b := range s.octets(args) {
			s.step([]byte{b})
		}
	case "header":
		flags, size, n, err := ParseHeader(s.octets(args))
		s.result(err, "flags %02x size %d in %d", flags, size, n)
	case "command":
		name, data, err := ParseCommand(s.octets(args))
		s.result(err, "name %s data %s", show(name), show(data))
	case "metadata":
		m, err := ParseMetadata(s.octets(args))
		s.result(err, "%s", showMetadata(m))
	case "ping":
		ttl, context, err := ParsePing(s.octets(args))
		s.result(err, "ttl %v context %s", ttl, show(context))
	case "pong":
		context, err := ParsePong(s.octets(args))
		s.result(err, "context %s", show(context))
	case "error":
		reason, err := ParseError(s.octets(args))
		s.result(err, "reason %q", reason)
	case "append-frame": // append-frame FLAGS OCTETS
		s.printf("%s", show(AppendFrame(nil, s.octets(first)[0], s.octets(rest))))
	case "append-command": // append-command NAME OCTETS
		s.printf("%s", show(AppendCommand(nil, first, s.octets(rest))))
	case "append-ping": // append-ping TTL OCTETS
		ttl, err := time.ParseDuration(first)
		require.NoError(s.t, err)
		s.printf("%s", show(AppendPing(nil, ttl, s.octets(rest))))
	case "append-pong":
		s.printf("%s", show(AppendPong(nil, s.octets(args))))
	case "append-error":
		s.printf("%s", show(AppendError(nil, string(s.octets(args)))))
	case "append-subscribe": // append-subscribe MINOR OCTETS
		s.printf("%s", show(AppendSubscribe(nil, s.octets(first)[0], s.octets(rest))))
	case "append-cancel": // append-cancel MINOR OCTETS
		s.printf("%s", show(AppendCancel(nil, s.octets(first)[0], s.octets(rest))))
	default:
		s.runAck(verb, args)
	}
}

func (s *script) newHandshake(socketType, options string) {
	c := Config{SocketType: SocketType(socketType)}
	for _, option := range strings.Fields(options) {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "identity":
			c.Identity = s.octets(value)
		case "downgrade":
			c.Downgrade = true
		case "max":
			var err error
			c.MaxCommand, err = strconv.Atoi(value)
			require.NoError(s.t, err)
		default:
			c.Properties = append(c.Properties, Property{name, s.octets(value)})
		}
	}
	h, err := NewHandshake(c)
	if err != nil {
		s.printf("error: %v", err)
		return
	}
	s.handshake = h
}

// step feeds one piece to the handshake and prints whatever comes of it.
func (s *script) step(in []byte) {
	h := s.handshake
	done := h.Done()
	n, out, err := h.Step(in)
	if len(out) > 0 {
		s.printf("send %s", show(out))
	}
	switch {
	case err != nil:
		s.printf("error: %v", err)
	case h.Done() && !done:
		p := h.Peer()
		s.printf("done ZMTP %d.%d %s, type %q, identity %s", p.Major, p.Minor, p.Mechanism, p.SocketType, show(p.Identity))
		s.printf("     %s", showMetadata(p.Metadata))
	}
	if err == nil && n < len(in) {
		s.printf("left %s", show(in[n:]))
	}
}

// octets reads the notation described at TestTranscripts.
func (s *script) octets(text string) (octets []byte) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var part []byte
		part, text = s.part(text)
		times := 1
		if count, found := strings.CutPrefix(text, "*"); found {
			count, text, _ = strings.Cut(count, " ")
			var err error
			times, err = strconv.Atoi(count)
			require.NoError(s.t, err)
		}
		octets = append(octets, bytes.Repeat(part, times)...)
	}
	return octets
}

// part reads one frame, text, name or row of hex digits at the start of text.
func (s *script) part(text string) (octets []byte, rest string) {
	if frame, found := strings.CutPrefix(text, "{"); found {
		frame, rest, found = strings.Cut(frame, "}")
		require.True(s.t, found, "a { without }")
		inside := s.octets(frame)
		require.Less(s.t, len(inside), 257, "too long for a short frame")
		return append([]byte{inside[0], byte(len(inside) - 1)}, inside[1:]...), rest
	}
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		plain, err := strconv.Unquote(quoted)
		require.NoError(s.t, err)
		return []byte(plain), text[len(quoted):]
	}
	word := text[:strings.IndexAny(text+" ", " *")]
	if named, known := s.names[word]; known {
		return named, text[len(word):]
	}
	octets, err := hex.DecodeString(word)
	require.NoError(s.t, err, "neither hex digits nor a name: %s", word)
	return octets, text[len(word):]
}

// show writes octets in the notation octets reads.
func show(b []byte) string {
	if len(b) == 0 {
		return `""`
	}
	var parts []string
	for len(b) > 0 {
		same, text := repeated(b), 0
		for text < len(b) && isText(b[text]) && repeated(b[text:]) < 4 {
			text++
		}
		switch {
		case same >= 4:
			parts, b = append(parts, fmt.Sprintf("%02x*%d", b[0], same)), b[same:]
		case text > 1:
			parts, b = append(parts, strconv.Quote(string(b[:text]))), b[text:]
		default:
			parts, b = append(parts, fmt.Sprintf("%02x", b[0])), b[1:]
		}
	}
	return strings.Join(parts, " ")
}

// repeated counts how often the first octet of b stands at its start.
func repeated(b []byte) int {
	n := 1
	for n < len(b) && b[n] == b[0] {
		n++
	}
	return n
}

// isText keeps to letters, digits and little else, so that lengths stand out as hex digits.
func isText(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

func showMetadata(m Metadata) string {
	parts := []string{fmt.Sprintf("%d properties:", len(m))}
	for _, p := range m {
		parts = append(parts, p.Name+"="+show(p.Value))
	}
	return strings.Join(parts, " ")
}
