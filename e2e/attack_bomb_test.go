package e2e

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

const (
	// bombSize is what a bomb is when it is unpacked, bombPiece how much is packed at once.
	bombSize, bombPiece = 10 << 30, 16 << 20
	// bombMemory is by how much bombs may make an edge grow (P27).
	bombMemory = 32 << 20
	// bombedMemory is that of the edge, and keptMemory the eighth of it that bodies may take which are
	// kept until they are judged.
	bombedMemory = 512 << 20
	keptMemory   = bombedMemory / 8
)

// gzipBomb is zeros, in members behind one another.
func gzipBomb() []byte {
	var member bytes.Buffer
	w, _ := gzip.NewWriterLevel(&member, gzip.BestCompression)
	w.Write(make([]byte, bombPiece))
	w.Close()
	return bytes.Repeat(member.Bytes(), bombSize/bombPiece)
}

// deflateBomb is zeros in one stream, as "deflate" means it: with the frame of zlib.
func deflateBomb() []byte {
	var stream bytes.Buffer
	stream.WriteString("\x78\xda")
	w, _ := flate.NewWriter(&stream, flate.BestCompression)
	zeros, before := make([]byte, bombPiece), 0
	for range 2 { // the second piece refers to the first, as do all that follow
		before = stream.Len()
		w.Write(zeros)
		w.Flush()
	}
	stream.Write(bytes.Repeat(bytes.Clone(stream.Bytes()[before:]), bombSize/bombPiece-2))
	w.Close()
	binary.Write(&stream, binary.BigEndian, uint32(bombSize%65521<<16|1)) // Adler-32 of zeros
	return stream.Bytes()
}

// unpacked is how long a bomb is when it has gone off.
func unpacked(t *testing.T, open func(io.Reader) (io.ReadCloser, error), bomb []byte) int64 {
	t.Helper()
	r, err := open(bytes.NewReader(bomb))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func gzipReader(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

// bombed is one way to send a bomb, and what must come of it.
type bombed struct {
	what, path string
	body       []byte
	fields     []string
	unsaid     bool // how long it is
	status     int
	answer     string // of the workload
}

// bombs are the ways: what no more than a firewall looks at, and deliveries of a webhook with this secret.
func bombs(t *testing.T, secret string) (looked, delivered []bombed) {
	t.Helper()
	gzipped, deflated := gzipBomb(), deflateBomb()
	if os.Getenv(soakVariable) != "" {
		for _, n := range []int64{unpacked(t, gzipReader, gzipped), unpacked(t, zlib.NewReader, deflated)} {
			if n != bombSize {
				t.Fatalf("a bomb unpacks to %d bytes", n)
			}
		}
	}
	var twice bytes.Buffer
	w, _ := gzip.NewWriterLevel(&twice, gzip.BestCompression)
	w.Write(gzipped)
	w.Close()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(gzipped)
	digest := sha256.Sum256(gzipped)
	arrives := fmt.Sprintf("%d %s", len(gzipped), hex.EncodeToString(digest[:]))
	add := func(to *[]bombed, b bombed, kind, coding, signature string) {
		b.path = "/sum/" + b.path
		b.fields = []string{"User-Agent", "Mozilla/5.0", "Content-Type", kind, "Content-Encoding", coding, "X-Hub-Signature-256", "sha256=" + signature}
		unsaid := b
		unsaid.what, unsaid.unsaid = b.what+", its length unsaid", true
		*to = append(*to, b, unsaid)
	}
	look := func(what string, body []byte, kind, coding string) {
		add(&looked, bombed{what: what, path: "guarded", body: body, status: 413}, kind, coding, "")
	}
	const json, beginning = "application/json", 60 << 10 // all of which a firewall looks at: it unpacks to 60 MiB
	for _, kind := range []string{json, "application/x-ndjson", "application/x-www-form-urlencoded", "text/plain", "text/xml", "multipart/form-data; boundary=b"} {
		look(kind, gzipped, kind, "gzip")
		look("the beginning of "+kind, gzipped[:beginning], kind, "gzip")
	}
	look("deflate", deflated, json, "deflate")
	look("the beginning of deflate", deflated[:beginning], json, "deflate")
	look("two layers", twice.Bytes(), json, "gzip, gzip")
	look("two layers, of which one is named", twice.Bytes(), json, "gzip")
	look("a thousand layers", twice.Bytes(), json, strings.Repeat("gzip, ", 999)+"gzip")
	add(&looked, bombed{what: "one that is only watched", path: "watched", body: gzipped, status: 200, answer: arrives}, json, "gzip", "")
	signature := hex.EncodeToString(mac.Sum(nil))
	add(&delivered, bombed{what: "a delivery", path: "hook", body: gzipped, status: 200, answer: arrives}, json, "gzip", signature)
	add(&delivered, bombed{what: "a delivery with a firewall behind it", path: "guardedhook", body: gzipped, status: 413}, json, "gzip", signature)
	add(&delivered, bombed{what: "one that nobody signed", path: "hook", body: gzipped, status: 401}, json, "gzip", strings.Repeat("0", len(signature)))
	return looked, delivered
}

// send sends it, and checks what comes of it. If the edge is busy with others it may say so.
func (b bombed) send(w *world, c *http.Client, busy bool) error {
	var body io.Reader = bytes.NewReader(b.body)
	if b.unsaid {
		body = io.MultiReader(body)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), "POST", "https://"+w.host+b.path, body)
	if err != nil {
		return err
	}
	for i := 0; i < len(b.fields); i += 2 {
		req.Header.Set(b.fields[i], b.fields[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", b.what, err)
	}
	got := readAll(w.t, resp)
	switch {
	case busy && resp.StatusCode == 503 && strings.Contains(got, string(mezu.CodeOverloaded)):
	case resp.StatusCode != b.status, b.answer != "" && got != b.answer:
		return fmt.Errorf("%s over %s: %s %.300s", b.what, resp.Proto, resp.Status, got)
	}
	return nil
}

// TestP27_Bombs: 10 GiB that are packed in 10 MB, or in two layers in 40 KB, cost an edge little memory
// where a firewall looks at them, and no more than what bodies may take together where a webhook's
// signature is verified.
func TestP27_Bombs(t *testing.T) {
	t.Parallel()
	senders, rounds := 1, 1
	if os.Getenv(soakVariable) != "" && !raceEnabled {
		senders, rounds = 12, 8
	}
	route := func(name string, waf mezu.WAFMode, more mezu.Route) mezu.Route {
		more.Name, more.Exact, more.WAF = name, "/sum/"+name, waf
		return more
	}
	signed := mezu.Route{Methods: []string{"POST"}, Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:hub"}, MaxBody: 16 << 20}
	w := newWorld(t, 0, open, route("hook", mezu.WAFOff, signed), route("guardedhook", mezu.WAFBlock, signed),
		route("guarded", mezu.WAFBlock, mezu.Route{}), route("watched", mezu.WAFDetect, mezu.Route{}))
	secret := mezu.NewKey()
	invoke[mezu.Webhook](w, w.client, api.OpCreateWebhook, mezu.Webhook{Name: "hub", Provider: mezu.WebhookGitHub}, w.path()...)
	invoke[mezu.Webhook](w, w.client, api.OpSetWebhookSecret, api.WebhookSecretRequest{Secret: secret}, w.path("hub")...)
	e := w.addEdgeIn([]string{fmt.Sprint("GOMEMLIMIT=", bombedMemory)}, "edge-1")
	w.addGate("gate", newWorkload(t, false).addr())
	looked, delivered := bombs(t, secret)
	one, two := w.http(e), w.http2(e)
	all := func(times int, bombs []bombed, busy bool) (most int64) {
		var sending sync.WaitGroup
		var peak atomic.Int64
		for range senders {
			sending.Go(func() {
				for range times {
					for _, b := range bombs {
						for _, c := range []*http.Client{one, two} {
							if err := b.send(w, c, busy); err != nil {
								t.Error(err)
							}
							peak.Store(max(peak.Load(), e.resident()))
						}
					}
				}
			})
		}
		sending.Wait()
		return peak.Load()
	}
	// The rules are compiled when they are first used, secrets come after routes, and garbage is there at
	// any time.
	var harmless []bombed
	for path, status := range map[string]int{"guarded": 200, "watched": 200, "hook": 401} {
		b := bombed{what: "a small one", path: "/sum/" + path, body: []byte(`{"id":1}`), fields: []string{"User-Agent", "Mozilla/5.0", "Content-Type", "application/json"}, status: status}
		eventually(t, path+" to be in force", func() error { return b.send(w, one, false) })
		harmless = append(harmless, b)
	}
	before := all(10*rounds, harmless, false)
	grown := all(rounds, looked, false) - before
	t.Logf("the edge of %d MiB grew by %d", before>>20, grown>>20)
	if !raceEnabled && grown > bombMemory {
		t.Errorf("bombs made the edge of %d MiB grow by %d", before>>20, grown>>20)
	}
	grown = all(rounds, delivered, senders > 1) - before
	t.Logf("the edge of %d MiB grew by %d", before>>20, grown>>20)
	// A body that grows is copied, and the runtime lets as much garbage wait as is in use.
	if most := before + 3*keptMemory; !raceEnabled && grown > most {
		t.Errorf("deliveries made the edge of %d MiB grow by %d", before>>20, grown>>20)
	}
	senders = 1
	all(1, delivered, false) // none of them is told that the edge is busy
	eventually(t, "the memory of bodies to be free", func() error {
		if n := measured(t, e.admin, "mezu_edge_kept_body_bytes"); n != 0 {
			return fmt.Errorf("%v bytes are taken", n)
		}
		return nil
	})
	served(t, w, e)
}
