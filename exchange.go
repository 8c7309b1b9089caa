package mezu

import "time"

// Limits of the inspector of the local daemon.
const (
	// DefaultExchanges and DefaultExchangeBytes are how much the inspector keeps of all
	// tunnels together unless somebody says otherwise: what a person looks back at, in memory
	// that a developer's machine doesn't miss.
	DefaultExchanges     = 500
	DefaultExchangeBytes = 64 << 20
	// MaxExchanges and MaxExchangeBytes bound what may be asked for. Each list is searched
	// as a whole.
	MaxExchanges     = 10_000
	MaxExchangeBytes = 1 << 30
	// MaxPinned is how many exchanges stay when others make room for newer ones: few enough
	// that they leave most of the room to what comes.
	MaxPinned = 50
	// MaxKeptBody is how much of each body is kept. What is behind it is counted.
	MaxKeptBody = 1 << 20
	// MaxFrames is how many frames, events or messages of one exchange are kept, the last
	// ones, and MaxKeptFrame how much of each.
	MaxFrames    = 1000
	MaxKeptFrame = 64 << 10
)

// PrefixReplay begins the id of a request that the inspector sent.
const PrefixReplay = "replay"

// Mask is what is shown in the place of a secret.
const Mask = "••••••"

// ExchangeKind says what an exchange carries.
type ExchangeKind string

// Kinds of exchanges.
const (
	ExchangeHTTP      ExchangeKind = "http"
	ExchangeWebSocket ExchangeKind = "ws"
	ExchangeEvents    ExchangeKind = "sse"
	ExchangeGRPC      ExchangeKind = "grpc"
	// ExchangeStream is an upgrade to a protocol that is not WebSocket.
	ExchangeStream ExchangeKind = "stream"
)

// ExchangeDepth says how much of an exchange was kept.
type ExchangeDepth string

// Depths. A rate of requests at which keeping bodies would slow the tunnel down leaves these
// out; a higher one leaves out all that was no error.
const (
	DepthAll   ExchangeDepth = "all"
	DepthHeads ExchangeDepth = "heads"
	DepthNone  ExchangeDepth = "none" // failures, and counts
)

// Exchange is one request of a tunnel and what came of it, as the inspector of the local daemon
// lists it. Secrets are masked in it.
type Exchange struct {
	// ID is the inspector's own: hexadecimal digits, of which the first few do as long as no
	// other exchange has the same.
	ID string `json:"id"`
	// Sequence counts exchanges in the order in which they began.
	Sequence uint64 `json:"sequence"`
	// Revision is that of the inspector when the exchange last changed.
	Revision uint64 `json:"revision"`
	// RequestID is the one that edge and workload have in their logs.
	RequestID string `json:"request_id"`
	Tunnel    string `json:"tunnel"` // name
	TunnelID  string `json:"tunnel_id"`

	Kind   ExchangeKind  `json:"kind"`
	Depth  ExchangeDepth `json:"depth"`
	Method string        `json:"method"`
	Host   string        `json:"host"`
	Path   string        `json:"path"`            // canonical
	Query  string        `json:"query,omitempty"` // with its question mark
	Client string        `json:"client,omitempty"`

	// Status is zero while there is no answer.
	Status int `json:"status,omitempty"`
	// GRPCStatus is the status of a gRPC call, once it is there.
	GRPCStatus *int   `json:"grpc_status,omitempty"`
	Code       Code   `json:"code,omitempty"`  // why it was refused
	Cause      Cause  `json:"cause,omitempty"` // what kept it from its proper end
	Message    string `json:"message,omitempty"`

	StartedAt time.Time `json:"started_at"`
	// DurationMS is until the end of the answer in milliseconds, or until now.
	DurationMS float64 `json:"duration_ms"`
	// BytesIn and BytesOut are those of the bodies as they passed.
	BytesIn  int64 `json:"bytes_in"`
	BytesOut int64 `json:"bytes_out"`
	// Frames counts frames, events or messages in both directions, those not kept too.
	Frames int `json:"frames,omitempty"`

	Route    string `json:"route,omitempty"`
	User     string `json:"user,omitempty"`
	Edge     string `json:"edge,omitempty"` // name
	Warpgate string `json:"warpgate,omitempty"`

	Open   bool `json:"open,omitempty"` // it is under way
	Pinned bool `json:"pinned,omitempty"`
	// ReplayOf is the id of the exchange that this one repeats.
	ReplayOf string `json:"replay_of,omitempty"`
}

// ExchangeDetail is all of an exchange but its bodies and frames.
type ExchangeDetail struct {
	Exchange
	// Upstream is the workload, empty if the request went to none.
	Upstream string `json:"upstream,omitempty"`
	// Request is as it came from the edge, Sent as it went to the workload; nil if it
	// didn't.
	Request ExchangeMessage  `json:"request"`
	Sent    *ExchangeMessage `json:"sent,omitempty"`
	// Interims are 1xx responses.
	Interims []ExchangeMessage `json:"interims,omitempty"`
	// Response is as it came from the workload, Returned as it went to the edge.
	Response *ExchangeMessage `json:"response,omitempty"`
	Returned *ExchangeMessage `json:"returned,omitempty"`
	Timing   ExchangeTiming   `json:"timing"`
}

// ExchangeMessage is a head with its trailers, and what there is to say of the body.
type ExchangeMessage struct {
	// Line is the first one, as HTTP/1.1 writes it.
	Line     string          `json:"line"`
	Fields   []ExchangeField `json:"fields"`
	Trailers []ExchangeField `json:"trailers,omitempty"`
	Body     *ExchangeBody   `json:"body,omitempty"`
}

// ExchangeField is one field.
type ExchangeField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Masked says that something in Value is masked, which whoever may can have shown.
	Masked bool `json:"masked,omitempty"`
}

// BodyForm is how a body is shown.
type BodyForm string

// Forms of bodies.
const (
	BodyEmpty     BodyForm = "empty"
	BodyJSON      BodyForm = "json"
	BodyFields    BodyForm = "form"
	BodyMultipart BodyForm = "multipart"
	BodyXML       BodyForm = "xml"
	BodyText      BodyForm = "text"
	BodyBinary    BodyForm = "binary"
	BodyFrames    BodyForm = "frames" // shown as frames
)

// ExchangeBody says what a body is. Its bytes are asked for apart.
type ExchangeBody struct {
	// Size is how many bytes passed, Kept how many of them, the first, are kept.
	Size      int64    `json:"size"`
	Kept      int64    `json:"kept"`
	MediaType string   `json:"media_type,omitempty"`
	Encoding  string   `json:"encoding,omitempty"` // its Content-Encoding
	Form      BodyForm `json:"form"`
}

// ExchangeTiming is when what happened, in milliseconds after the head of the request was
// there. What didn't happen is zero.
type ExchangeTiming struct {
	// QueuedMS is the wait for a connection of those that there are, ConnectMS what making
	// one took.
	QueuedMS  float64 `json:"queued_ms,omitempty"`
	ConnectMS float64 `json:"connect_ms,omitempty"`
	// SentMS is when the head had gone to the workload, UploadedMS when the body had.
	SentMS      float64 `json:"sent_ms,omitempty"`
	UploadedMS  float64 `json:"uploaded_ms,omitempty"`
	FirstByteMS float64 `json:"first_byte_ms,omitempty"` // of the response's head
	EndMS       float64 `json:"end_ms,omitempty"`
	// Reused says that the connection to the workload had carried others before.
	Reused bool `json:"reused,omitempty"`
}

// FrameKind is that of a frame.
type FrameKind string

// Kinds of frames: of WebSocket (RFC 6455), an event of an event stream, a message of gRPC.
const (
	FrameText    FrameKind = "text"
	FrameBinary  FrameKind = "binary"
	FramePing    FrameKind = "ping"
	FramePong    FrameKind = "pong"
	FrameClose   FrameKind = "close"
	FrameEvent   FrameKind = "event"
	FrameMessage FrameKind = "message"
	// FrameBroken is the place from which on the bytes are no frames.
	FrameBroken FrameKind = "broken"
)

// Frame is a frame, event or message of an exchange, put together from its fragments.
type Frame struct {
	// Number counts those of both directions from one.
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	// Out says that it went from the workload to the client.
	Out  bool      `json:"out"`
	Kind FrameKind `json:"kind"`
	// Size is that of its content as it was sent, undone is what of compression; Kept is how
	// much of it there is.
	Size int64 `json:"size"`
	Kept int64 `json:"kept"`
	// Name is the type of an event, or of a message where its schema is known.
	Name string `json:"name,omitempty"`
	// Text is one line to show of its content, masked: MaxFrameLine bytes at most.
	Text string `json:"text"`
	// Problem is why there is no more of it: it is no UTF-8, or grows too much.
	Problem string `json:"problem,omitempty"`
}

// MaxFrameLine bounds the line that a list shows of a frame.
const MaxFrameLine = 256

// TunnelCapture is the answer of a tunnel without a workload: every request is recorded, and
// gets it.
type TunnelCapture struct {
	// Status is the answer's, 200 to 599; if zero, 200.
	Status int `json:"status,omitempty"`
	// MediaType and Body are what it carries, MaxCaptureBody bytes at most.
	MediaType string `json:"media_type,omitempty"`
	Body      []byte `json:"body,omitempty"`
}

// MaxCaptureBody bounds the answer of a tunnel without a workload: it is kept in the record of
// the tunnel.
const MaxCaptureBody = 16 << 10

// TargetCapture is the target of a tunnel without a workload, and CaptureOnly how people are
// shown it.
const (
	TargetCapture = "capture"
	CaptureOnly   = "capture only"
)
