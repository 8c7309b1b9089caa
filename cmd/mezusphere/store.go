package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/etcd"
	"github.com/mezusphere/mezu/trust"
)

// Drivers of the setting store.
const (
	storeBadger = "badger"
	storeEtcd   = "etcd"
)

// storeLocation reads the setting: the directory of an embedded store, or the members of
// an etcd cluster. Without the setting the store is in the state directory.
func (c *config) storeLocation() (dir string, endpoints []string, err error) {
	driver, where, _ := strings.Cut(c.Store, ":")
	switch {
	case c.Store == "":
		return "", nil, nil
	case driver == storeBadger && where != "":
		return where, nil, nil
	case driver == storeEtcd:
		for part := range strings.SplitSeq(where, ",") {
			endpoints = append(endpoints, strings.TrimSpace(part))
		}
		if err := (etcd.Options{Endpoints: endpoints}).Validate(); err != nil {
			return "", nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "store", Detail: err.Error(), Hint: "give the client URLs of all members: etcd:https://host:2379,https://…"}
		}
		return "", endpoints, nil
	}
	return "", nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "store", Detail: fmt.Sprintf("is badger:DIR or etcd:https://host:2379,…, not %q", c.Store)}
}

// validateStore checks the setting, and the settings that go with it.
func (c *config) validateStore() error {
	_, endpoints, err := c.storeLocation()
	if err != nil {
		return err
	}
	for _, f := range c.storeFiles() {
		if len(endpoints) > 0 && f.path == "" {
			return missing(f.key, "--"+strings.ReplaceAll(f.key, "_", "-")+" FILE: etcd is spoken to with mutual TLS only")
		}
		if len(endpoints) == 0 && f.path != "" {
			return &mezu.Error{Code: mezu.CodeInvalid, Field: f.key, Detail: "is for store: etcd:… only", Hint: "leave it out, or name the cluster with --store etcd:https://host:2379,…"}
		}
	}
	return nil
}

// storeFile is one file that the etcd client needs.
type storeFile struct{ key, path string }

func (c *config) storeFiles() []storeFile {
	return []storeFile{{"store_ca_file", c.StoreCAFile}, {"store_cert_file", c.StoreCertFile}, {"store_key_file", c.StoreKeyFile}}
}

// storeTLS reads the files.
func (c *config) storeTLS() (*tls.Config, error) {
	for _, f := range c.storeFiles() {
		if _, err := os.Stat(f.path); err != nil {
			return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: f.key, Detail: err.Error(), Hint: "name a file that this user may read", Cause: err}
		}
	}
	roots, err := trust.LoadRoots(c.StoreCAFile)
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "store_ca_file", Detail: err.Error(), Hint: "it holds the certificates, in PEM, of the CA that the members' are from", Cause: err}
	}
	pair, err := trust.LoadKeyPair(c.StoreCertFile, c.StoreKeyFile)
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "store_cert_file", Detail: err.Error(), Hint: cmp.Or(atomicfile.Remedy(err), "store_cert_file and store_key_file hold, in PEM, a client certificate that the members accept and its key"), Cause: err}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{*pair}}, nil
}

// openStore opens a store in etcd. It returns nil for an embedded store, which the control
// plane opens itself.
func (c *config) openStore(ctx context.Context, log *slog.Logger) (store.Store, error) {
	_, endpoints, err := c.storeLocation()
	if err != nil || len(endpoints) == 0 {
		return nil, err
	}
	config, err := c.storeTLS()
	if err != nil {
		return nil, err
	}
	db, err := etcd.Open(ctx, etcd.Options{Endpoints: endpoints, TLS: config, Log: log})
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeUnavailable, Field: "store", Detail: err.Error(),
			Hint: "see whether a majority of the members is up: etcdctl endpoint status --cluster, with --cacert, --cert and --key as store_ca_file, store_cert_file and store_key_file", Cause: err}
	}
	return db, nil
}
