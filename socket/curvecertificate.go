package socket

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// CurveCertificate is a long-term key of CURVE with what its owner says about itself, as in ZeroMQ's certificate files (czmq's zcert, pyzmq's
// zmq.auth), which are written and read:
//
//	#   comment
//	metadata
//	    name = "value"
//	curve
//	    public-key = "40 characters of Z85"
//	    secret-key = "40 characters of Z85"
//
// Nobody vouches for it: whoever gives it to others has to do so in a way that they trust.
type CurveCertificate struct {
	Public   PublicKey
	Secret   SecretKey         // zero in a public certificate
	Metadata map[string]string // names of letters, digits and -_.; values without line breaks and double quotes
}

// SecretSuffix is what the name of the file with the secret key ends in, beside the one that others may have.
const SecretSuffix = "_secret"

// maxCertificate bounds a certificate file: two keys, and a page about their owner.
const maxCertificate = 64 << 10

// Pair returns the key pair of a secret certificate, and whether it is one.
func (c CurveCertificate) Pair() (KeyPair, bool) {
	return KeyPair{Public: c.Public, Secret: c.Secret}, c.Secret != SecretKey{}
}

// LoadCurveCertificate reads a certificate file, public or secret. One with a secret key is refused if all users of the system may read or write it, but on
// Windows, where its mode does not say.
func LoadCurveCertificate(path string) (CurveCertificate, error) {
	c, err := loadCurveCertificate(path)
	if err != nil {
		return CurveCertificate{}, fmt.Errorf("certificate %s: %w", path, err)
	}
	return c, nil
}

func loadCurveCertificate(path string) (c CurveCertificate, err error) {
	f, info, err := openRegular(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	if c, err = ReadCurveCertificate(f); err != nil {
		return c, err
	}
	if _, secret := c.Pair(); secret {
		err = checkSecretMode(path, info.Mode())
	}
	return c, err
}

// ReadCurveCertificate reads what LoadCurveCertificate finds in a file. Sections and names that it does not know are skipped.
func ReadCurveCertificate(r io.Reader) (c CurveCertificate, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCertificate+1))
	if err != nil {
		return c, err
	}
	if len(text) > maxCertificate {
		return c, fmt.Errorf("it is larger than %d bytes", maxCertificate)
	}
	section, number := "", 0
	for line := range strings.Lines(string(text)) {
		number++
		inside := line[0] == ' ' || line[0] == '\t'
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case !inside:
			section = line
		default:
			if err := c.set(section, line); err != nil {
				return CurveCertificate{}, fmt.Errorf("line %d: %w", number, err)
			}
		}
	}
	return c, c.complete()
}

// set takes one line of a section: NAME = "VALUE".
func (c *CurveCertificate) set(section, line string) (err error) {
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return errors.New(`want NAME = "VALUE"`)
	}
	name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
	switch section + " " + name {
	case "curve public-key":
		c.Public, err = ParsePublicKey(value)
	case "curve secret-key":
		c.Secret, err = ParseSecretKey(value)
	default:
		if section == "metadata" {
			if c.Metadata == nil {
				c.Metadata = map[string]string{}
			}
			c.Metadata[name] = value
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// unquote returns what is between quotes, or all of a value that begins with none.
func unquote(value string) string {
	if value == "" || value[0] != '"' && value[0] != '\'' {
		return value
	}
	inside, _, _ := strings.Cut(value[1:], value[:1])
	return inside
}

// complete makes sure that there is a key to it, and that two keys belong together.
func (c *CurveCertificate) complete() error {
	pair, secret := c.Pair()
	switch {
	case secret && c.Public == PublicKey{}:
		c.Public = c.Secret.Pair().Public
	case secret:
		_, err := pair.prepare()
		return err
	}
	return c.Public.check()
}

// WritePublic writes the certificate without its secret key, for others.
func (c CurveCertificate) WritePublic(w io.Writer) error {
	c.Secret = SecretKey{}
	return c.write(w, "# Public key of CURVE. Give it to others in a way that they can trust.\n")
}

// WriteSecret writes the certificate with its secret key. It fails for one that has none.
func (c CurveCertificate) WriteSecret(w io.Writer) error {
	if _, secret := c.Pair(); !secret {
		return errors.New("the certificate has no secret key")
	}
	return c.write(w, "# Secret key of CURVE. Whoever has it is its owner: give it to nobody.\n")
}

func (c CurveCertificate) write(w io.Writer, text string) error {
	text += "\nmetadata\n"
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		value := c.Metadata[name]
		if strings.ContainsAny(value, "\"\r\n") || name == "" || strings.Trim(name, nameLetters) != "" {
			return fmt.Errorf("metadata %.40q = %.40q: want a name of letters, digits and -_. and a value without line breaks and double quotes", name, value)
		}
		text += fmt.Sprintf("    %s = \"%s\"\n", name, value)
	}
	text += fmt.Sprintf("curve\n    public-key = \"%s\"\n", c.Public)
	if _, secret := c.Pair(); secret {
		text += fmt.Sprintf("    secret-key = \"%s\"\n", c.Secret.Z85())
	}
	_, err := io.WriteString(w, text)
	return err
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// Save writes two files: path for others, of mode 0644, and path_secret, of mode 0600. Neither may be there already, since a key that is
// overwritten is lost. A public certificate makes the first alone.
func (c CurveCertificate) Save(path string) error {
	_, secret := c.Pair()
	if secret {
		if err := create(path+SecretSuffix, 0o600, c.WriteSecret); err != nil {
			return err
		}
	}
	err := create(path, 0o644, c.WritePublic)
	if err != nil && secret {
		_ = os.Remove(path + SecretSuffix)
	}
	return err
}

// create makes a file that is not there yet, or leaves nothing behind.
func create(path string, mode fs.FileMode, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", path, reason(err))
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("certificate %s: %w", path, err)
	}
	return nil
}

// reason is err without the path, which the caller names.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
