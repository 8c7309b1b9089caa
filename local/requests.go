package local

import (
	"time"

	"github.com/mezusphere/mezu"
)

// Paths of the inspector. {id} is an exchange's id, its request id, or the beginning of the
// first that no other exchange has; {side} is SideRequest or SideResponse; {n} a frame's
// number.
const (
	PathRequests    = "/v1/requests"                   // GET with queries: Requests; DELETE (QueryFilter): Cleared
	PathRequest     = "/v1/requests/{id}"              // GET (QueryUnmask): mezu.ExchangeDetail; DELETE
	PathBody        = "/v1/requests/{id}/body/{side}"  // GET (QueryForm, QueryUnmask): bytes
	PathFrames      = "/v1/requests/{id}/frames"       // GET (QueryAfter, QueryPageSize): Frames
	PathFrame       = "/v1/requests/{id}/frames/{n}"   // GET (QueryForm, QueryUnmask): bytes
	PathReplay      = "/v1/requests/{id}/replay"       // POST Replay: Replayed
	PathPin         = "/v1/requests/{id}/pin"          // POST Pin: mezu.Exchange
	PathCurl        = "/v1/requests/{id}/curl"         // GET (QueryUnmask): text/plain
	PathDiff        = "/v1/requests/{id}/diff/{other}" // GET (QueryUnmask): Difference
	PathHAR         = "/v1/requests/har"               // GET (QueryFilter, QueryID, QueryUnmask): application/json
	PathInspector   = "/v1/inspector"                  // POST: Inspector
	PathDescriptors = "/v1/inspector/descriptors"      // PUT bytes of a google.protobuf.FileDescriptorSet
)

// Sides of an exchange.
const (
	SideRequest  = "request"
	SideResponse = "response"
)

// Queries of the inspector's operations. Each is given once.
const (
	// QueryFilter is in the filter language of docs/inspector.md.
	QueryFilter = "filter"
	// QueryPageSize is how many there are at most, 1 to MaxPage, DefaultPage if it is not
	// given. QueryPageToken goes on behind the page before.
	QueryPageSize  = "page_size"
	QueryPageToken = "page_token"
	// QueryChangedAfter is a Revision: only exchanges that have changed since are given.
	QueryChangedAfter = "changed_after"
	// QueryAfter is the number of a frame: only later ones are given.
	QueryAfter = "after"
	// QueryUnmask is "true": secrets are shown. Who reaches the socket is the owner.
	QueryUnmask = "unmask"
	// QueryForm is a Form.
	QueryForm = "form"
	// QueryID chooses one exchange. It may be given several times.
	QueryID = "id"
)

// Form is in which form the bytes of a body or frame are given.
type Form string

// Forms. FormRaw, which is what an empty one means, is as it came, and FormDecoded without its
// content encoding; if something in it has to be masked, both are the decoded text with masks.
// FormPretty and FormHex are lines of text for people, MaxPretty bytes at most, without control
// characters.
const (
	FormRaw     Form = "raw"
	FormDecoded Form = "decoded"
	FormPretty  Form = "pretty"
	FormHex     Form = "hex"
)

// Headers of answers with bytes of bodies and frames.
const (
	// HeaderMasked is how many values are masked in it.
	HeaderMasked = "Mezu-Masked"
	// HeaderSize is how many bytes passed, of which those that are given were kept.
	HeaderSize = "Mezu-Size"
	// HeaderMediaType is the Content-Type that the body came with. That of the answer is one
	// that no browser shows or runs.
	HeaderMediaType = "Mezu-Media-Type"
	// HeaderProblem says why not all that is kept could be undone or shown.
	HeaderProblem = "Mezu-Problem"
)

// Limits of the inspector's operations.
const (
	// DefaultPage and MaxPage are exchanges or frames of one answer.
	DefaultPage = 100
	MaxPage     = 1000
	// MaxFilter bounds a filter, which a person types.
	MaxFilter = 4 << 10
	// MaxPretty bounds a body as people look at it.
	MaxPretty = 1 << 20
	// MaxReplays bounds the times of one replay.
	MaxReplays = 1000
	// MaxReplayBody bounds the body of a changed request: what is kept of one.
	MaxReplayBody = mezu.MaxKeptBody
	// MaxReplayRequest bounds the body of PathReplay: MaxReplayBody in base64, and fields.
	MaxReplayRequest = 2 << 20
	// MaxReplayWait is the longest that an answer to Replay waits for what it sent. What has
	// not ended by then is given as it is, open.
	MaxReplayWait = 30 * time.Second
	// MaxDescriptors bounds a set of descriptors; a large API has a megabyte.
	MaxDescriptors = 4 << 20
)

// Requests is a page of what the inspector keeps, newest first.
type Requests struct {
	Items         []mezu.Exchange `json:"items"`
	NextPageToken string          `json:"next_page_token,omitempty"`
	InspectorState
}

// InspectorState is how the inspector is.
type InspectorState struct {
	// Revision grows with every change.
	Revision uint64 `json:"revision"`
	// OldestSequence is the least sequence of those kept and not pinned: a client drops the
	// older ones.
	OldestSequence uint64 `json:"oldest_sequence"`
	// OldestRevision is the least revision of those kept that have ended and are not pinned:
	// they go in the order in which they have ended. Of a client's own, those that have ended,
	// are not pinned and have a lesser one are gone.
	OldestRevision uint64 `json:"oldest_revision"`
	Kept           int    `json:"kept"`
	MaxKept        int    `json:"max_kept"`
	Bytes          int64  `json:"bytes"`
	MaxBytes       int64  `json:"max_bytes"`
	Pinned         int    `json:"pinned"`
	// Depth is how much is kept at this moment's rate, LeftOut how many requests were only
	// counted since the start.
	Depth   mezu.ExchangeDepth `json:"depth"`
	LeftOut uint64             `json:"left_out"`
}

// Cleared is how many exchanges were removed. Pinned ones stay.
type Cleared struct {
	Removed int `json:"removed"`
}

// Frames are frames of an exchange, oldest first.
type Frames struct {
	Items []mezu.Frame `json:"items"`
	// Total is how many there were, First the number of the oldest that is kept.
	Total int `json:"total"`
	First int `json:"first"`
}

// Replay sends a request again. What it doesn't say is as it was.
type Replay struct {
	// Times is 1 to MaxReplays; if zero, 1. They go one after another.
	Times int `json:"times,omitempty"`
	// To is the name or id of another tunnel of the same daemon; if empty, the same one.
	To string `json:"to,omitempty"`
	// SetHeader replaces the fields of these names, an empty value removes them.
	SetHeader []mezu.ExchangeField `json:"set_header,omitempty"`
	// Edited is the request in the place of the recorded one. A value of a field or query that
	// is mezu.Mask stays what it was.
	Edited *EditedRequest `json:"edited,omitempty"`
	// Wait says that the answer comes when the last has ended, at most after MaxReplayWait.
	Wait bool `json:"wait,omitempty"`
}

// EditedRequest is a request as somebody changed it.
type EditedRequest struct {
	Method string               `json:"method"`
	Target string               `json:"target"` // path and query
	Fields []mezu.ExchangeField `json:"fields"`
	// Body replaces the body; if KeepBody, the recorded one is sent.
	Body     []byte `json:"body,omitempty"`
	KeepBody bool   `json:"keep_body,omitempty"`
}

// Replayed are the exchanges that a replay has made.
type Replayed struct {
	Items []mezu.Exchange `json:"items"`
}

// Pin keeps an exchange, or no longer.
type Pin struct {
	Pinned bool `json:"pinned"`
}

// Difference is what differs between two exchanges, field by field, in the order of the first.
type Difference struct {
	A     mezu.Exchange `json:"a"`
	B     mezu.Exchange `json:"b"`
	Items []Differing   `json:"items"`
}

// Differing is one value that differs. One that is only in one of both is empty in the other.
type Differing struct {
	// Part is request, response or timing; Name a field's name, "line", or a JSON Pointer
	// (RFC 6901) into the body, or "body:N" for its line N.
	Part   string `json:"part"`
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Inspector is where the inspector's page is served to a browser of this machine.
type Inspector struct {
	// URL has the token of this run in its fragment. It is good for one exchange.
	URL string `json:"url"`
}

// EventFrame tells of a frame of an open exchange. Of mezu.EventRequest, Exchange is set if
// the inspector keeps it. Of both a client gets at most 20 batches a second; what is left out
// is told by EventGap.
const EventFrame mezu.EventKind = "frame"
