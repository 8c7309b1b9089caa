package local

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// maxHAR bounds an archive: as much as can be kept, each byte of it written as six.
const maxHAR = 6 * mezu.MaxExchangeBytes

// RequestsQuery chooses exchanges. What is zero is not asked for.
type RequestsQuery struct {
	// Filter is in the filter language of docs/inspector.md.
	Filter string
	// PageSize is DefaultPage if zero. PageToken is Requests.NextPageToken of the page before.
	PageSize  int
	PageToken string
	// ChangedAfter is Requests.Revision of an answer before: only what has changed since is
	// given.
	ChangedAfter uint64
}

// Content are the bytes of a body or frame.
type Content struct {
	Data []byte
	// MediaType is that of the body as it came.
	MediaType string
	// Masked is how many values are masked in Data.
	Masked int
	// Size is how many bytes passed. Those that were not kept are not in Data.
	Size int64
	// Problem is why not all that is kept could be undone or shown, or "".
	Problem string
}

// HARQuery chooses what an archive has: the exchanges with one of IDs, or those of the filter if
// there is none. With neither, all.
type HARQuery struct {
	Filter string
	IDs    []string
	Unmask bool
}

// Requests gives one page of what the inspector keeps, newest first.
func (c *Client) Requests(ctx context.Context, q RequestsQuery) (Requests, error) {
	query := url.Values{}
	setText(query, QueryFilter, q.Filter)
	setText(query, QueryPageToken, q.PageToken)
	if q.PageSize != 0 {
		query.Set(QueryPageSize, strconv.Itoa(q.PageSize))
	}
	if q.ChangedAfter != 0 {
		query.Set(QueryChangedAfter, strconv.FormatUint(q.ChangedAfter, 10))
	}
	return invoke[Requests](ctx, c, 0, http.MethodGet, withQuery(PathRequests, query), nil)
}

// Clear removes the exchanges that a filter chooses, or all, but no pinned ones.
func (c *Client) Clear(ctx context.Context, filter string) (Cleared, error) {
	query := url.Values{}
	setText(query, QueryFilter, filter)
	return invoke[Cleared](ctx, c, 0, http.MethodDelete, withQuery(PathRequests, query), nil)
}

// Exchange asks for one exchange.
func (c *Client) Exchange(ctx context.Context, id string, unmask bool) (mezu.ExchangeDetail, error) {
	return invoke[mezu.ExchangeDetail](ctx, c, 0, http.MethodGet, withQuery(below(PathRequest, id), unmasked(unmask)), nil)
}

// RemoveExchange removes one exchange, also a pinned one.
func (c *Client) RemoveExchange(ctx context.Context, id string) error {
	_, err := invoke[struct{}](ctx, c, 0, http.MethodDelete, below(PathRequest, id), nil)
	return err
}

// Body gives the bytes of one body. side is SideRequest or SideResponse.
func (c *Client) Body(ctx context.Context, id, side string, form Form, unmask bool) (Content, error) {
	path := strings.Replace(below(PathBody, id), "{side}", url.PathEscape(side), 1)
	return c.content(ctx, path, form, unmask)
}

// Frames gives at most size frames of an exchange that come after the one with this number, or
// DefaultPage if size is zero.
func (c *Client) Frames(ctx context.Context, id string, after, size int) (Frames, error) {
	query := url.Values{}
	if after != 0 {
		query.Set(QueryAfter, strconv.Itoa(after))
	}
	if size != 0 {
		query.Set(QueryPageSize, strconv.Itoa(size))
	}
	return invoke[Frames](ctx, c, 0, http.MethodGet, withQuery(below(PathFrames, id), query), nil)
}

// Frame gives the bytes of one frame.
func (c *Client) Frame(ctx context.Context, id string, number int, form Form, unmask bool) (Content, error) {
	path := strings.Replace(below(PathFrame, id), "{n}", strconv.Itoa(number), 1)
	return c.content(ctx, path, form, unmask)
}

// Replay sends a request again, through the judgement of its Warpgate.
func (c *Client) Replay(ctx context.Context, id string, r Replay) (Replayed, error) {
	return invoke[Replayed](ctx, c, MaxReplayWait, http.MethodPost, below(PathReplay, id), r)
}

// Pin keeps an exchange when others make room for newer ones, or no longer.
func (c *Client) Pin(ctx context.Context, id string, pinned bool) (mezu.Exchange, error) {
	return invoke[mezu.Exchange](ctx, c, 0, http.MethodPost, below(PathPin, id), Pin{Pinned: pinned})
}

// Curl gives a command that sends the request of an exchange to the tunnel's public address.
func (c *Client) Curl(ctx context.Context, id string, unmask bool) (string, error) {
	a, err := c.call(ctx, 0, http.MethodGet, withQuery(below(PathCurl, id), unmasked(unmask)), nil, nil)
	if err != nil {
		return "", err
	}
	defer a.end()
	text, err := a.read(MaxAnswer)
	return string(text), err
}

// Diff compares two exchanges.
func (c *Client) Diff(ctx context.Context, a, b string, unmask bool) (Difference, error) {
	path := strings.Replace(below(PathDiff, a), "{other}", url.PathEscape(b), 1)
	return invoke[Difference](ctx, c, 0, http.MethodGet, withQuery(path, unmasked(unmask)), nil)
}

// HAR writes the exchanges to to, as an HTTP archive 1.2. If it fails, a part of it is written.
func (c *Client) HAR(ctx context.Context, to io.Writer, q HARQuery) error {
	query := unmasked(q.Unmask)
	setText(query, QueryFilter, q.Filter)
	if len(q.IDs) > 0 {
		query[QueryID] = q.IDs
	}
	a, err := c.call(ctx, 0, http.MethodGet, withQuery(PathHAR, query), nil, nil)
	if err != nil {
		return err
	}
	defer a.end()
	r := idleReader{answer: a}
	buffer := make([]byte, 32<<10)
	for left := int64(maxHAR); ; {
		n, err := r.Read(buffer)
		if left -= int64(n); left < 0 {
			return c.garbled(fmt.Errorf("the archive is over %d bytes", int64(maxHAR)))
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return fmt.Errorf("writing the archive: %w", err)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return a.failed(err)
		}
	}
}

// Inspect has the daemon serve the inspector's page, and says where.
func (c *Client) Inspect(ctx context.Context) (Inspector, error) {
	return invoke[Inspector](ctx, c, 0, http.MethodPost, PathInspector, nil)
}

// Descriptors gives the daemon the names of gRPC messages: a set of descriptors as protoc
// writes it with --descriptor_set_out and --include_imports.
func (c *Client) Descriptors(ctx context.Context, set []byte) error {
	a, err := c.call(ctx, 0, http.MethodPut, PathDescriptors, octets(set), nil)
	if err == nil {
		a.end()
	}
	return err
}

// octets is a body that is no JSON.
type octets []byte

// content reads an answer of bytes.
func (c *Client) content(ctx context.Context, path string, form Form, unmask bool) (Content, error) {
	query := unmasked(unmask)
	setText(query, QueryForm, string(form))
	a, err := c.call(ctx, 0, http.MethodGet, withQuery(path, query), nil, nil)
	if err != nil {
		return Content{}, err
	}
	defer a.end()
	out := Content{MediaType: api.Printable(a.Header.Get(HeaderMediaType)), Problem: api.Printable(a.Header.Get(HeaderProblem))}
	var bad error
	if text := a.Header.Get(HeaderMasked); text != "" {
		out.Masked, bad = strconv.Atoi(text)
	}
	if text := a.Header.Get(HeaderSize); text != "" && bad == nil {
		out.Size, bad = strconv.ParseInt(text, 10, 64)
	}
	if bad != nil {
		return Content{}, c.garbled(bad)
	}
	out.Data, err = a.read(MaxAnswer)
	return out, err
}

func unmasked(unmask bool) url.Values {
	if unmask {
		return url.Values{QueryUnmask: {"true"}}
	}
	return url.Values{}
}

func setText(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func withQuery(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}
