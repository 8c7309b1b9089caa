package rest

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/mezusphere/mezu/api"
)

// bindBackup binds the operation that answers with a file, written as it is read.
func (r *rest) bindBackup() {
	op := api.OpBackup
	r.bound[op.ID] = true
	doc := r.description(op)
	r.doc.File(&doc, api.BackupType)
	huma.Register(r.huma, doc, func(ctx context.Context, _ *bare) (*streamed, error) {
		req := requestOf(ctx)
		return &streamed{func(hc huma.Context) { r.backup(hc, req) }}, nil
	})
}

// backup writes the file. If it can't be finished the connection is broken, so that nobody
// takes a part for a complete backup.
func (r *rest) backup(hc huma.Context, req *request) {
	_, w := humago.Unwrap(hc)
	ctx, cancel := context.WithCancel(hc.Context())
	defer cancel()
	go cancelWhen(r.done, ctx, cancel)
	out := &download{w: w, control: http.NewResponseController(w)}
	_ = out.control.SetReadDeadline(time.Time{})
	begin := time.Now()
	err := r.service.Backup(ctx, req.caller, out)
	switch {
	case err == nil:
		r.observe(req.op.ID, http.StatusOK, time.Since(begin))
	case !out.begun:
		p := r.refuse(ctx, req, err)
		r.observe(req.op.ID, p.Status, time.Since(begin))
		writeProblem(w, p)
	default:
		r.observe(req.op.ID, http.StatusInternalServerError, time.Since(begin))
		r.log.Error("backup broke off", "caller", req.caller.ID, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// download is the body of a file; each part has a deadline of its own.
type download struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Write implements io.Writer.
func (d *download) Write(p []byte) (int, error) {
	if err := d.control.SetWriteDeadline(time.Now().Add(eventTime)); err != nil {
		return 0, fmt.Errorf("setting a deadline on the file: %w", err)
	}
	if !d.begun {
		d.begun = true
		d.w.Header().Set("Content-Type", api.BackupType)
		d.w.WriteHeader(http.StatusOK)
	}
	return d.w.Write(p)
}
