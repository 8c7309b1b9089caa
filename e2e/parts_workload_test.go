package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// partsBody is how much clients send and get: more than all windows on the way.
const partsBody = 20 << 20

// partsEarly is how long an answer is that comes during an upload.
const partsEarly = 300 << 10

// partsData is what clients send and get.
type partsData struct {
	bytes     []byte
	sum       string // SHA-256, in hexadecimal
	file      string // has the bytes
	smallFile string // has the first 20,000 of them
}

func newPartsData(t *testing.T) *partsData {
	t.Helper()
	d := &partsData{bytes: make([]byte, partsBody), file: filepath.Join(t.TempDir(), "body")}
	for i := range d.bytes {
		d.bytes[i] = byte(i * 7 % 251)
	}
	sum := sha256.Sum256(d.bytes)
	d.sum, d.smallFile = hex.EncodeToString(sum[:]), d.file+"-small"
	for name, data := range map[string][]byte{d.file: d.bytes, d.smallFile: d.bytes[:20_000]} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// newWorkload is a talker that also answers what clients of HTTP/2 are to find in it.
func (p *parts) newWorkload(t *testing.T, h2c bool) *talker {
	t.Helper()
	d := p.data
	tk := newTalker(t, h2c)
	mux := http.NewServeMux()
	mux.Handle("/", tk.Config.Handler)
	mux.HandleFunc("/parts/bytes", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(d.bytes)))
		w.Write(d.bytes)
	})
	// The answer is complete before the body has come. Over HTTP/1.1 the workload reads on: a server
	// that closes a connection on which more comes may lose its answer by that.
	mux.HandleFunc("/parts/early", func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		if r.ProtoMajor == 1 && out.EnableFullDuplex() == nil {
			defer io.Copy(io.Discard, r.Body)
			defer out.Flush()
		}
		io.CopyN(io.Discard, r.Body, 1)
		w.Header().Set("Content-Length", strconv.Itoa(partsEarly))
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		w.Write(d.bytes[:partsEarly])
	})
	// The body says which trailers came. Of those that go back, one was announced.
	mux.HandleFunc("/parts/trailers", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Trailer", "X-Sum")
		json.NewEncoder(w).Encode(map[string]any{"length": n, "trailers": r.Trailer})
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "also")
	})
	mux.HandleFunc("/parts/pausing", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "first ")
		http.NewResponseController(w).Flush()
		select {
		case <-p.goOn:
			fmt.Fprint(w, "second")
		case <-r.Context().Done():
		}
	})
	tk.Config.Handler = mux
	return tk
}
