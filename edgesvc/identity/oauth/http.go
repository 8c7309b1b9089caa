package oauth

import (
	"context"
	"encoding/json"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/gcra"
)

// Paths, exactly these. What a person opens are pages, the others are for programs.
const (
	pathOpenID              = oidc.DiscoveryEndpoint
	pathMetadata            = api.PathAuthority
	pathKeys                = "/oauth/keys"
	pathToken               = "/oauth/token"
	pathRevoke              = "/oauth/revoke"
	pathDeviceAuthorization = "/oauth/device_authorization"
	pathAuthorize           = "/" + pages.PathAllowProgram
	pathDevice              = "/" + pages.PathDevice
	pathAnswerDevice        = "/" + pages.PathAnswerDevice
)

const (
	// callTime bounds a call from its head to the end of its answer.
	callTime = 30 * time.Second
	// maxBody bounds a call's body: the largest has a few codes and tokens.
	maxBody = 64 << 10
	// maxFields bounds the fields of a body or a query: the most that are known is nine.
	maxFields = 24
)

// Handler serves the endpoints, and hands every other path on.
func (p *Provider) Handler(missing http.Handler) http.Handler {
	read, write := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}
	both := slices.Concat(read, write)
	all := map[string]struct {
		methods []string
		serve   func(http.ResponseWriter, *http.Request)
	}{
		pathOpenID:              {read, p.programs.ServeHTTP},
		pathKeys:                {read, p.programs.ServeHTTP},
		pathMetadata:            {read, p.metadata},
		pathToken:               {write, p.call},
		pathRevoke:              {write, p.call},
		pathAuthorize:           {both, p.page(p.showAuthorize, p.authorize, append(slices.Collect(maps.Keys(request{}.fields())), pages.FieldAnswer)...)},
		pathDeviceAuthorization: {write, p.call},
		pathDevice:              {both, p.page(p.showDevice, p.askDevice, pages.FieldCode)},
		pathAnswerDevice:        {both, p.page(p.showDevice, p.answerDevice, pages.FieldCode, pages.FieldAnswer)}, // GET if somebody reloads the answer
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		e, known := all[req.URL.Path]
		if !known {
			missing.ServeHTTP(w, req)
			return
		}
		g := program{agent: req.UserAgent(), requestID: mezu.NewID("req", p.records.Now())}
		g.address, _, _ = net.SplitHostPort(req.RemoteAddr)
		w.Header().Set("X-Request-Id", g.requestID)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		control, deadline := http.NewResponseController(w), time.Now().Add(callTime)
		// The servers of net/http support both.
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline)
		if !slices.Contains(e.methods, req.Method) {
			for _, m := range e.methods {
				w.Header().Add("Allow", m)
			}
			refuse(w, http.StatusMethodNotAllowed, "invalid_request", "this path does not take this method")
			return
		}
		if wait, ok := p.networks.Allow(gcra.ClientOf(g.address), p.records.Now()); !ok {
			w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
			refuse(w, http.StatusTooManyRequests, "slow_down", "too many calls in a short time; wait as Retry-After says")
			return
		}
		req.Body = http.MaxBytesReader(w, req.Body, maxBody)
		e.serve(w, req.WithContext(context.WithValue(req.Context(), programKey{}, g)))
	})
}

type programKey struct{}

// programOf is the program that calls.
func programOf(ctx context.Context) program {
	g, _ := ctx.Value(programKey{}).(program)
	return g
}

// metadata serves at the place that RFC 8414 names what op serves at OpenID's.
func (p *Provider) metadata(w http.ResponseWriter, req *http.Request) {
	to := *req.URL
	to.Path = pathOpenID
	req = req.Clone(req.Context())
	req.URL = &to
	p.programs.ServeHTTP(w, req)
}

// call refuses a program's call that says something in two places or twice, because this
// process and a proxy before it might choose different ones. The rest is op's.
func (p *Provider) call(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.URL.RawQuery != "":
		refuse(w, http.StatusBadRequest, "invalid_request", "parameters are in the body, none in the query")
	case len(req.Header.Values("Authorization")) > 0:
		refuse(w, http.StatusUnauthorized, "invalid_client", "the client "+ClientID+" is public: it has no secret")
	case !readForm(req):
		refuse(w, http.StatusBadRequest, "invalid_request", "the body is a form of at most 64 KiB, with each parameter once")
	default:
		p.programs.ServeHTTP(w, req)
	}
}

// readForm reads the body as a form, each field of which is there once.
func readForm(req *http.Request) bool {
	kinds := req.Header.Values("Content-Type")
	if len(kinds) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(kinds[0])
	return err == nil && kind == "application/x-www-form-urlencoded" && req.ParseForm() == nil && single(req.PostForm)
}

// single reports whether each of a few fields is there once.
func single(fields url.Values) bool {
	for _, all := range fields {
		if len(all) != 1 {
			return false
		}
	}
	return len(fields) <= maxFields
}

// refuse answers with an error as RFC 6749, 5.2, has it.
func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": detail}) // to a peer that may be gone
}
