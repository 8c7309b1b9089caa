package rest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// operation answers one request, unless it fails.
type operation func(w http.ResponseWriter, r *http.Request) error

// methods are the operations on one path.
type methods map[string]operation

// routes are all paths.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for path, on := range s.inspecting() {
		mux.HandleFunc(path, s.on(on, true))
	}
	for path, on := range map[string]methods{
		local.PathStatus:    {http.MethodGet: s.status},
		local.PathTunnels:   {http.MethodGet: s.list, http.MethodPost: s.open},
		local.PathTunnel:    {http.MethodGet: s.get, http.MethodPatch: s.patch, http.MethodDelete: s.delete},
		local.PathEnrolment: {http.MethodPut: s.enrol},
		local.PathStart:     {http.MethodPost: s.start},
		local.PathStop:      {http.MethodPost: s.stop},
		local.PathProbe:     {http.MethodPost: s.probe},
		local.PathAttach:    {http.MethodGet: s.attach},
		local.PathEvents:    {http.MethodGet: s.events},
		local.PathLog:       {http.MethodGet: s.log},
		local.PathShutdown:  {http.MethodPost: s.shutdown},
	} {
		mux.HandleFunc(path, s.on(on, path == local.PathLog))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, notFound()) })
	return mux
}

// on chooses the operation by the method. Only some have a query.
func (s *Server) on(m methods, query bool) http.HandlerFunc {
	allowed := strings.Join(slices.Sorted(maps.Keys(m)), ", ")
	return func(w http.ResponseWriter, r *http.Request) {
		op := m[r.Method]
		var err error
		switch {
		case op == nil:
			w.Header().Set("Allow", allowed)
			err = mezu.Errorf(mezu.CodeMethodNotAllowed, "%s is for %s", r.URL.Path, allowed)
		case r.URL.RawQuery != "" && !query:
			err = mezu.Invalid("", "this operation has no query")
		case r.ContentLength != 0 && (r.Method == http.MethodGet || r.Method == http.MethodDelete):
			err = mezu.Invalid("", "this operation has no body")
		default:
			err = op(w, r)
		}
		if err != nil {
			s.refuse(w, r, err)
		}
	}
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	st := s.cfg.Host.Status()
	st.Version, st.Clients = s.cfg.Version, s.clients.count()
	s.answer(w, http.StatusOK, st)
	return nil
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) error {
	items := s.cfg.Host.List()
	if items == nil {
		items = []mezu.Tunnel{}
	}
	s.answer(w, http.StatusOK, local.Tunnels{Items: items})
	return nil
}

func (s *Server) open(w http.ResponseWriter, r *http.Request) error {
	var spec local.Open
	if err := s.read(w, r, false, &spec); err != nil {
		return err
	}
	if spec.Stopped {
		return mezu.Invalid("stopped", "a tunnel is opened to run")
	}
	if err := spec.Validate(); err != nil {
		return err
	}
	opened, err := s.cfg.Host.Open(r.Context(), spec)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if opened.New {
		status = http.StatusCreated
	}
	s.answer(w, status, opened)
	return nil
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) error {
	t, err := s.cfg.Host.Get(r.PathValue("id"))
	return s.result(w, t, err)
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request) error {
	var p local.TunnelPatch
	if err := s.read(w, r, false, &p); err != nil {
		return err
	}
	if p.Target != nil {
		if err := p.Target.Validate(); err != nil {
			return mezu.Below("target", err)
		}
	}
	t, err := s.cfg.Host.Patch(r.Context(), r.PathValue("id"), p)
	return s.result(w, t, err)
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request) error {
	return s.done(w, s.cfg.Host.Delete(r.Context(), r.PathValue("id")))
}

// maxToken bounds an enrolment token, which is a few hundred bytes.
const maxToken = 4 << 10

func (s *Server) enrol(w http.ResponseWriter, r *http.Request) error {
	var e local.Enrolment
	if err := s.read(w, r, false, &e); err != nil {
		return err
	}
	if e.Token == "" || len(e.Token) > maxToken || strings.ContainsFunc(e.Token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return mezu.Invalid("token", "is no enrolment token")
	}
	t, err := s.cfg.Host.Enrol(r.Context(), r.PathValue("id"), e.Token)
	return s.result(w, t, err)
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) error {
	if err := s.read(w, r, true, &struct{}{}); err != nil {
		return err
	}
	t, err := s.cfg.Host.Start(r.Context(), r.PathValue("id"))
	return s.result(w, t, err)
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) error {
	var d local.Drain
	if err := s.readDrain(w, r, &d, &d); err != nil {
		return err
	}
	t, err := s.cfg.Host.Stop(r.Context(), r.PathValue("id"), d.Time(local.DrainTimeout))
	return s.result(w, t, err)
}

// readDrain reads a body that has a drain time in it.
func (s *Server) readDrain(w http.ResponseWriter, r *http.Request, into any, d *local.Drain) error {
	if err := s.read(w, r, true, into); err != nil {
		return err
	}
	if d.Time(0) > local.MaxDrain {
		return mezu.Invalid("timeout", "is at most %v", mezu.Duration(local.MaxDrain))
	}
	return nil
}

func (s *Server) probe(w http.ResponseWriter, r *http.Request) error {
	if err := s.read(w, r, true, &struct{}{}); err != nil {
		return err
	}
	p, err := s.cfg.Host.Probe(r.Context(), r.PathValue("id"))
	return s.result(w, p, err)
}

func (s *Server) log(w http.ResponseWriter, r *http.Request) error {
	p, err := readParams(r, local.QueryBytes)
	if err != nil {
		return err
	}
	most, err := p.number(local.QueryBytes, 1, local.MaxLog, local.MaxLog)
	if err != nil {
		return err
	}
	if s.cfg.LogTail == nil {
		return mezu.Errorf(mezu.CodeNotFound, "this daemon has no log of its own")
	}
	text, err := s.cfg.LogTail(most)
	if err != nil {
		return err
	}
	s.writeBytes(w, http.StatusOK, "text/plain; charset=utf-8", text[max(0, len(text)-most):])
	return nil
}

func (s *Server) shutdown(w http.ResponseWriter, r *http.Request) error {
	var down local.Shutdown
	if err := s.readDrain(w, r, &down, &down.Drain); err != nil {
		return err
	}
	if err := s.cfg.Host.Shutdown(down); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// attach streams the events of one tunnel, and holds it open.
func (s *Server) attach(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	detach, err := s.cfg.Host.Attach(id)
	if err != nil {
		return err
	}
	defer detach()
	s.stream(w, r, id)
	return nil
}

// events streams the events of all tunnels.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	s.stream(w, r, "")
	return nil
}

// now is the time that events of our own have.
func (s *Server) now() time.Time { return s.cfg.Now() }
