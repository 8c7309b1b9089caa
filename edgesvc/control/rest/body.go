package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/strictjson"
)

// What bodies may take of the memory while their calls are served. Counted is the memory of
// the decoded body (strictjson), which is more than its size if it has many short entries.
const (
	// maxBodies bounds all calls together: five of the largest.
	maxBodies = 256 << 20
	// bodyShare bounds the calls of one caller, and those into one organization: one of
	// the largest, and usual ones beside it.
	bodyShare = maxBodies / 4
	// smallBody is what each call may take without being counted, so that callers with
	// small bodies are served however much others send.
	smallBody = 16 << 10
)

// bodies counts the memory of calls that are served.
type bodies struct {
	mu  sync.Mutex
	all int
	by  map[string]int // callers and organizations
}

// errBodiesFull refuses a body for which all the others leave no room.
var errBodiesFull = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the control plane reads as many large bodies as it has room for", Hint: "try again in a moment"}

// take counts n more bytes for each of the holders, or refuses them.
func (b *bodies) take(holders []string, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range holders {
		if b.by[h]+n > bodyShare {
			return &mezu.Error{Code: mezu.CodeRateLimited, Detail: "too many large bodies of one caller or organization at once", Hint: "send one after the other"}
		}
	}
	if b.all+n > maxBodies {
		return errBodiesFull
	}
	b.all += n
	for _, h := range holders {
		b.by[h] += n
	}
	return nil
}

// give takes the bytes back.
func (b *bodies) give(holders []string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all -= n
	for _, h := range holders {
		if b.by[h] -= n; b.by[h] == 0 {
			delete(b.by, h)
		}
	}
}

// body is that of one call while it is read.
type body struct {
	bodies  *bodies
	holders []string
	taken   int // all of it
	counted int // beyond smallBody
	length  int // as its caller says; the limit if the caller doesn't say
	reader  io.Reader
	digest  hash.Hash // of what was read, if it can be asked for
}

// charge counts memory for the body.
func (b *body) charge(n int) error {
	b.taken += n
	more := max(b.taken-smallBody, 0) - b.counted
	if more <= 0 {
		return nil
	}
	if err := b.bodies.take(b.holders, more); err != nil {
		return err
	}
	b.counted += more
	return nil
}

// done ends the count. What was decoded must not be used any more.
func (b *body) done() {
	if b.counted > 0 {
		b.bodies.give(b.holders, b.counted)
	}
	b.counted = 0
}

// Read implements io.Reader. Its errors are answers to the caller.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	if b.digest != nil {
		b.digest.Write(p[:n])
	}
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case errors.As(err, &tooLarge):
		err = mezu.Invalid("", "the body is over the limit of this operation, %d bytes", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		err = mezu.Invalid("", "the body took too long to arrive")
	default:
		err = mezu.Invalid("", "the body ended early")
	}
	return n, err
}

// open prepares the reading of a body, if the caller may make the call at its resource
// path.
func (r *rest) open(ctx context.Context, req *request, limit int64) error {
	httpReq, w := humago.Unwrap(req.ctx)
	organization, err := r.service.Reach(ctx, req.op, req.caller, req.path)
	if err != nil {
		return err
	}
	holders := []string{callerKey(req.caller)}
	if organization != "" {
		holders = append(holders, organization)
	}
	req.body = &body{bodies: r.bodies, holders: holders, length: int(limit), reader: http.MaxBytesReader(w, httpReq.Body, limit)}
	if said := httpReq.ContentLength; said >= 0 {
		req.body.length = int(min(said, limit))
	}
	if req.op.Creates() && req.ctx.Header("Idempotency-Key") != "" {
		req.body.digest = req.newDigest()
	}
	return nil
}

// callerKey is what the calls of one caller are counted by.
func callerKey(c access.Caller) string {
	if c.Kind == access.Anonymous {
		return gcra.ClientOf(c.Address)
	}
	return string(c.Kind) + " " + c.ID
}

// decode reads the body strictly.
func (req *request) decode(ctx context.Context, into any) error {
	if err := req.mediaType("application/json"); err != nil {
		return err
	}
	return strictjson.Decode(ctx, req.body, strictjson.Options{Forbidden: serverField, Charge: req.body.charge, Length: req.body.length}, into)
}

// patch reads the body as a merge patch and checks it against the type of target.
func (req *request) patch(ctx context.Context, target any) ([]byte, error) {
	if err := req.mediaType("application/merge-patch+json", "application/json"); err != nil {
		return nil, err
	}
	data, err := req.body.all()
	if err != nil {
		return nil, err
	}
	return data, strictjson.CheckPatch(ctx, data, strictjson.Options{Forbidden: serverField, Charge: req.body.charge}, target)
}

// image reads the body as an image.
func (req *request) image() ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(req.ctx.Header("Content-Type")); err != nil || !strings.HasPrefix(kind, "image/") {
		return nil, mezu.Invalid("Content-Type", "is image/png, image/jpeg or image/gif for this operation")
	}
	return req.body.all()
}

// all reads the body as it is.
func (b *body) all() ([]byte, error) {
	var data []byte
	part := make([]byte, smallBody/4)
	for {
		n, err := b.Read(part)
		if charged := b.charge(n); charged != nil {
			return nil, charged
		}
		data = append(data, part[:n]...)
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (req *request) mediaType(allowed ...string) error {
	header := req.ctx.Header("Content-Type")
	kind, _, err := mime.ParseMediaType(header)
	for _, a := range allowed {
		if err == nil && kind == a {
			return nil
		}
	}
	return mezu.Invalid("Content-Type", "is %s for this operation", strings.Join(allowed, " or "))
}

// newDigest begins the digest of a creation: its path, and then its body.
func (req *request) newDigest() hash.Hash {
	u := req.ctx.URL()
	h := sha256.New()
	io.WriteString(h, req.op.Method+" "+u.EscapedPath()+"\x00")
	return h
}

// idempotency is what makes the creation repeatable.
func (req *request) idempotency() record.Idempotency {
	key := req.ctx.Header("Idempotency-Key")
	if key == "" {
		return record.Idempotency{}
	}
	h := req.newDigest()
	if req.body != nil {
		h = req.body.digest
	}
	return record.Idempotency{Key: key, Digest: hex.EncodeToString(h.Sum(nil))}
}
