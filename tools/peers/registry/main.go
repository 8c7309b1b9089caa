// Command registry is a registry of container images, and a client that pushes to one and pulls from it
// through something in between.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// The image that is pushed: its layers are larger than what is held on the way.
const (
	layerSize = 8 << 20
	layers    = 3
)

// A blob that is uploaded in pieces.
const (
	pieceSize = 5 << 20
	pieces    = 3
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "", "address at which to be a registry")
	addr := flag.String("addr", "", "address of what is in between")
	host := flag.String("host", "", "name and port of the registry")
	ca := flag.String("ca", "", "file of the CA that its certificate is from")
	flag.Parse()
	if *listen != "" {
		return http.ListenAndServe(*listen, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	}
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true) // and nothing else
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: protocols, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, *addr)
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := image(ctx, transport, *host); err != nil {
		return fmt.Errorf("an image: %w", err)
	}
	if err := chunked(ctx, transport, *host); err != nil {
		return fmt.Errorf("a blob in pieces: %w", err)
	}
	return nil
}

// image pushes an image, and pulls it.
func image(ctx context.Context, transport http.RoundTripper, host string) error {
	ref, err := name.NewTag(host + "/shop/web:1")
	if err != nil {
		return err
	}
	pushed, err := random.Image(layerSize, layers)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithTransport(transport), remote.WithContext(ctx), remote.WithJobs(layers)}
	if err := remote.Write(ref, pushed, options...); err != nil {
		return err
	}
	pulled, err := remote.Image(ref, options...)
	if err != nil {
		return err
	}
	if err := validate.Image(pulled); err != nil { // it reads all layers, and compares digests
		return err
	}
	return same(pushed, pulled)
}

func same(a, b v1.Image) error {
	one, err := a.Digest()
	if err != nil {
		return err
	}
	other, err := b.Digest()
	if err == nil && one != other {
		err = fmt.Errorf("%s came back as %s", one, other)
	}
	return err
}

// chunked uploads a blob as Docker's registry protocol has it for those who send pieces: POST, a PATCH
// each, PUT.
func chunked(ctx context.Context, transport http.RoundTripper, host string) error {
	client := &http.Client{Transport: transport}
	at := "https://" + host
	do := func(method, path string, body []byte, want int, fields ...string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, at+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && (resp.StatusCode != want || resp.ProtoMajor != 2) {
			err = fmt.Errorf("%s %s: %s %s %s", method, path, resp.Proto, resp.Status, data)
		}
		resp.Body = io.NopCloser(bytes.NewReader(data))
		return resp, err
	}
	resp, err := do("POST", "/v2/shop/blob/blobs/uploads/", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{1})
	whole := sha256.New()
	piece := make([]byte, pieceSize)
	for i := range pieces {
		random.Read(piece)
		whole.Write(piece)
		resp, err = do("PATCH", resp.Header.Get("Location"), piece, http.StatusAccepted, "Content-Type", "application/octet-stream",
			"Content-Range", fmt.Sprintf("%d-%d", i*pieceSize, (i+1)*pieceSize-1))
		if err != nil {
			return err
		}
		if got, want := resp.Header.Get("Range"), fmt.Sprintf("0-%d", (i+1)*pieceSize-1); got != want {
			return fmt.Errorf("piece %d: the registry has %s, and not %s", i, got, want)
		}
	}
	digest := "sha256:" + hex.EncodeToString(whole.Sum(nil))
	if _, err = do("PUT", resp.Header.Get("Location")+"?digest="+digest, nil, http.StatusCreated); err != nil {
		return err
	}
	resp, err = do("GET", "/v2/shop/blob/blobs/"+digest, nil, http.StatusOK)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, resp.Body); err != nil || n != pieces*pieceSize || "sha256:"+hex.EncodeToString(sum.Sum(nil)) != digest {
		return fmt.Errorf("the blob comes back with %d bytes: %w", n, err)
	}
	return nil
}
