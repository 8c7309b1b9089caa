package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
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

// What the desk does: a reset, and it says who runs here.
const (
	pathReset   = "/v1/operator-reset" // POST control.ResetRequest: deskAnswer
	pathRunning = "/v1/running"        // GET: deskAnswer
)

// Limits of the desk. Who asks is on this machine and has asked for one thing.
const (
	maxDeskBody = 4 << 10
	deskTime    = 30 * time.Second // a transaction of a store that is busy
	runningTime = 5 * time.Second  // an answer that is at hand
)

// deskAnswer is what comes of a request: one of all.
type deskAnswer struct {
	Reset   *control.Reset `json:"reset,omitempty"`
	Running *running       `json:"running,omitempty"`
	Problem *api.Problem   `json:"problem,omitempty"`
}

// running is the process of a control plane, and where its API listens.
type running struct {
	PID int    `json:"pid"`
	API string `json:"api"`
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
		answer(w, out)
	})
	mux.HandleFunc("GET "+pathRunning, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, deskAnswer{Running: &running{PID: os.Getpid(), API: "https://" + mezu.Dialable(ctl.Addr(), ownName)}})
	})
	return mux
}

func answer(w http.ResponseWriter, out deskAnswer) {
	_ = json.NewEncoder(w).Encode(out) // to a command that may be gone
}

// askDesk asks the control plane that runs on a state directory for a reset. Its error is
// local.ErrNotRunning if none does.
func askDesk(ctx context.Context, stateDir string, in control.ResetRequest) (control.Reset, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return control.Reset{}, err
	}
	out, err := exchange(ctx, stateDir, http.MethodPost, pathReset, body)
	if err == nil && out.Reset == nil {
		err = noAnswer(io.ErrUnexpectedEOF)
	}
	if err != nil {
		return control.Reset{}, err
	}
	return *out.Reset, nil
}

// runsAlready is the error of a control plane that can't start on a state directory because another
// one runs there, which says where. Any other error stays what it is, so that of one that can't
// be asked.
func runsAlready(ctx context.Context, stateDir string, err error) error {
	op, listening := errors.AsType[*net.OpError](err)
	if !errors.Is(err, atomicfile.ErrLocked) && (!listening || op.Op != "listen") {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, runningTime)
	defer cancel()
	out, askErr := exchange(ctx, stateDir, http.MethodGet, pathRunning, nil)
	if askErr != nil || out.Running == nil {
		return err
	}
	return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the state directory %s is in use by another process: the control plane at %s (pid %d)", stateDir, out.Running.API, out.Running.PID),
		Hint: "stop it, or give this one a directory of its own with --state"}
}

// exchange sends a request to the desk. Its error is local.ErrNotRunning if none is there.
func exchange(ctx context.Context, stateDir, method, path string, body []byte) (out deskAnswer, err error) {
	conn, err := local.Dial(ctx, deskPath(stateDir))
	if err != nil {
		return out, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*deskTime)
	defer cancel()
	carrier := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer carrier.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://desk"+path, bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("asking the control plane: %w", err)
	}
	resp, err := carrier.RoundTrip(req)
	if err != nil {
		return out, noAnswer(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDeskBody))
	if err != nil {
		return out, noAnswer(err)
	}
	switch err := json.Unmarshal(data, &out); {
	case resp.StatusCode != http.StatusOK || err != nil:
		return out, noAnswer(fmt.Errorf("status %d: %s", resp.StatusCode, strings.TrimSpace(string(data))))
	case out.Problem != nil:
		return out, &mezu.Error{Code: out.Problem.Code, Detail: out.Problem.Detail, Hint: out.Problem.Hint}
	}
	return out, nil
}

// noAnswer is the error of a control plane that took a request and did not answer it.
func noAnswer(err error) error {
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("the control plane did not answer: %v", err), Hint: "run this again; an earlier link has ended then", Cause: err}
}
