package rest

import (
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/strictjson"
)

// retryAfter is what a client that is one too many is asked to wait, in seconds.
const retryAfter = "1"

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		panic(http.ErrAbortHandler) // the connection is closed already
	}
	defer s.running.Done()
	w.Header().Set(local.HeaderVersion, s.cfg.Version)
	w.Header().Set(local.HeaderGeneration, local.Version)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.ContentLength != 0 {
		// It also bounds how long the server waits for a body that nobody reads.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.body))
	}
	if err := judge(r); err != nil {
		// What has not been read of the request is not worth reading.
		w.Header().Set("Connection", "close")
		s.refuse(w, r, err)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// judge refuses what no program that means this API sends.
func judge(r *http.Request) error {
	switch {
	case !isAdmitted(r):
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the daemon has as many clients as it serves", Hint: "close some commands or dashboards", Cause: errTooMany}
	// No page of a browser gets here. If one does, by whatever way, it is told nothing.
	case r.Header.Get("Origin") != "":
		return mezu.Errorf(mezu.CodeForbidden, "pages have no access to the local API")
	case !isOwnHost(r.Host):
		return mezu.Errorf(mezu.CodeForbidden, "the local API has the host mezu or localhost")
	case path.Clean("/"+r.URL.Path) != r.URL.Path:
		return notFound()
	}
	return nil
}

var errTooMany = errors.New("too many clients")

// isOwnHost reports whether a Host field is one of those by which a client of a socket may
// call us.
func isOwnHost(field string) bool {
	host, _, err := net.SplitHostPort(field)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(field, "["), "]")
	}
	return slices.Contains([]string{"mezu", "localhost", "127.0.0.1", "::1"}, strings.ToLower(host))
}

func notFound() error {
	return &mezu.Error{Code: mezu.CodeNotFound, Detail: local.NoOperation}
}

// refuse answers with a problem document.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && mezu.CodeOf(err) == mezu.CodeInternal {
		panic(http.ErrAbortHandler) // nobody is there to be told; no answer at all would be a good one
	}
	var e *mezu.Error
	if !errors.As(err, &e) {
		s.cfg.Log.Error("operation failed", "method", r.Method, "path", r.URL.Path, "error", err)
		e = mezu.Errorf(mezu.CodeInternal, "something went wrong in the daemon; its log has it")
	}
	if errors.Is(err, errTooMany) {
		w.Header().Set("Retry-After", retryAfter)
	}
	status := e.Code.Status()
	s.write(w, status, "application/problem+json", api.Problem{
		Title: http.StatusText(status), Status: status, Code: e.Code, Detail: shortened(e.Detail), Field: shortened(e.Field), Hint: e.Hint,
	})
}

// maxTold bounds the detail of an answer, which may repeat a part of the request.
const maxTold = 4 << 10

// shortened cuts a text to maxTold.
func shortened(text string) string {
	if len(text) <= maxTold {
		return text
	}
	return strings.ToValidUTF8(text[:maxTold], "") + "…"
}

// result answers with what an operation has given, unless it failed.
func (s *Server) result(w http.ResponseWriter, value any, err error) error {
	if err == nil {
		s.answer(w, http.StatusOK, value)
	}
	return err
}

// done answers that an operation that gives nothing was done, unless it failed.
func (s *Server) done(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// answer answers with a value, or with none.
func (s *Server) answer(w http.ResponseWriter, status int, value any) {
	s.write(w, status, "application/json", value)
}

func (s *Server) write(w http.ResponseWriter, status int, media string, value any) {
	var body []byte
	if value != nil {
		var err error
		if body, err = json.Marshal(value); err != nil {
			s.cfg.Log.Error("encoding an answer", "error", err)
			status, body = http.StatusInternalServerError, nil
		}
	}
	s.writeBytes(w, status, media, append(body, '\n'))
}

func (s *Server) writeBytes(w http.ResponseWriter, status int, media string, body []byte) {
	// A connection that is not one of the system has no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	// The status is sent; a client that has gone misses the rest.
	_, _ = w.Write(body)
}

// read reads the one JSON value of a request. If empty is allowed, into stays as it is without
// one.
func (s *Server) read(w http.ResponseWriter, r *http.Request, empty bool, into any) error {
	return s.readUpTo(w, r, local.MaxBody, empty, into)
}

// readUpTo is read for a body of at most that many bytes.
func (s *Server) readUpTo(w http.ResponseWriter, r *http.Request, most int64, empty bool, into any) error {
	if r.ContentLength == 0 {
		if empty {
			return nil
		}
		return mezu.Invalid("", "the request has no body")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" && (media != "application/merge-patch+json" || r.Method != http.MethodPatch) {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "Content-Type", Detail: "a body is application/json"}
	}
	if r.ContentLength > most {
		return tooLarge(most)
	}
	options := strictjson.Options{Length: int(max(r.ContentLength, 0))}
	if most > local.MaxBody {
		options.MaxString = int(most) // it may be one body in base64
	}
	err = strictjson.Decode(r.Context(), http.MaxBytesReader(w, r.Body, most), options, into)
	if err != nil {
		return s.unread(err, most)
	}
	// All is read. From here on the server only waits for the client to go.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return nil
}

// unread says why a body of at most that many bytes could not be read.
func (s *Server) unread(err error, most int64) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge(most)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return mezu.Errorf(mezu.CodeRequestTimeout, "the body did not come within %v", s.body)
	}
	return err
}

func tooLarge(most int64) error {
	return mezu.Errorf(mezu.CodeBodyTooLarge, "a body has at most %d bytes", most)
}
