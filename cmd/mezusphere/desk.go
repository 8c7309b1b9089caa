package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/local"
)

// The desk is where a running control plane is asked for what only the owner of its state
// directory may ask: by a socket in that directory, which nobody but that user and root reach. The
// embedded store belongs to one process, so that another can't do it beside that.

// Where the desk is, below the state directory. The folder is the owner's alone, which the
// directory itself need not be.
const (
	deskFolder = "owner"
	deskSocket = "socket"
)

// pathReset is the one thing that the desk does.
const pathReset = "/v1/operator-reset"

// Limits of the desk. Who asks is on this machine and has asked for one thing.
const (
	maxDeskBody = 4 << 10
	deskTime    = 30 * time.Second // a transaction of a store that is busy
)

// deskAnswer is what comes of a reset: one of both.
type deskAnswer struct {
	Reset   *control.Reset `json:"reset,omitempty"`
	Problem *api.Problem   `json:"problem,omitempty"`
}

func deskPath(stateDir string) string { return filepath.Join(stateDir, deskFolder, deskSocket) }

// desk serves until it is closed.
type desk struct {
	server *http.Server
	served chan struct{}
}

// openDesk opens the desk of a control plane that listens. Without it everything but a reset
// goes on, so that a failure is a warning.
func openDesk(ctl *control.Control, stateDir string, log *slog.Logger) *desk {
	l, err := local.Listen(deskPath(stateDir))
	if err != nil {
		log.Warn("mezusphere operator reset needs this control plane stopped: it can't be asked", "error", err)
		return nil
	}
	d := &desk{served: make(chan struct{}), server: &http.Server{
		Handler: deskHandler(ctl), ReadTimeout: deskTime, WriteTimeout: 2 * deskTime, MaxHeaderBytes: maxDeskBody,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // of the owner's own commands, which say so themselves
	}}
	d.server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(d.served)
		if err := d.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("the control plane can't be asked for a reset any more", "error", err)
		}
	}()
	return d
}

// close lets what is asked be answered, and gives the socket back.
func (d *desk) close() {
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deskTime)
	defer cancel()
	if d.server.Shutdown(ctx) != nil {
		d.server.Close()
	}
	<-d.served
}

func deskHandler(ctl *control.Control) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathReset, func(w http.ResponseWriter, r *http.Request) {
		var in control.ResetRequest
		body, err := io.ReadAll(io.LimitReader(r.Body, maxDeskBody))
		if err == nil {
			err = json.Unmarshal(body, &in)
		}
		if err != nil {
			http.Error(w, "the request did not come completely", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), deskTime)
		defer cancel()
		var out deskAnswer
		made, err := ctl.ResetOperator(ctx, in)
		if err == nil {
			out.Reset = &made
		} else {
			out.Problem = &api.Problem{Code: mezu.CodeOf(err), Detail: err.Error()}
			if told, ok := errors.AsType[*mezu.Error](err); ok {
				out.Problem.Detail, out.Problem.Hint = told.Detail, told.Hint
			}
		}
		_ = json.NewEncoder(w).Encode(out) // to a command that may be gone
	})
	return mux
}

// askDesk asks the control plane that runs on a state directory for a reset. Its error is
// local.ErrNotRunning if none does.
func askDesk(ctx context.Context, stateDir string, in control.ResetRequest) (control.Reset, error) {
	conn, err := local.Dial(ctx, deskPath(stateDir))
	if err != nil {
		return control.Reset{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*deskTime)
	defer cancel()
	carrier := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer carrier.CloseIdleConnections()
	defer conn.Close()
	body, err := json.Marshal(in)
	if err != nil {
		return control.Reset{}, err
	}
	return exchange(ctx, carrier, body)
}
