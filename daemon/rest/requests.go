package rest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/export"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

// inspecting are the operations of the inspector.
func (s *Server) inspecting() map[string]methods {
	return map[string]methods{
		local.PathRequests:    {http.MethodGet: s.requests, http.MethodDelete: s.clear},
		local.PathRequest:     {http.MethodGet: s.request, http.MethodDelete: s.removeRequest},
		local.PathBody:        {http.MethodGet: s.requestBody},
		local.PathFrames:      {http.MethodGet: s.frames},
		local.PathFrame:       {http.MethodGet: s.frame},
		local.PathReplay:      {http.MethodPost: s.replay},
		local.PathPin:         {http.MethodPost: s.pin},
		local.PathCurl:        {http.MethodGet: s.curl},
		local.PathDiff:        {http.MethodGet: s.diff},
		local.PathHAR:         {http.MethodGet: s.har},
		local.PathInspector:   {http.MethodPost: s.inspect},
		local.PathDescriptors: {http.MethodPut: s.descriptors},
	}
}

// Paths of the page alone, on which one value is shown at a time.
const (
	pathValue = "/v1/requests/{id}/value/{part}/{n}"
	lineValue = "line" // in the place of {n}
)

// Reads answers the operations of the inspector that only read, for its page. Whoever serves that
// has judged the request. Secrets are masked in all of them, but in one field, body or frame that
// is asked for alone.
func (s *Server) Reads() http.Handler {
	mux := http.NewServeMux()
	for path, on := range s.inspecting() {
		op := on[http.MethodGet]
		if op == nil {
			continue
		}
		if path != local.PathBody && path != local.PathFrame {
			op = masked(op)
		}
		mux.HandleFunc(path, s.on(methods{http.MethodGet: op}, true))
	}
	mux.HandleFunc(pathValue, s.on(methods{http.MethodGet: s.value}, false))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, notFound()) })
	return mux
}

// masked is an operation by which nothing is shown unmasked.
func masked(op operation) operation {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Query().Has(local.QueryUnmask) {
			return mezu.Errorf(mezu.CodeForbidden, "the page shows one value at a time")
		}
		return op(w, r)
	}
}

// value gives one value unmasked.
func (s *Server) value(w http.ResponseWriter, r *http.Request) error {
	shown, err := s.shown()
	if err != nil {
		return err
	}
	n := show.LineValue
	if text := r.PathValue("n"); text != lineValue {
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return mezu.Errorf(mezu.CodeNotFound, "a value has a number")
		}
	}
	text, err := shown.Value(r.PathValue("id"), r.PathValue("part"), n)
	return s.result(w, map[string]string{"value": text}, err)
}

// shown is what shows recorded requests.
func (s *Server) shown() (*show.Show, error) {
	if s.cfg.Show == nil {
		return nil, &mezu.Error{Code: mezu.CodeNotFound, Detail: "this daemon keeps no requests", Hint: "mezu daemon restart --inspect 500,64MiB"}
	}
	return s.cfg.Show, nil
}

// asked reads a request of the inspector that has these queries.
func (s *Server) asked(r *http.Request, names ...string) (*show.Show, params, error) {
	shown, err := s.shown()
	if err != nil {
		return nil, params{}, err
	}
	p, err := readParams(r, names...)
	return shown, p, err
}

func (s *Server) requests(w http.ResponseWriter, r *http.Request) error {
	shown, p, err := s.asked(r, local.QueryFilter, local.QueryPageSize, local.QueryPageToken, local.QueryChangedAfter)
	if err != nil {
		return err
	}
	q := local.RequestsQuery{PageToken: p.text(local.QueryPageToken)}
	if q.Filter, err = p.filter(); err != nil {
		return err
	}
	if q.PageSize, err = p.number(local.QueryPageSize, 1, local.MaxPage, local.DefaultPage); err != nil {
		return err
	}
	if q.ChangedAfter, err = p.revision(local.QueryChangedAfter); err != nil {
		return err
	}
	page, err := shown.Requests(r.Context(), q)
	return s.result(w, page, err)
}

func (s *Server) clear(w http.ResponseWriter, r *http.Request) error {
	shown, p, err := s.asked(r, local.QueryFilter)
	if err != nil {
		return err
	}
	filter, err := p.filter()
	if err != nil {
		return err
	}
	cleared, err := shown.Clear(r.Context(), filter)
	return s.result(w, cleared, err)
}

// one reads a request about one exchange whose only query is local.QueryUnmask.
func (s *Server) one(r *http.Request) (shown *show.Show, unmask bool, err error) {
	shown, p, err := s.asked(r, local.QueryUnmask)
	if err != nil {
		return nil, false, err
	}
	unmask, err = p.unmask()
	return shown, unmask, err
}

func (s *Server) request(w http.ResponseWriter, r *http.Request) error {
	shown, unmask, err := s.one(r)
	if err != nil {
		return err
	}
	x, err := shown.Exchange(r.PathValue("id"), unmask)
	return s.result(w, x, err)
}

func (s *Server) removeRequest(w http.ResponseWriter, r *http.Request) error {
	shown, _, err := s.asked(r)
	if err != nil {
		return err
	}
	return s.done(w, shown.Remove(r.PathValue("id")))
}

func (s *Server) requestBody(w http.ResponseWriter, r *http.Request) error {
	return s.content(w, r, func(shown *show.Show, form local.Form, unmask bool) (local.Content, error) {
		return shown.Body(r.PathValue("id"), r.PathValue("side"), form, unmask)
	})
}

func (s *Server) frame(w http.ResponseWriter, r *http.Request) error {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 1 {
		return mezu.Errorf(mezu.CodeNotFound, "a frame has a number")
	}
	return s.content(w, r, func(shown *show.Show, form local.Form, unmask bool) (local.Content, error) {
		return shown.Frame(r.PathValue("id"), n, form, unmask)
	})
}

// content answers with bytes. Whoever may have written them, no browser shows them as a page or
// runs them.
func (s *Server) content(w http.ResponseWriter, r *http.Request, get func(*show.Show, local.Form, bool) (local.Content, error)) error {
	shown, p, err := s.asked(r, local.QueryForm, local.QueryUnmask)
	if err != nil {
		return err
	}
	form, err := p.form()
	if err != nil {
		return err
	}
	unmask, err := p.unmask()
	if err != nil {
		return err
	}
	c, err := get(shown, form, unmask)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set(local.HeaderMasked, strconv.Itoa(c.Masked))
	h.Set(local.HeaderSize, strconv.FormatInt(c.Size, 10))
	if c.Problem != "" {
		h.Set(local.HeaderProblem, shortened(oneLine(c.Problem)))
	}
	if c.MediaType != "" && len(c.MediaType) <= maxMediaType {
		h.Set(local.HeaderMediaType, oneLine(c.MediaType))
	}
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Disposition", "attachment")
	media := "application/octet-stream"
	if form == local.FormPretty || form == local.FormHex {
		media = "text/plain; charset=utf-8"
	}
	s.writeBytes(w, http.StatusOK, media, c.Data)
	return nil
}

// maxMediaType is the longest media type that is passed on: far above any that has a meaning.
const maxMediaType = 256

// oneLine is a text without what would end a field of a head.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

func (s *Server) frames(w http.ResponseWriter, r *http.Request) error {
	shown, p, err := s.asked(r, local.QueryAfter, local.QueryPageSize)
	if err != nil {
		return err
	}
	const last = 1<<31 - 1
	after, err := p.number(local.QueryAfter, 0, last, 0)
	if err != nil {
		return err
	}
	size, err := p.number(local.QueryPageSize, 1, local.MaxPage, local.DefaultPage)
	if err != nil {
		return err
	}
	page, err := shown.Frames(r.PathValue("id"), after, size)
	return s.result(w, page, err)
}

func (s *Server) pin(w http.ResponseWriter, r *http.Request) error {
	shown, _, err := s.asked(r)
	if err != nil {
		return err
	}
	var pin local.Pin
	if err := s.read(w, r, false, &pin); err != nil {
		return err
	}
	x, err := shown.Pin(r.PathValue("id"), pin.Pinned)
	return s.result(w, x, err)
}

func (s *Server) curl(w http.ResponseWriter, r *http.Request) error {
	shown, unmask, err := s.one(r)
	if err != nil {
		return err
	}
	x, err := shown.Complete(r.PathValue("id"), unmask)
	if err != nil {
		return err
	}
	s.writeBytes(w, http.StatusOK, "text/plain; charset=utf-8", []byte(export.Curl(x)))
	return nil
}

func (s *Server) diff(w http.ResponseWriter, r *http.Request) error {
	shown, unmask, err := s.one(r)
	if err != nil {
		return err
	}
	var both [2]*show.Complete
	var real [2]mezu.ExchangeDetail
	for i, name := range []string{"id", "other"} {
		if both[i], err = shown.Complete(r.PathValue(name), unmask); err != nil {
			return err
		}
		if real[i], err = shown.Exchange(both[i].ID, true); err != nil {
			return err
		}
	}
	s.answer(w, http.StatusOK, export.Diff(both[0], both[1], &real[0], &real[1]))
	return nil
}

// har writes an archive as it is made. One that can't be finished is cut, so that nobody takes it
// for one.
func (s *Server) har(w http.ResponseWriter, r *http.Request) error {
	shown, p, err := s.asked(r, local.QueryFilter, local.QueryID, local.QueryUnmask)
	if err != nil {
		return err
	}
	filter, err := p.filter()
	if err != nil {
		return err
	}
	unmask, err := p.unmask()
	if err != nil {
		return err
	}
	ids := p.values[local.QueryID]
	if len(ids) > local.MaxPage {
		return mezu.Invalid(local.QueryID, "is given at most %d times", local.MaxPage)
	}
	if len(ids) > 0 && filter != "" {
		return mezu.Invalid(local.QueryID, "stands in the place of a filter")
	}
	out := &patient{w: w}
	archive := export.NewHAR(out, s.cfg.Version)
	if len(ids) > 0 {
		err = shown.These(ids, unmask, archive.Add)
	} else {
		err = shown.Each(r.Context(), filter, unmask, archive.Add)
	}
	if err == nil {
		err = archive.Close()
	}
	if err != nil && out.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}

// patient writes a long answer, whose reader has answerTimeout for each piece.
type patient struct {
	w     http.ResponseWriter
	begun bool
}

// Write writes a piece, and the head before the first.
func (p *patient) Write(data []byte) (int, error) {
	_ = http.NewResponseController(p.w).SetWriteDeadline(time.Now().Add(answerTimeout))
	if !p.begun {
		p.begun = true
		p.w.Header().Set("Content-Type", "application/json")
		p.w.WriteHeader(http.StatusOK)
	}
	return p.w.Write(data)
}

// inspect begins to serve the page.
func (s *Server) inspect(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := s.asked(r); err != nil {
		return err
	}
	if err := s.read(w, r, true, &struct{}{}); err != nil {
		return err
	}
	if s.cfg.Page == nil {
		return mezu.Errorf(mezu.CodeNotFound, "this daemon serves no page")
	}
	address, err := s.cfg.Page()
	return s.result(w, local.Inspector{URL: address}, err)
}

func (s *Server) descriptors(w http.ResponseWriter, r *http.Request) error {
	shown, _, err := s.asked(r)
	if err != nil {
		return err
	}
	if media := r.Header.Get("Content-Type"); media != "application/octet-stream" {
		return mezu.Invalid("Content-Type", "descriptors are application/octet-stream")
	}
	if r.ContentLength > local.MaxDescriptors {
		return tooLarge(local.MaxDescriptors)
	}
	set, err := io.ReadAll(http.MaxBytesReader(w, r.Body, local.MaxDescriptors))
	if err != nil {
		return s.unread(err, local.MaxDescriptors)
	}
	return s.done(w, shown.SetSchema(set))
}
