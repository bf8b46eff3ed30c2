package socket

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What OPTIONS.md must speak of: every option of libzmq 4.3.5 that programs can observe.
const libzmqOptions = `SNDHWM RCVHWM SNDTIMEO RCVTIMEO LINGER IMMEDIATE CONFLATE MAXMSGSIZE BACKLOG AFFINITY
	ROUTING_ID CONNECT_ROUTING_ID ROUTER_MANDATORY ROUTER_HANDOVER ROUTER_NOTIFY ROUTER_RAW PROBE_ROUTER HELLO_MSG DISCONNECT_MSG
	HICCUP_MSG REQ_CORRELATE REQ_RELAXED SUBSCRIBE UNSUBSCRIBE XPUB_VERBOSE XPUB_VERBOSER XPUB_MANUAL XPUB_MANUAL_LAST_VALUE
	XPUB_NODROP XPUB_WELCOME_MSG INVERT_MATCHING ONLY_FIRST_SUBSCRIBE XSUB_VERBOSE_UNSUBSCRIBE TOPICS_COUNT RECONNECT_IVL
	RECONNECT_IVL_MAX RECONNECT_STOP CONNECT_TIMEOUT HANDSHAKE_IVL HEARTBEAT_IVL HEARTBEAT_TIMEOUT HEARTBEAT_TTL TCP_KEEPALIVE
	TCP_KEEPALIVE_CNT TCP_KEEPALIVE_IDLE TCP_KEEPALIVE_INTVL TCP_MAXRT SNDBUF RCVBUF TOS PRIORITY BINDTODEVICE IPV6
	TCP_ACCEPT_FILTER IPC_FILTER_UID IPC_FILTER_GID IPC_FILTER_PID METADATA USE_FD SOCKS_PROXY TYPE RCVMORE EVENTS FD LAST_ENDPOINT
	MECHANISM THREAD_SAFE CURVE_SERVER CURVE_SERVERKEY CURVE_PUBLICKEY CURVE_SECRETKEY PLAIN_SERVER PLAIN_USERNAME PLAIN_PASSWORD`

var (
	zmqName  = regexp.MustCompile(`ZMQ_[A-Z0-9]+(?:_[A-Z0-9]+)*`)
	quoted   = regexp.MustCompile("`([A-Za-z0-9]+)(?:\\.([A-Za-z0-9]+))?`")
	tableRow = regexp.MustCompile(`(?m)^\| (.*?) \| (.*?) \| (.*?) ?\|$`)
)

// optionRow is a row of a table of options in OPTIONS.md: what libzmq calls them, what we do, our default.
type optionRow struct{ theirs, ours, standard string }

func optionsPage(t *testing.T) (page string, rows []optionRow) {
	t.Helper()
	b, err := os.ReadFile("../OPTIONS.md")
	require.NoError(t, err)
	for _, m := range tableRow.FindAllStringSubmatch(string(b), -1) {
		if strings.HasPrefix(m[1], "`ZMQ_") {
			rows = append(rows, optionRow{m[1], m[2], m[3]})
		}
	}
	return string(b), rows
}

func TestOptionsPage_HasWhatLibzmqHas(t *testing.T) {
	t.Parallel()
	_, rows := optionsPage(t)
	have := map[string]bool{}
	for _, r := range rows {
		for _, name := range zmqName.FindAllString(r.theirs, -1) {
			have[name] = true
		}
	}
	for _, name := range strings.Fields(libzmqOptions) {
		assert.True(t, have["ZMQ_"+name], "ZMQ_%s has no row in OPTIONS.md", name)
	}
}

// exportedFuncs returns the doc comments of the functions of this package, constructors and options included.
func exportedFuncs(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	set := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
			require.NoError(t, err)
			files = append(files, f)
		}
	}
	pkg, err := doc.NewFromFiles(set, files, "github.com/meshmq/meshmq/socket")
	require.NoError(t, err)
	found := map[string]string{}
	add := func(funcs []*doc.Func) {
		for _, f := range funcs {
			found[f.Name] = f.Doc
		}
	}
	add(pkg.Funcs)
	for _, typ := range pkg.Types {
		add(typ.Funcs)
	}
	return found
}

// TestOptionsPage_KnowsEveryOption: by the libzmq name that its comment gives, if it gives one.
func TestOptionsPage_KnowsEveryOption(t *testing.T) {
	t.Parallel()
	page, rows := optionsPage(t)
	for name, comment := range exportedFuncs(t) {
		if !strings.HasPrefix(name, "With") {
			continue
		}
		assert.True(t, strings.Contains(page, "`"+name+"`"), "OPTIONS.md wants a row for %s, or a place under what is only here", name)
		for _, theirs := range zmqName.FindAllString(comment, -1) {
			assert.True(t, slices.ContainsFunc(rows, func(r optionRow) bool {
				return strings.Contains(r.theirs, "`"+theirs+"`")
			}), "OPTIONS.md has no row for %s, of which %s speaks", theirs, name)
		}
	}
}

// TestOptionsPage_NamesWhatExists: what is in backquotes is a function or a method of this package.
func TestOptionsPage_NamesWhatExists(t *testing.T) {
	t.Parallel()
	page, _ := optionsPage(t)
	funcs := exportedFuncs(t)
	types := map[string]reflect.Type{}
	for _, s := range []any{
		&Push{}, &Pull{}, &Pub{}, &Sub{}, &XPub{}, &Router{}, &Dish{}, &P2P{}, &Peer{}, &Proxy{}, &Msg{}, new(SecretKey),
	} {
		types[reflect.TypeOf(s).Elem().Name()] = reflect.TypeOf(s)
	}
	for _, m := range quoted.FindAllStringSubmatch(page, -1) {
		name, method := m[1], m[2]
		switch typ := types[name]; {
		case strings.HasPrefix(name, "zmq"), name == "WithX", name == "ErrOption":
		case method != "":
			if assert.NotNil(t, typ, "%s is no type that this test knows", name) {
				_, ok := typ.MethodByName(method)
				assert.True(t, ok, "%s has no method %s", name, method)
			}
		case typ == nil && !isMethod(types["Push"], name):
			_, ok := funcs[name]
			assert.True(t, ok, "%s is no function", name)
		}
	}
}

func isMethod(typ reflect.Type, name string) bool {
	_, ok := typ.MethodByName(name)
	return ok
}

func TestOptionsPage_Defaults(t *testing.T) {
	t.Parallel()
	_, rows := optionsPage(t)
	c := defaultConfig()
	mib := func(n int) string { return fmt.Sprintf("%d MiB", n>>20) }
	onOff := map[bool]string{true: "**on**", false: "off"}
	for option, want := range map[string][]string{
		"WithSendHWM":          {fmt.Sprint(c.sendHWM), mib(c.sendHWMBytes)},
		"WithRecvHWM":          {fmt.Sprint(c.recvHWM), mib(c.recvHWMBytes)},
		"WithMaxMessageSize":   {mib(c.maxMessageSize)},
		"WithLinger":           {c.linger.String()},
		"WithReconnect":        {c.reconnectMin.String(), c.reconnectMax.String()},
		"WithConnectTimeout":   {c.connectTimeout.String()},
		"WithHandshakeTimeout": {c.handshakeTime(false).String(), c.handshakeTime(true).String()},
		"WithHeartbeat":        {c.pingInterval.String(), c.pingTimeout.String()},
		"WithHeartbeatTTL":     {c.ttl().String()},
		"WithMandatory":        {onOff[c.mandatory]},
		"WithHandover":         {onOff[c.handover]},
		"WithImmediate":        {onOff[c.immediate]},
		"WithConflate":         {onOff[c.conflate]},
		"WithNoDrop":           {onOff[c.policy == Block]},
		"WithRelaxed":          {onOff[c.relaxed]},
		"WithProbe":            {onOff[c.probe]},
		"WithManual":           {onOff[c.manual]},
	} {
		found := false
		for _, r := range rows {
			if strings.HasPrefix(r.ours, "`"+option+"`") {
				found = true
				for _, w := range want {
					assert.Contains(t, r.standard, w, option)
				}
			}
		}
		assert.True(t, found, "%s begins no row", option)
	}
}
