package relay

import (
	"time"

	"github.com/mezusphere/mezu"
)

// Upstream is the side of an exchange that answers, in the version of HTTP that it speaks.
// Its methods are called from the exchange's goroutine, except that SendBody, and WriteWithin
// before it, may be called from the upload's, and Abort from any.
//
// An error of a read or write that ran out of its time wraps os.ErrDeadlineExceeded. A read
// may go on after it, a write may not.
type Upstream interface {
	// Begin takes in what is to be carried. Until FixRead, ReadWithin or WriteWithin say
	// otherwise, a write is bounded by the call's Response.
	Begin(call *Call)
	// SendHead sends the request's head.
	SendHead() error
	// SendBody sends the request's body to its end, and the head before it if SendHead has
	// not. wrote counts the body's bytes. An error of src is a SourceError.
	SendBody(src Source) (wrote int64, err error)
	// ReadWithin and WriteWithin bound each read of the response and each write of the request
	// from now on; zero is no bound. FixRead bounds all reads together, until ReadWithin.
	ReadWithin(d time.Duration)
	WriteWithin(d time.Duration)
	FixRead(d time.Duration) error
	// ReadHead reads the next head of a response, of which 1xx is one, too. The error of a
	// malformed one wraps ErrMalformedResponse. A *Failure says that there is no response.
	ReadHead(h *ResponseHead) error
	// Body is the body behind the final head, which was read last.
	Body(h *ResponseHead) ResponseBody
	// Unprocessed reports whether it is certain, after an error, that nobody has acted upon the
	// request: its head has not gone out, or the upstream has said so (RFC 9113, 8.7).
	Unprocessed() bool
	// Touched reports whether something of an answer came, beside heads that were read.
	Touched() bool
	// Lost is the answer to an error before a response came.
	Lost(err error) *mezu.Error
	// Cause is why a body could not be read to its end.
	Cause(err error) mezu.Cause
	// Abort breaks the exchange off, so that reads and writes under way end. It may be called
	// more than once, and beside them, and must not wait.
	Abort()
	// End gives back what the exchange took; nothing is called after it but Abort. complete says
	// that request and response came to their ends. clean says that another exchange may follow.
	End(complete bool) (clean bool)
}

// ResponseBody is the body of a response as it comes from an Upstream. *Body is one.
type ResponseBody interface {
	Source
	// Complete reports whether the rest of the body is here, so that reading it will not
	// block.
	Complete() bool
	// Done reports whether the body was read to its end.
	Done() bool
	// Bytes is how much of the body was read.
	Bytes() int64
}

// Call is one request that is to be carried.
type Call struct {
	Request *Request
	// Tunnel says that the upstream is a Warpgate's connection: a typed head precedes each
	// of its answers.
	Tunnel bool
	// Response bounds the wait for the response's head, counted from Since or from the
	// last move of the request's body.
	Since    time.Time
	Response time.Duration
	// Idle bounds the silence in the bodies, when neither moves.
	Idle time.Duration
}

// Failure is the Warpgate's word that there is no response: Err says why. Unsent says that
// nothing of the request reached a workload.
type Failure struct {
	Err    error
	Unsent bool
}

// Error is that of Err.
func (f *Failure) Error() string { return f.Err.Error() }
