package ca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/trust"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = time.Minute

// day is a unit of these tests' clock.
const day = 24 * time.Hour

// vault is a ca.Vault in memory that can be told to fail.
type vault struct {
	mu      sync.Mutex
	records map[string][]byte
	failing error // of Save, if not nil
}

func (v *vault) Load(_ context.Context, name string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	data, ok := v.records[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(data), nil
}

func (v *vault) Save(_ context.Context, name string, data []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failing != nil {
		return v.failing
	}
	if v.records == nil {
		v.records = make(map[string][]byte)
	}
	v.records[name] = bytes.Clone(data)
	return nil
}

// alter changes every record and returns a function that undoes it.
func (v *vault) alter(change func([]byte) []byte) (undo func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.records
	v.records = make(map[string][]byte)
	for name, data := range old {
		v.records[name] = change(bytes.Clone(data))
	}
	return func() { v.mu.Lock(); v.records = old; v.mu.Unlock() }
}

// all is everything that the vault holds.
func (v *vault) all() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []byte
	for _, data := range v.records {
		out = append(out, data...)
	}
	return out
}

// installation is an authority with its vault, folder and clock.
type installation struct {
	t       *testing.T
	vault   *vault
	offline string
	nanos   atomic.Int64
	ca      *ca.Authority
}

func (i *installation) now() time.Time          { return time.Unix(0, i.nanos.Load()) }
func (i *installation) advance(d time.Duration) { i.nanos.Add(int64(d)) }

// newInstallation has nothing yet.
func newInstallation(t *testing.T) *installation {
	i := &installation{t: t, vault: new(vault), offline: t.TempDir()}
	i.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return i
}

// created has an open authority.
func created(t *testing.T) *installation {
	t.Helper()
	i := newInstallation(t)
	if err := ca.Create(t.Context(), i.vault, i.offline, i.now); err != nil {
		t.Fatal(err)
	}
	var err error
	if i.ca, err = ca.Open(t.Context(), i.vault, i.now); err != nil {
		t.Fatal(err)
	}
	return i
}

// change runs a rotation and has the running authority take it up.
func (i *installation) change(f func(context.Context, ca.Vault, string, func() time.Time) error) {
	i.t.Helper()
	if err := f(i.t.Context(), i.vault, i.offline, i.now); err != nil {
		i.t.Fatal(err)
	}
	if err := i.ca.Reload(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
}

// rotate is a whole rotation: proposed, endorsed, installed.
func rotate(what api.Rotation) func(context.Context, ca.Vault, string, func() time.Time) error {
	return func(ctx context.Context, v ca.Vault, offline string, now func() time.Time) error {
		p, err := ca.Propose(ctx, v, what, 0, now)
		if err != nil {
			return err
		}
		e, err := ca.Endorse(offline, p, now)
		if err != nil {
			return err
		}
		return ca.Install(ctx, v, e, now)
	}
}

// keyset is the keyset to publish, decoded.
func (i *installation) keyset() *mezu.Keyset {
	i.t.Helper()
	k, err := mezu.OpenKeyset(i.ca.Keyset(), i.ca.TrustRoot(), i.now())
	if err != nil {
		i.t.Fatal(err)
	}
	return k
}

// anchor is a peer's that has the current keyset.
func (i *installation) anchor() *trust.Anchor {
	i.t.Helper()
	a := trust.New(i.ca.TrustRoot(), i.now)
	i.follow(a)
	return a
}

// follow gives the current keyset to peers.
func (i *installation) follow(anchors ...*trust.Anchor) {
	i.t.Helper()
	for _, a := range anchors {
		if _, err := a.AcceptKeyset(i.ca.Keyset()); err != nil {
			i.t.Fatal(err)
		}
	}
}

// peer gets a certificate for id.
func (i *installation) peer(id mezu.Identity) *tls.Certificate {
	i.t.Helper()
	key, keyPEM, csr := request(i.t)
	issued, err := i.ca.IssuePeer(csr, id)
	if err != nil {
		i.t.Fatal(err)
	}
	pair, err := trust.KeyPair([]byte(issued.Chain), keyPEM)
	if err != nil {
		i.t.Fatal(err)
	}
	if issued.Serial != trust.Serial(pair.Leaf) || !issued.NotAfter.Equal(pair.Leaf.NotAfter) || !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(pair.PrivateKey) {
		i.t.Fatalf("%+v is not the certificate", issued)
	}
	return pair
}

// request makes a key and a certificate request for it.
func request(t *testing.T) (crypto.Signer, []byte, string) {
	t.Helper()
	key, keyPEM, err := trust.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := trust.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, keyPEM, csr
}

// chain parses an issued chain.
func chain(t *testing.T, text string) (out []*x509.Certificate) {
	t.Helper()
	for rest := []byte(text); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatal("a chain has something else than PEM")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func edgeID() mezu.Identity {
	return mezu.Identity{Role: mezu.PeerEdge, ID: mezu.NewID(mezu.PrefixEdge, time.Now())}
}

func warpgateID() mezu.Identity {
	at := time.Now()
	return mezu.Identity{
		Role: mezu.PeerWarpgate, ID: mezu.NewID(mezu.PrefixWarpgate, at), Organization: mezu.NewID(mezu.PrefixOrganization, at),
		Project: mezu.NewID(mezu.PrefixProject, at), Environment: mezu.NewID(mezu.PrefixEnvironment, at),
	}
}

// refused checks that err has all of these words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q doesn't say %q", err, w)
		}
	}
}

// meet connects two peers over loopback, with a byte each way, and returns the
// errors of both.
func meet(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	answer := make(chan error, 1)
	go accept(listener, server, answer)
	raw, err := net.DialTimeout("tcp", listener.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, client)
	_, err = conn.Write([]byte{1})
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	raw.Close()
	return errors.Join(err, <-answer)
}

func accept(listener net.Listener, config *tls.Config, answer chan<- error) {
	raw, err := listener.Accept()
	if err != nil {
		answer <- err
		return
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Server(raw, config)
	_, err = conn.Read(make([]byte, 1))
	if err == nil {
		_, err = conn.Write([]byte{1})
	}
	answer <- err
}

// present always presents one certificate.
func present(c *tls.Certificate) trust.Certificate {
	return func() (*tls.Certificate, error) { return c, nil }
}
