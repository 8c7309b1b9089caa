package relay

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
)

// What ends an exchange from outside: its client that goes away, a silence, or whoever forbids it. All
// of it breaks connections, so that the exchange's own goroutine wakes up and finds the reason.

// setUnderWay says whether there is an exchange that Abandon and Forbid can end.
func (x *Exchange) setUnderWay(underWay bool) {
	x.ending.Lock()
	defer x.ending.Unlock()
	x.underWay, x.answering = underWay, false
	switch {
	case !underWay:
	case x.abandoned:
		x.abort()
	case x.forbidden != nil:
		x.up.Abort()
	}
}

// Forbid ends the exchange under way, and each later one at once until Allow: the session has
// ended that let the request in, or the program ends. Its client is told why if the response has not
// begun; else it has this cause. The first call counts. It may be called from another goroutine, and
// does not wait.
func (x *Exchange) Forbid(why *mezu.Error, cause mezu.Cause) {
	x.ending.Lock()
	defer x.ending.Unlock()
	if x.forbidden == nil {
		x.forbidden, x.forbade = why, cause
	}
	if x.underWay {
		x.up.Abort()
	}
	if x.answering {
		x.down.Cut() // it may take nothing, and never notice
	}
}

// Allow takes back what Forbid said of the request before. No exchange is under way.
func (x *Exchange) Allow() {
	x.ending.Lock()
	defer x.ending.Unlock()
	x.forbidden = nil
}

// why is the error of an exchange that Forbid has ended.
func (x *Exchange) why() error {
	x.ending.Lock()
	defer x.ending.Unlock()
	switch {
	case x.forbidden == nil:
		return nil
	case x.Began:
		return &mezu.Cut{Cause: x.forbade, Err: x.forbidden}
	}
	return x.forbidden
}

// setAnswering says that the client has begun to get the response.
func (x *Exchange) setAnswering() {
	x.ending.Lock()
	defer x.ending.Unlock()
	x.answering = true
	if x.forbidden != nil {
		x.down.Cut()
	}
}

// Abandon ends the exchange under way, and each later one at once, because nobody is
// left to answer. It may be called from another goroutine, and does not wait.
func (x *Exchange) Abandon() {
	x.ending.Lock()
	defer x.ending.Unlock()
	x.abandoned = true
	if x.underWay {
		x.abort()
	}
}

// uploadSilent ends an exchange whose request's body has stopped: either the client
// sends nothing, or the workload takes nothing.
func (x *Exchange) uploadSilent() {
	if x.upload.source.waits.Load() {
		x.upload.verdict.Store(ErrSlowBody)
		x.down.StopUpload()
	} else {
		x.upload.verdict.Store(ErrUntaken)
	}
	x.up.Abort()
}

// answerSilent ends an exchange that has fallen silent after its response began:
// either the workload sends nothing, or the client takes nothing.
func (x *Exchange) answerSilent() {
	if x.answer.waits.Load() {
		x.silent.Store(pipe.ErrSilent)
		x.up.Abort()
		return
	}
	x.silent.Store(ErrUnread)
	x.up.Abort()
	x.down.Cut()
}

// watch looks out for the client, unless the upload does; then it reports
// false.
func (x *Exchange) watch(d Downstream) bool {
	if x.watching {
		return true
	}
	if !x.upload.join() && !d.WatchesBeside() {
		return false
	}
	x.watching = true
	d.Watch(x.abort)
	return true
}

func (x *Exchange) unwatch(d Downstream) {
	if x.watching {
		x.watching = false
		d.Unwatch()
	}
}

// abort ends the exchange because the client is gone: whoever reads from the
// upstream wakes up.
func (x *Exchange) abort() {
	x.gone.Store(true)
	x.up.Abort()
}
