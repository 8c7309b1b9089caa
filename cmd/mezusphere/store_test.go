package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/trust"
)

// A store that can't be is refused before anything starts, naming the setting and what
// to do.
func TestStoreSettings(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	etcd := "store: etcd:https://a:2379,https://b:2379\n"
	files := "store_ca_file: " + empty + "\nstore_cert_file: " + empty + "\nstore_key_file: " + empty + "\n"
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"no driver":         {"store: sqlite:x\n", []string{"store", "badger:DIR"}},
		"no directory":      {"store: 'badger:'\n", []string{"store", "badger:DIR"}},
		"no TLS":            {"store: etcd:http://a:2379\n", []string{"store", "https://host:2379"}},
		"no member":         {"store: 'etcd:'\n", []string{"store", "https://host:2379"}},
		"no CA":             {etcd, []string{"store_ca_file", "--store-ca-file", "mutual TLS"}},
		"no certificate":    {etcd + "store_ca_file: x\n", []string{"store_cert_file"}},
		"no key":            {etcd + "store_ca_file: x\nstore_cert_file: x\n", []string{"store_key_file"}},
		"CA without etcd":   {"store_ca_file: x\n", []string{"store_ca_file", "--store etcd:"}},
		"no such file":      {etcd + strings.ReplaceAll(files, empty, filepath.Join(dir, "none")), []string{"store_ca_file", "no such file"}},
		"nothing in the CA": {etcd + files, []string{"store_ca_file", "PEM"}},
	} {
		code, _, talk := mezusphere(nil, "check", "--config", write(t, c.file))
		for _, want := range c.want {
			if code == 0 || !strings.Contains(talk, want) {
				t.Errorf("%s: code %d, %s; want %q", name, code, talk, want)
			}
		}
	}
	for _, good := range []string{"store: badger:" + dir + "\n", ""} {
		if code, _, talk := mezusphere(nil, "check", "--config", write(t, good+"state: /s\ndomain: a.example\n")); code != 0 {
			t.Errorf("%q: code %d, %s", good, code, talk)
		}
	}
}

// What check says of a CA file is what the edge says of it at its start: a certificate that is
// no CA's is refused.
func TestCheck_CAFileAsTheEdgeReadsIt(t *testing.T) {
	key, _, err := trust.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	code, _, talk := mezusphere(nil, "check", "--config", write(t, "ca_file: "+file+"\n"))
	if code == 0 || !strings.Contains(talk, "ca_file") || !strings.Contains(talk, "no CA's") {
		t.Errorf("code %d, %s", code, talk)
	}
}
