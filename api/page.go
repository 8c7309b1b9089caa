package api

import (
	"errors"
	"net/http"

	"github.com/mezusphere/mezu"
)

// Limits of a hosted page on its way through an edge.
const (
	// MaxPageBody bounds a form: a password of 1,024 characters at 4 bytes, each escaped
	// as three, and the other fields.
	MaxPageBody = 64 << 10
	// MaxPage bounds the answer: the largest is a logo, most pages stay under 40 KiB.
	MaxPage = 256 << 10
	// MaxPageQuery bounds the query of a hosted page: a return path of 2 KiB, escaped.
	MaxPageQuery = 8 << 10
	// MaxPageCookies and MaxPageCookie bound the cookies of ours that one visitor can
	// show: a session, a known device, a flow under way, and room for more.
	MaxPageCookies = 8
	MaxPageCookie  = 4 << 10
	// MaxPageHeaders bounds the fields of an answer.
	MaxPageHeaders = 32
	// MaxEdgeLogouts is how many sessions one call ends.
	MaxEdgeLogouts = 100
)

// PageField is a cookie of a request or a header field of an answer.
type PageField struct {
	// Name is that of the cookie or field.
	Name string `json:"name"`
	// Value is what it has.
	Value string `json:"value"`
}

// EdgePageRequest is a visitor's request for a hosted page, as the edge read it. It has what
// a page may depend on and nothing else: no other header, and no cookie but ours.
type EdgePageRequest struct {
	// Environment is the id of the one at whose endpoint the visitor is.
	Environment string `json:"environment"`
	// Method is that of the visitor's request.
	Method string `json:"method"`
	// Path is what follows /.mezu/.
	Path string `json:"path"`
	// Query is what follows the question mark, at most MaxPageQuery.
	Query string `json:"query,omitempty"`
	// Origin is the field of this name, empty if the browser sent none.
	Origin string `json:"origin,omitempty"`
	// FetchSite is the field Sec-Fetch-Site, empty if the browser sent none.
	FetchSite string `json:"fetch_site,omitempty"`
	// FetchMode is the field Sec-Fetch-Mode, empty if the browser sent none.
	FetchMode string `json:"fetch_mode,omitempty"`
	// FetchDest is the field Sec-Fetch-Dest, empty if the browser sent none.
	FetchDest string `json:"fetch_dest,omitempty"`
	// AcceptLanguage is the field of this name.
	AcceptLanguage string `json:"accept_language,omitempty"`
	// UserAgent is the field of this name.
	UserAgent string `json:"user_agent,omitempty"`
	// ContentType is that of the form.
	ContentType string `json:"content_type,omitempty"`
	// Cookies are those of ours that the visitor has, at most MaxPageCookies.
	Cookies []PageField `json:"cookies,omitempty"`
	// Body is the form, at most MaxPageBody.
	Body []byte `json:"body,omitempty"`
	// Client is the visitor's IP address.
	Client string `json:"client"`
	// RequestID is that of the visitor's request at the edge.
	RequestID string `json:"request_id"`
}

// PageMethods are the methods that a hosted page is asked by.
func PageMethods() []string {
	return []string{http.MethodGet, http.MethodHead, http.MethodPost}
}

// EdgePage is the answer to a visitor.
type EdgePage struct {
	// Status is the HTTP status.
	Status int `json:"status"`
	// Header has the fields of the answer, at most MaxPageHeaders.
	Header []PageField `json:"header,omitempty"`
	// Body is the page, at most MaxPage.
	Body []byte `json:"body,omitempty"`
}

// EdgeRefreshRequest asks for a new grant for a session, of which it names the present one
// in its compact form.
type EdgeRefreshRequest struct {
	// Grant is the present one in its compact form.
	Grant string `json:"grant"`
}

// EdgeRefreshed is how a session goes on. If it doesn't, the call is refused as
// unauthenticated, for the field grant.
type EdgeRefreshed struct {
	// Grant is the new grant in its compact form.
	Grant string `json:"grant"`
	// Secret is the new secret of the session, empty if it keeps the one that it has. It
	// is new if the session has a new id, because the user's roles have changed.
	Secret string `json:"secret,omitempty"`
}

// FieldGrant is the field that a refusal of OpEdgeRefresh names if the session is over.
const FieldGrant = "grant"

// SessionEnded reports whether OpEdgeRefresh was refused because the session is over. An edge
// that is refused itself, because its certificate has ended, must not end the sessions of all
// its visitors.
func SessionEnded(err error) bool {
	var told *mezu.Error
	return errors.As(err, &told) && told.Code == mezu.CodeUnauthenticated && told.Field == FieldGrant
}

// EdgeLogouts are sessions that an edge ended while it could not reach the control plane, by
// their grants in the compact form. Those that are no valid grants are passed over.
type EdgeLogouts struct {
	// Grants are those of the sessions in the compact form, at most MaxEdgeLogouts.
	Grants []string `json:"grants"`
}
