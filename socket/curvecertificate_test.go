package socket_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// The example of RFC 32, and the keys of libzmq's documentation.
func TestZ85(t *testing.T) {
	t.Parallel()
	octets := []byte{0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b}
	text, err := socket.EncodeZ85(octets)
	require.NoError(t, err)
	assert.Equal(t, "HelloWorld", text)
	back, err := socket.DecodeZ85(text)
	require.NoError(t, err)
	assert.Equal(t, octets, back)

	secret, err := socket.ParseSecretKey("D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs")
	require.NoError(t, err)
	assert.Equal(t, "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", secret.Pair().Public.String())

	for text, want := range map[string]string{
		"four":          "z85: 4 characters, want a multiple of 5",
		"abcd~":         "z85: character 5 is none of the alphabet",
		"00000ab\x00de": "z85: character 8 is none of the alphabet",
		"#####":         "z85: characters 1 to 5 are more than four octets can hold",
		"%nSc1":         "z85: characters 1 to 5 are more than four octets can hold",
	} {
		_, err := socket.DecodeZ85(text)
		assert.EqualError(t, err, want)
	}
	_, err = socket.EncodeZ85(make([]byte, 5))
	assert.EqualError(t, err, "z85: 5 octets, want a multiple of 4")
}

func FuzzZ85(f *testing.F) {
	f.Add("HelloWorld")
	f.Add("#####")
	f.Fuzz(func(t *testing.T, text string) {
		octets, err := socket.DecodeZ85(text)
		if err != nil {
			return
		}
		again, err := socket.EncodeZ85(octets)
		require.NoError(t, err)
		require.Equal(t, text, again)
	})
}

// A secret key shows in no form but the one that says so.
func TestSecretKey_DoesNotPrint(t *testing.T) {
	t.Parallel()
	keys := socket.NewKeyPair()
	for _, verb := range []string{"%v", "%s", "%q", "%x", "%d", "%+v", "%#v"} {
		text := fmt.Sprintf(verb, keys.Secret) + fmt.Sprintf(verb, keys) + fmt.Sprintf(verb, &keys)
		assert.NotContains(t, text, keys.Secret.Z85())
		assert.NotContains(t, text, fmt.Sprintf("%x", keys.Secret[:]))
		assert.Contains(t, text, "(secret key)")
	}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	keys := socket.NewKeyPair()
	path := filepath.Join(t.TempDir(), "billing")
	c := socket.CurveCertificate{Public: keys.Public, Secret: keys.Secret, Metadata: map[string]string{"name": "Billing #1", "e-mail": "a=b@example.org"}}
	require.NoError(t, c.Save(path))
	require.ErrorContains(t, c.Save(path), "billing_secret: file exists")

	secret, err := socket.LoadCurveCertificate(path + "_secret")
	require.NoError(t, err)
	assert.Equal(t, c, secret)
	public, err := socket.LoadCurveCertificate(path)
	require.NoError(t, err)
	_, has := public.Pair()
	assert.False(t, has)
	assert.Equal(t, keys.Public, public.Public)
	assert.Equal(t, c.Metadata, public.Metadata)

	if runtime.GOOS != "windows" {
		info, err := os.Stat(path + "_secret")
		require.NoError(t, err)
		assert.EqualValues(t, 0o600, info.Mode().Perm())
		require.NoError(t, os.Chmod(path+"_secret", 0o604))
		_, err = socket.LoadCurveCertificate(path + "_secret")
		assert.EqualError(t, err, fmt.Sprintf("certificate %[1]s: %[1]s is open to everybody on this host (mode 0604): chmod 600 %[1]s", path+"_secret"))
	}
	_, err = socket.LoadCurveCertificate(filepath.Dir(path))
	assert.ErrorContains(t, err, "it is no regular file")
	_, err = socket.LoadCurveCertificate(path + ".gone")
	assert.ErrorContains(t, err, "no such file")
	assert.ErrorContains(t, socket.CurveCertificate{Public: keys.Public, Metadata: map[string]string{"a b": "c"}}.WritePublic(new(bytes.Buffer)), "want a name of")
	assert.ErrorContains(t, socket.CurveCertificate{Public: keys.Public}.WriteSecret(new(bytes.Buffer)), "no secret key")
}

// What other programs write: czmq's zcert and pyzmq's zmq.auth.
func TestReadCertificate(t *testing.T) {
	t.Parallel()
	const public, secret = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
	for name, tc := range map[string]struct{ text, want string }{
		"secret":        {"#   ****  Generated  ****\n\nmetadata\n    name = \"me\"\ncurve\n    public-key = \"" + public + "\"\n    secret-key = \"" + secret + "\"\n", ""},
		"tabs and CRLF": {"metadata\r\ncurve\r\n\tpublic-key = '" + public + "'\r\n", ""},
		"bare value":    {"curve\n    public-key = " + public + "\n", ""},
		"secret alone":  {"curve\n    secret-key = \"" + secret + "\"\n", ""},
		"other parts":   {"server\n    port = 1\ncurve\n    public-key = \"" + public + "\"\n    expires = \"never\"\n", ""},
		"empty":         {"", "this is no public key: it is zero, or of low order"},
		"no value":      {"curve\n    public-key\n", `line 2: want NAME = "VALUE"`},
		"short key":     {"curve\n    public-key = \"abc\"\n", "line 2: public-key: a key of 3 characters, want 40 in Z85"},
		"no key":        {"curve\n    secret-key = \"" + strings.Repeat("~", 40) + "\"\n", "line 2: secret-key: z85: character 1 is none of the alphabet"},
		"two owners":    {"curve\n    public-key = \"" + socket.NewKeyPair().Public.String() + "\"\n    secret-key = \"" + secret + "\"\n", "is not that of the secret key"},
		"too large":     {strings.Repeat("# comment\n", 7000), "it is larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := socket.ReadCurveCertificate(strings.NewReader(tc.text))
			if tc.want != "" {
				require.ErrorContains(t, err, tc.want)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, public, c.Public.String())
		})
	}
}

// Any text is a certificate or an error, and what was read can be written and read again.
func FuzzCertificate(f *testing.F) {
	f.Add("metadata\n    name = \"x\"\ncurve\n    public-key = \"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\"\n")
	f.Add("curve\n\tsecret-key='D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs'")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := socket.ReadCurveCertificate(strings.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if c.WritePublic(&out) != nil { // names and values of others need not be to our taste
			return
		}
		again, err := socket.ReadCurveCertificate(&out)
		require.NoError(t, err)
		require.Equal(t, c.Public, again.Public)
	})
}
