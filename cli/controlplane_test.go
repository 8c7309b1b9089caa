package cli_test

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
)

// endpoint is a control plane that scripts talk to. Nothing in the scripts
// depends on which one it is.
type endpoint struct {
	url, caFile, token string
	// organization makes the organization of one script.
	organization func(testscript.T) string
	// reset makes a new bootstrap link, on a control plane as it is.
	reset func() (string, error)
	// authority logs programs in; nil of a control plane as it is.
	authority *authority
}

// tls trusts the endpoint.
func (e endpoint) tls() *tls.Config {
	roots, err := invocation.Roots(e.caFile)
	if err != nil {
		panic(err)
	}
	return &tls.Config{RootCAs: roots}
}

// startControlPlane serves the operations on projects from memory over TLS. The
// organization "evil" answers with what a hostile server would.
func startControlPlane(t *testing.T) endpoint {
	c := &controlPlane{authority: newAuthority(), token: mezu.NewToken(mezu.TokenBearer), organizations: map[string]map[string]*mezu.Project{}}
	mux := http.NewServeMux()
	for op, handle := range map[api.Operation]func(http.ResponseWriter, *http.Request, map[string]*mezu.Project){
		api.OpListProjects: c.list, api.OpCreateProject: c.create, api.OpGetProject: c.get, api.OpUpdateProject: c.update, api.OpDeleteProject: c.delete,
	} {
		mux.HandleFunc(op.Method+" "+op.Path, c.guard(handle))
	}
	c.authority.mount(mux)
	mux.HandleFunc("GET /v1/self", func(w http.ResponseWriter, r *http.Request) {
		if !c.admits(r) {
			refuse(w, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the token opens nothing", Hint: "ask for a new one"})
			return
		}
		c.authority.self(w)
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	c.authority.issuer = server.URL
	return endpoint{url: server.URL, caFile: writeCA(t, server), token: c.token, organization: c.newOrganization, authority: c.authority}
}

// writeCA writes the certificate of a server for those who have to trust it.
func writeCA(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type controlPlane struct {
	authority     *authority
	token         string
	mu            sync.Mutex
	organizations map[string]map[string]*mezu.Project
}

// admits reports whether a call has a token that is good.
func (c *controlPlane) admits(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && (token == c.token || c.authority.opens(token))
}

func (c *controlPlane) newOrganization(testscript.T) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := fmt.Sprintf("org-%d", len(c.organizations))
	c.organizations[name] = map[string]*mezu.Project{}
	return name
}

// guard authenticates, finds the organization and holds the lock.
func (c *controlPlane) guard(handle func(http.ResponseWriter, *http.Request, map[string]*mezu.Project)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		organization := r.PathValue("organization")
		projects, ok := c.organizations[organization]
		switch {
		case !c.admits(r):
			refuse(w, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the token opens nothing", Hint: "ask for a new one"})
		case organization == "acme":
			answer(w, http.StatusOK, api.List[mezu.Project]{Items: []mezu.Project{{Name: "shop"}}})
		case organization == "evil":
			refuse(w, &mezu.Error{Code: mezu.CodeConflict, Detail: "\x1b[2Jcleared\u202e", Hint: "\u009b31m"})
		case organization == "tired":
			refuse(w, mezu.Errorf(mezu.CodeUnavailable, "the store cannot write now"))
		case organization == "silent":
			c.mu.Unlock()
			<-r.Context().Done()
			c.mu.Lock()
			panic(http.ErrAbortHandler) // not an empty answer
		case organization == "secret":
			refuse(w, mezu.Errorf(mezu.CodeForbidden, "projects.read is missing"))
		case !ok:
			refuse(w, mezu.Errorf(mezu.CodeNotFound, "there is no organization %q", organization))
		default:
			handle(w, r, projects)
		}
	}
}

func (c *controlPlane) list(w http.ResponseWriter, r *http.Request, projects map[string]*mezu.Project) {
	names := slices.Sorted(maps.Keys(projects))
	from, _ := strconv.Atoi(r.URL.Query().Get("page_token"))
	page := api.List[mezu.Project]{Items: []mezu.Project{}}
	for i := from; i < len(names) && len(page.Items) < 2; i++ { // two a page: every listing of three pages
		page.Items = append(page.Items, *projects[names[i]])
	}
	if next := from + len(page.Items); next < len(names) {
		page.NextPageToken = strconv.Itoa(next)
	}
	answer(w, http.StatusOK, page)
}

func (c *controlPlane) create(w http.ResponseWriter, r *http.Request, projects map[string]*mezu.Project) {
	var p mezu.Project
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		refuse(w, mezu.Invalid("", "%v", err))
		return
	}
	if err := p.Validate(); err != nil {
		refuse(w, err)
		return
	}
	if projects[p.Name] != nil {
		refuse(w, &mezu.Error{Code: mezu.CodeConflict, Field: "name", Detail: "there is a project " + p.Name + " already", Hint: "mezu projects show " + p.Name})
		return
	}
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p.Meta = mezu.Meta{ID: mezu.NewID(mezu.PrefixProject, day), Revision: 1, CreatedAt: day, UpdatedAt: day}
	p.Organization = r.PathValue("organization")
	projects[p.Name] = &p
	answer(w, http.StatusCreated, p)
}

func (c *controlPlane) get(w http.ResponseWriter, r *http.Request, projects map[string]*mezu.Project) {
	if p := find(w, r, projects); p != nil {
		answer(w, http.StatusOK, *p)
	}
}

func (c *controlPlane) update(w http.ResponseWriter, r *http.Request, projects map[string]*mezu.Project) {
	p := find(w, r, projects)
	if p == nil {
		return
	}
	var patch struct {
		DisplayName *string                      `json:"display_name"`
		Roles       map[string]*mezu.ProjectRole `json:"roles"`
	}
	if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
		refuse(w, mezu.Invalid("", "%v", err))
		return
	}
	if patch.DisplayName != nil {
		p.DisplayName = *patch.DisplayName
	}
	if p.Roles == nil {
		p.Roles = map[string]mezu.ProjectRole{}
	}
	for name, role := range patch.Roles {
		if delete(p.Roles, name); role != nil {
			p.Roles[name] = *role
		}
	}
	p.Revision++
	answer(w, http.StatusOK, *p)
}

func (c *controlPlane) delete(w http.ResponseWriter, r *http.Request, projects map[string]*mezu.Project) {
	if p := find(w, r, projects); p != nil {
		delete(projects, p.Name)
		w.WriteHeader(http.StatusNoContent)
	}
}

// find gives the project that the path names, or refuses.
func find(w http.ResponseWriter, r *http.Request, projects map[string]*mezu.Project) *mezu.Project {
	p := projects[r.PathValue("project")]
	switch match := r.Header.Get("If-Match"); {
	case p == nil:
		refuse(w, mezu.Errorf(mezu.CodeNotFound, "there is no project %q", r.PathValue("project")))
		return nil
	case match != "" && match != strconv.FormatUint(p.Revision, 10):
		refuse(w, mezu.Errorf(mezu.CodePreconditionFailed, "the project is at revision %d", p.Revision))
		return nil
	}
	return p
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, err error) {
	e := err.(*mezu.Error)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Code.Status())
	json.NewEncoder(w).Encode(api.Problem{Title: string(e.Code), Status: e.Code.Status(), Code: e.Code, Detail: e.Detail, Field: e.Field, Hint: e.Hint})
}
