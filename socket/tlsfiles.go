package socket

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// CertificateFile is a certificate with its key, in files that may be replaced while it is in use: connections made from a second later on use the
// new ones, those that are there stay. Its methods may be called by any number of goroutines at the same time.
type CertificateFile struct {
	files reloaded[*tls.Certificate]
}

// CertificateFiles loads a certificate, with the chain behind it, and its key from files in PEM, for a tls.Config of one's own:
//
//	files, err := socket.CertificateFiles("host.pem", "host.key")
//	t := &tls.Config{GetCertificate: files.GetCertificate, GetClientCertificate: files.GetClientCertificate}
//
// It fails if they cannot be read, do not belong together, have expired, or if everybody on this host may read the key. When
// that is so of files that have changed, what they held before stays in force, and Err says why. See WithTLSFiles for the whole of it.
func CertificateFiles(cert, key string) (*CertificateFile, error) {
	c := &CertificateFile{}
	c.files.state = func() (string, error) { return stateOf(cert, key) }
	c.files.load = func() (*tls.Certificate, error) { return loadCertificate(cert, key) }
	if err := c.files.open(); err != nil {
		return nil, err
	}
	return c, nil
}

// GetCertificate is for tls.Config.GetCertificate: the certificate of a socket that binds.
func (c *CertificateFile) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, _ := c.files.get(time.Now())
	return cert, nil
}

// GetClientCertificate is for tls.Config.GetClientCertificate: the certificate of a socket that connects.
func (c *CertificateFile) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.GetCertificate(nil)
}

// Err looks at the files, unless that was done less than a second ago, and says why they cannot be used; nil if they can.
func (c *CertificateFile) Err() error {
	_, err := c.files.get(time.Now())
	return err
}

func loadCertificate(cert, key string) (*tls.Certificate, error) {
	chain, err := readPEM(cert, checkGuarded)
	if err != nil {
		return nil, err
	}
	secret, err := readPEM(key, checkSecretMode)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		return nil, fmt.Errorf("certificate %s expired on %s", cert, end.Format(time.DateOnly))
	}
	return &pair, nil
}

// maxPEM bounds a file of certificates: the authorities of a whole system take a quarter of a megabyte.
const maxPEM = 4 << 20

// readPEM reads a file whose mode is as it should be.
func readPEM(path string, guard func(path string, mode fs.FileMode) error) ([]byte, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	if err := guard(path, info.Mode()); err != nil {
		return nil, err
	}
	pem, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(pem) > maxPEM {
		err = fmt.Errorf("it is larger than %d bytes", maxPEM)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, reason(err))
	}
	return pem, nil
}

// tlsFiles are what WithTLSFiles was given.
type tlsFiles struct{ cert, key, ca string }

func (f tlsFiles) check() error {
	switch {
	case (f.cert == "") != (f.key == ""):
		return errors.New("want a certificate and its key, or neither")
	case f.cert == "" && f.ca == "":
		return errors.New("want a certificate with its key, the certificates of an authority, or all three")
	}
	return nil
}

func (f tlsFiles) state() (string, error) {
	var paths []string
	for _, path := range []string{f.cert, f.key, f.ca} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return stateOf(paths...)
}

// load returns a configuration for both sides. Without session tickets each connection proves itself by the files as they are.
func (f tlsFiles) load() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	if f.cert != "" {
		pair, err := loadCertificate(f.cert, f.key)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{*pair}
	}
	if f.ca == "" {
		return t, nil
	}
	pem, err := readPEM(f.ca, checkGuarded)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", f.ca)
	}
	t.RootCAs, t.ClientCAs, t.ClientAuth = pool, pool, tls.RequireAndVerifyClientCert
	return t, nil
}

// WithTLSFiles sets up TLS for tls+tcp and wss endpoints from files in PEM: our certificate, with the chain behind it, its key, and the certificates
// of the authorities whose peers we trust. Both sides prove who they are: a peer that connects without a certificate of such an
// authority is refused, as is one that we connect to whose certificate is not for the host in the endpoint.
//
// Without a ca, which is then empty, anybody may connect, and peers that we connect to need a certificate that the system trusts. Without cert and
// key, both empty, the socket can only connect, to peers that want none.
//
// Files may be replaced at any time: connections made from a second later on use the new ones, those that are there stay. New files that
// cannot be used, like old ones, change nothing and are a ReloadFailed event. At construction it is ErrOption if a file cannot be read, the
// certificate has expired, or everybody on this host may read the key, or write to any of them. It excludes WithTLS.
func WithTLSFiles(cert, key, ca string) Option {
	return func(c *config) error {
		f := tlsFiles{cert, key, ca}
		files := &reloaded[*tls.Config]{state: f.state, load: f.load, report: c.trouble}
		err := f.check()
		if err == nil {
			err = files.open()
		}
		if err != nil {
			return bad("WithTLSFiles", fmt.Sprintf("%.80s, %.80s, %.80s", cert, key, ca), err.Error())
		}
		c.tlsFiles = files
		return nil
	}
}

// tlsFor is transport.Config.TLSFor.
func (c *config) tlsFor() func() *tls.Config {
	files := c.tlsFiles
	if files == nil {
		return nil
	}
	return func() *tls.Config {
		t, _ := files.get(time.Now())
		return t
	}
}
