package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"os"
	"path/filepath"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// inputsDir is where that is put which is packed and is in no commit. It is outside of
// dist, which goreleaser empties after it was written.
const inputsDir = "bin/release"

// versionName is a file of a release: SHA256SUMS names no version, so that the name of an
// archive stays the same, and this file does, under the same signature.
const versionName = "VERSION"

// Accounts of an image: root, whose name tools show, and the one that programs run as.
const (
	imagePasswd = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
	imageGroup  = "root:x:0:\nnonroot:x:65532:\n"
)

// writeInputs makes the folder of inputs anew.
func writeInputs(ctx context.Context, root string, c *config, version string) error {
	dir := filepath.Join(root, filepath.FromSlash(inputsDir))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	files := map[string][]byte{
		versionName:        []byte(version + "\n"),
		"image/etc/passwd": []byte(imagePasswd),
		"image/etc/group":  []byte(imageGroup),
		"image/etc/ssl/certs/ca-certificates.crt": roots(),
	}
	texts, err := licences(ctx, root, c.Builds)
	if err != nil {
		return err
	}
	for id, text := range texts {
		files[id+"/THIRD_PARTY_LICENSES"] = text
	}
	for name, data := range files {
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), data); err != nil {
			return err
		}
	}
	// The folder in which a program of an image keeps its state.
	return os.MkdirAll(filepath.Join(dir, "state"), 0o755)
}

// roots are the CA roots of Mozilla as PEM. Those that Mozilla believes up to a date alone
// are left out: a file of certificates has no way to say it.
func roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// A buffer takes everything.
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.Bytes()
}

// writeFile writes a file and the folders that it is in.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
