package relay

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
)

// Times of one exchange.
const (
	// impatience is how long an exchange waits for a response before it begins to watch
	// whether its client is still there. Fast requests are answered before, and are not
	// watched.
	impatience = 10 * time.Millisecond
	// expectTimeout is how long a client that asked for 100 Continue is kept
	// from sending when the workload says nothing. curl waits as long by itself.
	expectTimeout = time.Second
	// uploadPoll is how often an exchange looks whether its upload has ended while the
	// workload is silent.
	uploadPoll = time.Second
	// lingerTime is how long an upload that was read to its end may take to send the last
	// of it, once the response is there.
	lingerTime = 20 * time.Millisecond
)

// MaxDrain is how much of the body of a refused request a Warpgate reads away so
// that the connection can go on: a new one costs more than this.
const MaxDrain = 256 << 10

// ErrClientGone ends an exchange without an answer: there is nobody left to take one.
var ErrClientGone = errors.New("client went away")

// Downstream is the client's side of an exchange, in the version of HTTP that it
// speaks. Its methods are called from the exchange's goroutine, except that
// Source is read by the upload's.
type Downstream interface {
	// Source is the request's body.
	Source() Source
	// UploadNow reports whether the whole body is here already.
	UploadNow() bool
	// ReadWithin and WriteWithin bound each read of Source and each write of a response
	// from now on. Zero is no bound: the exchange itself ends what is silent in both
	// directions then.
	ReadWithin(d time.Duration)
	WriteWithin(d time.Duration)
	// Watch begins to look whether the client goes away and calls gone, once,
	// when it does. Unless WatchesBeside, it is called when nothing else reads
	// from the client.
	Watch(gone func())
	// WatchesBeside reports whether Watch may be called while Source is read.
	WatchesBeside() bool
	// Unwatch ends that, and returns when nothing reads from the client.
	Unwatch()
	// Rewind makes Source begin anew, so that the request can be sent once more,
	// and reports whether it could. It is called between exchanges.
	Rewind() bool
	// StopUpload makes a read of Source under way end with an error. It may be
	// called from another goroutine.
	StopUpload()
	// Cut makes every read and write under way end with an error, and the client
	// see that the response was cut short. It may be called from another
	// goroutine, beside Deliver.
	Cut()
	// Interim sends a 1xx response; nil stands for 100 Continue.
	Interim(h *ResponseHead) error
	// Deliver sends the response. closing says that the client's connection
	// can't be used again. An error of body comes as a SourceError.
	Deliver(h *ResponseHead, body Source, closing bool) error
}

// upgrader is a Downstream that can become a stream of bytes. One that can't asks for
// no upgrade.
type upgrader interface {
	// MaySwitch reports whether the upstream's 101 is an answer to what was asked for.
	MaySwitch(h *ResponseHead) bool
	// Upgrade sends the 101 and carries bytes both ways until the end. It returns
	// what it carried to and from the workload.
	Upgrade(h *ResponseHead, up pipe.End, idle time.Duration) (in, out int64, err error)
}

// chooser is a Downstream that can't pass every response on.
type chooser interface {
	// MayDeliver reports whether a response that is no 1xx can go to the client.
	MayDeliver(h *ResponseHead) bool
}

// Retry says where a request that got no response may be sent again.
type Retry uint8

const (
	// Never: it was answered, or may have been carried out.
	Never Retry = iota
	// Anywhere: the connection was lost, and the request is replayable.
	Anywhere
	// Elsewhere: this Warpgate can't serve it, and nothing of it reached a workload.
	Elsewhere
)

// Exchange carries one request to an upstream connection and its response back. It
// is reused for the next request.
type Exchange struct {
	// Status is the response's, once there is one. Began says that its head
	// went to the client, so that no other answer may follow.
	Status int
	Began  bool
	// Told says after Carry that the upstream has answered with a failure.
	Told bool
	// Clean says after Carry that the exchange is complete on the upstream
	// connection, which may carry another.
	Clean bool
	// Pace is what the client's body is held to until the response begins: then the
	// call streams. If nil, it may take its time.
	Pace *Pace
	// Response is shown the head of the response before it goes to the client, once,
	// and may change its fields; not its status nor its framing. If nil, nobody is.
	Response func(*ResponseHead)
	// Early is shown the head of each 1xx response that goes to the client, and may take fields
	// away. If nil, nobody is.
	Early func(*ResponseHead)
	// BytesIn and BytesOut count the bodies, complete after Carry.
	BytesIn, BytesOut int64

	up          Upstream
	call        Call
	req         *Request   // the call's
	down        Downstream // since send
	silence     pipe.Silence
	silent      atomic.Pointer[mezu.Cut] // why a silence ended the exchange after the response had begun
	ends        [2]func()                // end the exchange because of a silence, by phase; made once
	answer      watchedSource            // the response's body
	resp        ResponseHead
	body        ResponseBody
	upload      upload
	watching    bool
	answerBegan bool // something of an answer came
	gone        atomic.Bool

	ending    sync.Mutex // guards those below
	underWay  bool       // between begin and the end of finish
	answering bool       // the response has begun, or an upgraded stream
	abandoned bool
	forbidden *mezu.Error // why it may not go on
	forbade   mezu.Cause  // the cause of that
}

// Carry sends the request to the upstream, with its body, and the response to d. An error that
// is a *mezu.Error has not been answered yet, unless Began. again says where the request may be
// sent once more, by another Carry.
func (x *Exchange) Carry(up Upstream, call *Call, d Downstream) (again Retry, err error) {
	x.begin(up, call)
	defer func() {
		x.finish(d)
		if err != nil {
			if why := x.why(); why != nil {
				again, err = Never, why
			}
		}
	}()
	if err = x.send(d); err == nil {
		err = x.respond(d)
	}
	if err == nil {
		return Never, nil
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		if f.Unsent {
			return Elsewhere, f.Err
		}
		return Never, f.Err
	}
	return x.lost(err)
}

// begin takes the upstream for the request.
func (x *Exchange) begin(up Upstream, call *Call) {
	x.up, x.call, x.req, x.body = up, *call, call.Request, nil
	x.Status, x.Began, x.Told, x.Clean, x.BytesIn, x.BytesOut = 0, false, false, false, 0, 0
	x.upload.reset()
	x.upload.pace = x.Pace
	x.Pace.set(false)
	x.watching, x.answerBegan = false, false
	x.gone.Store(false)
	x.silent.Store(nil)
	if x.ends[0] == nil {
		x.ends = [2]func(){x.uploadSilent, x.answerSilent}
	}
	up.Begin(&x.call)
	x.setUnderWay(true)
}

// send writes the heads that were gathered, and the body when it is all here;
// otherwise it starts the upload beside.
func (x *Exchange) send(d Downstream) error {
	x.down = d
	d.WriteWithin(x.call.Idle)
	if err := x.sendRequest(d); err != nil {
		return err
	}
	// One bound for the wait as a whole: a trickle must not stretch it.
	return x.up.FixRead(impatience)
}

func (x *Exchange) sendRequest(d Downstream) error {
	if x.req.Framing == NoBody {
		x.upload.finished = true
		return x.up.SendHead()
	}
	if !x.req.Expect && d.UploadNow() {
		n, err := x.up.SendBody(d.Source())
		x.BytesIn += n
		x.upload.finished = err == nil
		return sourceFault(err)
	}
	if err := x.up.SendHead(); err != nil {
		return err
	}
	x.upload.start(x.req)
	go x.runUpload(d)
	return nil
}

// waitOn decides what a failed read of the upstream means; nil is to read on. The first wait
// is short. After it the client is watched, and the bound of the call counts.
func (x *Exchange) waitOn(d Downstream, err error) error {
	if fault := x.upload.fault(); fault != nil {
		return fault
	}
	if x.gone.Load() {
		return ErrClientGone
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	silent := time.Since(x.upload.lastMove(x.call.Since))
	if silent >= x.call.Response {
		return ErrUnanswered
	}
	wait := x.call.Response - silent
	if x.upload.waiting() {
		// Some workloads never say 100 Continue.
		if silent >= expectTimeout {
			x.upload.proceed()
			if d.Interim(nil) != nil {
				return ErrClientGone
			}
		}
		wait = min(wait, expectTimeout)
	}
	if !x.watch(d) {
		wait = min(wait, uploadPoll) // the upload may end and nobody watch
	}
	if err := x.up.FixRead(max(wait, impatience)); err != nil {
		return err
	}
	return nil
}

// respond reads the response's head, passing interim ones on, and delivers it.
// An error that is a *mezu.Error has not been answered yet. Errors of the
// upstream before a head came are returned as they are.
func (x *Exchange) respond(d Downstream) error {
	interims := Interims{Tunnel: x.call.Tunnel}
	for {
		err := x.up.ReadHead(&x.resp)
		switch {
		case err != nil:
			if err = x.unread(d, err); err != nil {
				return err
			}
			continue
		case x.resp.Status == 101:
			return x.switchProtocols(d)
		case x.resp.Status >= 200:
			return x.deliver(d)
		}
		if !interims.Take(time.Now()) {
			return TooManyInterims()
		}
		if err := x.interim(d); err != nil {
			return err
		}
	}
}

// unread decides what it means that no head could be read; nil is to read on.
func (x *Exchange) unread(d Downstream, err error) error {
	if errors.Is(err, ErrMalformedResponse) {
		return BadResponse("the workload's response is malformed", err)
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		x.Told = true
		if x.answerBegan {
			return f.Err
		}
		return f
	}
	if known, ok := errors.AsType[*mezu.Error](err); ok {
		return known
	}
	return x.waitOn(d, err)
}

// interim passes a 1xx response on.
func (x *Exchange) interim(d Downstream) error {
	x.answerBegan = true
	if x.resp.Status == 100 {
		x.upload.proceed()
	}
	if x.resp.Status != 100 || x.req.Expect {
		x.resp.setNothing()
		if x.Early != nil {
			x.Early(&x.resp)
		}
		if d.Interim(&x.resp) != nil {
			return ErrClientGone
		}
	}
	return nil
}

// deliver sends head and body to the client.
func (x *Exchange) deliver(d Downstream) error {
	if c, ok := d.(chooser); ok && !c.MayDeliver(&x.resp) {
		return BadResponse("the workload did not switch to the protocol that was asked for", nil)
	}
	x.Status = x.resp.Status
	x.body = x.up.Body(&x.resp)
	x.upload.letEnd()
	x.Pace.set(true)
	x.show()
	var err error
	if x.body.Complete() {
		x.silence.End(Uploading)
		x.Began = true
		err = d.Deliver(&x.resp, x.body, !x.upload.spent())
	} else {
		err = x.stream(d)
	}
	x.BytesOut = x.body.Bytes()
	if err == nil {
		return nil
	}
	src := (*SourceError)(nil)
	switch {
	case x.silent.Load() != nil:
		return x.silent.Load()
	case x.gone.Load():
		return ErrClientGone
	case !errors.As(err, &src):
		return ClientFault(err)
	case !src.Unsent:
		return &mezu.Cut{Cause: x.cutCause(src), Err: src}
	}
	x.Status, x.Began, x.BytesOut = 0, false, 0 // the client has seen nothing yet
	if errors.Is(src, ErrBody) {
		return BadResponse("the body of the workload's response is malformed", err)
	}
	return &mezu.Error{Code: mezu.CodeWorkloadReset, Detail: "the connection to the workload broke in its response", Cause: &mezu.Cut{Cause: x.cutCause(src), Err: src}}
}

// show shows the response's head to whoever wants it.
func (x *Exchange) show() {
	if x.Response != nil {
		x.Response(&x.resp)
	}
}

// stream delivers a response whose body is still to come. From here on a client
// that takes it, a workload that sends it and an upload that goes on beside are
// bounded together.
func (x *Exchange) stream(d Downstream) error {
	x.up.ReadWithin(0)
	d.WriteWithin(0)
	x.watch(d)
	x.answer.reset(x.body, &x.silence)
	x.answer.delivers = true
	x.silence.Begin(Answering, x.call.Idle, x.ends[1])
	x.silence.Writes() // its head
	defer x.silence.End(Answering)
	x.Began = true
	x.setAnswering()
	return d.Deliver(&x.resp, &x.answer, !x.upload.spent())
}

// ClientFault is what a failed write of a response to its client means.
func ClientFault(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &mezu.Cut{Cause: mezu.CauseClientSlow, Err: err}
	}
	return ErrClientGone
}

// cutCause is why the upstream's response can't be read to its end.
func (x *Exchange) cutCause(err error) mezu.Cause {
	if fault := x.upload.fault(); fault != nil {
		return CauseOf(fault) // that is what broke the connection
	}
	return x.up.Cause(err)
}

// switchProtocols answers an upgrade that was asked for.
func (x *Exchange) switchProtocols(d Downstream) error {
	u, can := d.(upgrader)
	s, streams := x.up.(interface{ stream() pipe.End })
	if !can || !streams || !x.req.maySwitch() || x.resp.Upgrade() != x.req.Upgrade || !u.MaySwitch(&x.resp) {
		return BadResponse("the workload switched protocols without being asked", nil)
	}
	x.unwatch(d)
	x.show()
	x.Status, x.Began = 101, true
	x.setAnswering()
	in, out, err := u.Upgrade(&x.resp, s.stream(), x.call.Idle)
	x.BytesIn += in
	x.BytesOut += out
	return err
}

// finish joins what runs beside and gives buffers back.
func (x *Exchange) finish(d Downstream) {
	x.silence.End(Uploading)
	x.Pace.set(true) // from here on only this function stops the body
	x.upload.letEnd()
	if x.Told && !x.upload.join() && !x.upload.waiting() {
		x.upload.linger() // a small body that is just coming can go elsewhere in full
	}
	if !x.upload.join() {
		reads := !x.upload.waiting() && !x.upload.ended.Load()
		x.upload.stopped.Store(true)
		x.upload.proceed()
		if reads {
			d.StopUpload()
		}
		x.up.Abort()
		<-x.upload.done
		x.upload.join()
	}
	x.BytesIn += x.upload.bytes.Swap(0)
	x.unwatch(d)
	answered := x.Told && x.BytesIn <= MaxDrain ||
		x.Began && x.Status != 101 && x.body.Done() && x.resp.Framing != UntilClose && x.resp.KeepAlive()
	x.Clean = x.up.End(answered && x.upload.finished && !x.gone.Load())
	x.setUnderWay(false)
	x.up, x.body = nil, nil
}

// lost is the answer to a connection that broke before a response: the given
// error when it is one to answer, workload_reset otherwise. The request may be sent
// again if nobody has acted upon it, or if it may have been carried out but has no
// body, its method is idempotent, and nothing of an answer came.
func (x *Exchange) lost(err error) (again Retry, answer error) {
	var known *mezu.Error
	var cut *mezu.Cut
	switch {
	case x.gone.Load(), errors.Is(err, ErrClientGone):
		return Never, ErrClientGone
	case errors.As(err, &known), errors.As(err, &cut):
		return Never, err
	}
	if fault := x.upload.fault(); fault != nil {
		return Never, fault // that is what broke the connection
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Never, ErrUntaken // there is no time left to send it again
	}
	answer = x.up.Lost(err)
	untouched := !x.answerBegan && !x.up.Touched()
	if x.up.Unprocessed() || untouched && x.req.Framing == NoBody && mezu.IdempotentMethod(x.req.Method) {
		return Anywhere, answer
	}
	return Never, answer
}
